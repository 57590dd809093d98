import datasets
import numpy as np
import pytest
from datasets import Dataset, Features, List, Value
from PIL import Image, ImageDraw

from processing.catalogue.poster_manifest import poster_keys
from processing.data.text_removal import remove_poster_text, with_poster_text_removed

LINES = List({"text": Value("string"), "score": Value("float64"), "box": List(Value("float64"))})


def line(*box):
    return {"text": "JAWS", "score": 0.9, "box": list(box)}


def poster(background="teal"):
    image = Image.new("RGB", (80, 120), background)
    ImageDraw.Draw(image).text((20, 60), "JAWS", fill="white")
    return image


def movies(tmp_path, posters, texts):
    paths = [str(tmp_path / f"{i}.png") for i in range(len(posters))]
    for path, image in zip(paths, posters, strict=True):
        image.save(path)
    rows = {"id": [str(i) for i in range(len(posters))], "image": paths, "poster_text": texts}
    return Dataset.from_dict(rows, Features(id=Value("string"), image=datasets.Image(), poster_text=LINES))


def test_lettering_vanishes_into_what_surrounds_it():
    left, top, right, bottom = poster().convert("L").point(lambda value: 255 * (value > 120)).getbbox()
    box = left / 80, top / 120, right / 80, bottom / 120
    assert remove_poster_text(poster(), [line(*box)]).tobytes() == Image.new("RGB", (80, 120), "teal").tobytes()


def test_a_box_gets_the_mean_colour_of_its_border_and_all_else_stays():
    pixels = np.random.default_rng(0).integers(0, 256, (120, 80, 3), dtype=np.uint8)
    blank = np.asarray(remove_poster_text(Image.fromarray(pixels), [line(0.25, 0.5, 0.75, 2 / 3)]))
    inside = np.zeros((120, 80), dtype=bool)
    inside[57:83, 17:63] = True  # 20 pixels high, so 3 more at each side
    around = np.zeros_like(inside)
    around[55:85, 15:65] = ~inside[55:85, 15:65]
    assert np.array_equal(blank[~inside], pixels[~inside])
    assert (blank[inside] == pixels[around].mean(axis=0).round()).all()


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (-0.2, 0.9, 1.3, 1.1), (0.5, 0.5, 0.5, 0.5), (0.99, 0.99, 1, 1)])
@pytest.mark.parametrize("size", [(80, 120), (1, 1), (3, 200)])
def test_any_box_on_any_poster(box, size):
    assert remove_poster_text(Image.new("L", size, 99), [line(*box)]).getcolors() == [(size[0] * size[1], (99, 99, 99))]


def test_boxes_are_about_the_poster_as_a_viewer_shows_it(tmp_path):
    image = poster().rotate(90, expand=True)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    shown = remove_poster_text(Image.open(tmp_path / "turned.png"), [line(0.2, 0.45, 0.7, 0.65)])
    assert shown.tobytes() == Image.new("RGB", (80, 120), "teal").tobytes()


def test_a_blanked_split_holds_other_posters_with_nothing_on_them(tmp_path):
    texts = [[line(0.2, 0.45, 0.7, 0.65)], [], []]
    split = movies(tmp_path, [poster(), poster("navy"), poster()], texts).select([2, 0])
    blank = with_poster_text_removed(split)
    assert blank["id"][:] == ["2", "0"] and blank["poster_text"][:] == [[], []] and blank.features == split.features
    assert blank[0]["image"].tobytes() == poster().tobytes()
    assert blank[1]["image"].tobytes() == Image.new("RGB", (80, 120), "teal").tobytes()
    assert poster_keys(blank)[1] not in poster_keys(split)
    assert poster_keys(blank) == poster_keys(with_poster_text_removed(split))


def test_posters_that_nobody_has_read_cannot_be_blanked(tmp_path):
    split = movies(tmp_path, [poster(), poster()], [[], None])
    with pytest.raises(ValueError, match=r"have not been read .*: 1, first 1$"):
        with_poster_text_removed(split)
    texts = [[line(0, 0, 1, 1)], [{"text": "JAWS", "score": 1.0, "box": None}]]
    with pytest.raises(ValueError, match=r"without boxes.*: 1, first 1$"):
        with_poster_text_removed(movies(tmp_path, [poster(), poster()], texts))
    with pytest.raises(ValueError, match="no column poster_text"):
        with_poster_text_removed(split.remove_columns("poster_text"))
