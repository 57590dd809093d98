"""The drawn posters: the same for the same story, all different, labelled, and never outside their edges."""

import hashlib
import json
import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw

from processing.stories import draw
from processing.stories.draw import LAYOUTS, draw_poster, without_accents
from processing.stories.vector import drawings, marks_of, motif_names, rgb, scene_names, seeded

STORY: dict[str, Any] = {
    "id": "moby-dick",
    "title": "Moby-Dick",
    "author": "Herman Melville",
    "genres": ["Adventure"],
    "scene": "sea",
    "motifs": ["whale", "ship", "anchor"],
}


def digest(image: Image.Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def test_a_poster_is_rgb_and_of_the_stated_size() -> None:
    poster = draw_poster(STORY)
    assert (poster.mode, poster.size) == ("RGB", (320, 480))


@pytest.mark.slow
def test_the_same_story_gives_the_same_bytes_again_and_in_a_fresh_process() -> None:
    first = digest(draw_poster(STORY))
    draw._motif.cache_clear()
    assert digest(draw_poster(STORY)) == first
    code = (
        "import hashlib, json, sys; from processing.stories.draw import draw_poster;"
        "print(hashlib.sha256(draw_poster(json.loads(sys.argv[1])).tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, json.dumps(STORY)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == first


def test_another_id_gives_another_poster() -> None:
    assert digest(draw_poster(STORY)) != digest(draw_poster({**STORY, "id": "moby-dick-2"}))


def test_every_motif_differs_from_every_other() -> None:
    small = {name: draw._motif(name, "Adventure", 24, False) for name in motif_names()}
    assert len(small) >= 160
    on_grey = {}
    for name, motif in small.items():
        on_grey[name] = Image.new("RGB", motif.size, "grey")
        on_grey[name].paste(motif, mask=motif)
    for (a, first), (b, second) in combinations(on_grey.items(), 2):
        difference = ImageChops.difference(first, second).convert("L").histogram()
        assert sum(difference[16:]) > 24, f"{a} looks like {b}"


def test_every_scene_differs_from_every_other() -> None:
    seen = {name: draw._background(name, "Adventure", seeded("one")).resize((20, 30)) for name in scene_names()}
    assert len(seen) == 25
    for (a, first), (b, second) in combinations(seen.items(), 2):
        difference = ImageChops.difference(first, second).convert("L").histogram()
        assert sum(difference[16:]) > 100, f"{a} looks like {b}"


def test_a_scene_covers_the_whole_poster() -> None:
    for name in scene_names():
        first = marks_of("scenes", name)[0]
        xs, ys = zip(*first.points, strict=True)
        assert min(xs) <= 0 and max(xs) >= 100 and min(ys) <= 0 and max(ys) >= 150, name


@pytest.mark.parametrize("genre", sorted(drawings()["genres"]))
def test_every_genre_has_every_role_and_tints_the_poster(genre: str) -> None:
    assert len({rgb(role, genre) for role in ("ink", "light", "tint", "main", "accent")}) == 5
    assert genre == "Adventure" or digest(draw_poster({**STORY, "genres": [genre]})) != digest(draw_poster(STORY))


@pytest.mark.parametrize(
    "title",
    [
        "The Life and Strange Surprizing Adventures of Robinson Crusoe, of York, Mariner: Who Lived Eight "
        "and Twenty Years, All Alone in an Uninhabited Island on the Coast of America, Near a River",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        "x" * 400,
        "西遊記",
        "Ἰλιάς",
        "Война и мир",
        "",
    ],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_letters_stay_inside_their_box(title: str, layout: draw.Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = []
    write = ImageDraw.ImageDraw.text

    def watched(self: ImageDraw.ImageDraw, at: tuple[float, float], text: str, *args: Any, **kwargs: Any) -> None:
        font = kwargs.get("font", args[1] if len(args) > 1 else None)
        boxes.append(self.textbbox(at, text, font, anchor="mm", stroke_width=kwargs.get("stroke_width", 0)))
        write(self, at, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", watched)
    image = Image.new("RGB", draw.SIZE)
    draw._letter(image, {**STORY, "title": title, "author": title}, "Adventure", layout)
    assert len(boxes) >= 4
    for left, top, right, bottom in boxes[:-1]:
        assert left >= 0 and right <= 320 and layout.title[0] - 2 <= top and bottom <= layout.title[1]
    left, top, right, bottom = boxes[-1]
    assert left >= 0 and right <= 320 and bottom <= 480


def test_the_poster_says_that_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = draw_poster(STORY)
    monkeypatch.setattr(draw, "LABEL", " ")
    box = ImageChops.difference(plain, draw_poster(STORY)).getbbox()
    assert box is not None and box[1] >= 463 and box[2] - box[0] > 180


@pytest.mark.parametrize(("field", "value"), [("motifs", ["kraken"]), ("scene", "moonbase"), ("genres", ["Western"])])
def test_an_unknown_name_is_told_with_its_story(field: str, value: Any) -> None:
    name = value if isinstance(value, str) else value[0]
    with pytest.raises(ValueError, match=rf"'moby-dick'.*'{name}'"):
        draw_poster({**STORY, field: value})


@pytest.mark.parametrize("field", ["motifs", "genres"])
def test_a_story_without_motif_or_genre_is_told(field: str) -> None:
    with pytest.raises(ValueError, match="'moby-dick' has no"):
        draw_poster({**STORY, field: []})


def test_a_bad_line_in_a_drawing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(drawings()["motifs"], "broken", "oval red 50,50 9\nsquare red 1,1")
    with pytest.raises(ValueError, match=r"'broken', line 2.*square"):
        marks_of("motifs", "broken")


def test_accents_are_dropped_rather_than_drawn_as_empty_boxes() -> None:
    assert without_accents("Les Misérables, Māui, Œdipe, Ærø") == "Les Miserables, Maui, OEdipe, AEro"
    assert without_accents("Ω") == "Ω"
