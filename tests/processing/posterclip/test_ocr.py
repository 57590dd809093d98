import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw, ImageFont
from transformers.dynamic_module_utils import get_imports

from processing.posterclip import ocr
from processing.posterclip.ocr import engine_name, recognize_text
from processing.stories import read_stories
from processing.stories.draw import draw_poster

reads = pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")

LARGE = [(6000, 4000), (3000, 4500)]
STRIPS = [(4000, 60), (60, 4000), (20_000, 1)]


def letters(text, size=(320, 480), at=(160, 100), points=44):
    image = Image.new("RGB", size, "navy")
    ImageDraw.Draw(image).text(at, text, "white", ImageFont.load_default(size=points), anchor="mm")
    return image


def read_once(image):
    return recognize_text(image, sizes=[448])


def texts(image):
    return [line["text"] for line in read_once(image)]


def test_a_saved_folder_can_be_loaded_without_it():
    assert set(get_imports(ocr.__file__)) <= {"PIL", *sys.stdlib_module_names}


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    ocr._engine.cache_clear()
    for call in (engine_name, lambda: recognize_text(Image.new("RGB", (9, 9)))):
        with pytest.raises(ImportError, match=r"needs rapidocr.*pip install rapidocr onnxruntime"):
            call()


@pytest.mark.parametrize("size", [*LARGE, *STRIPS, (1, 1), (150, 225)])
def test_the_detectors_work_is_bounded(size, monkeypatch):
    """It enlarges an image by its short side: a strip without a margin would take minutes."""
    sizes = []
    monkeypatch.setattr(
        ocr, "_engine", lambda model: lambda image: sizes.append(image.size) or SimpleNamespace(txts=None)
    )
    assert recognize_text(Image.new("RGB", size)) == []
    assert len(sizes) <= len(ocr.SIZES)
    for width, height in sizes:
        assert max(width, height) <= 2000 and max(width, height) <= 4 * min(width, height)


@reads
class TestLanguages:
    @pytest.mark.parametrize("language", [None, "en", "fr", "de", "zh", "ja", "tr", "vi"])
    def test_of_rapidocrs_wheel_have_one_cache(self, language):
        assert engine_name(language) == engine_name()

    @pytest.mark.parametrize(
        ("language", "model"), [("ko", "korean"), ("ru", "eslav"), ("bg", "cyrillic"), ("ar", "arabic"), ("th", "th")]
    )
    def test_that_need_a_download_say_how_to_get_it(self, language, model):
        for call in (engine_name, lambda language: recognize_text(Image.new("RGB", (9, 9)), language)):
            with pytest.raises(
                ImportError, match=rf"include the OCR model '{model}'; get it by: curl .*{model}_PP-OCR"
            ):
                call(language)

    @pytest.mark.parametrize("model", sorted(set(ocr.OTHER_MODELS.values())))
    def test_that_need_a_download_are_known_to_rapidocr(self, model):
        from rapidocr.inference_engine.base import FileInfo, InferSession
        from rapidocr.utils.typings import EngineType, ModelType, OCRVersion, TaskType

        file = FileInfo(EngineType.ONNXRUNTIME, OCRVersion.PPOCRV5, TaskType.REC, model, ModelType.MOBILE)
        with pytest.raises(ImportError, match=re.escape(InferSession.get_model_url(file)["model_dir"])):
            engine_name(model)

    def test_that_do_not_exist_are_refused(self):
        with pytest.raises(ValueError, match=r"ocr_language: rapidocr has no model of 'xx'; there are af, .* korean, "):
            engine_name("xx")


@reads
class TestReading:
    def test_a_line_its_place_and_how_sure_it_is(self, capfd):
        (line,) = read_once(letters("MOBY-DICK"))
        assert line["text"] == "MOBY-DICK" and 0.9 < line["score"] <= 1
        left, top, right, bottom = line["box"]
        half = ImageFont.load_default(size=44).getlength("MOBY-DICK") / 2
        assert left == pytest.approx((160 - half) / 320, abs=0.03)
        assert right == pytest.approx((160 + half) / 320, abs=0.03)
        assert top < 100 / 480 < bottom < 0.3
        assert json.loads(json.dumps(line)) == line
        assert capfd.readouterr() == ("", "")

    def test_the_readings_follow_one_another(self):
        image = letters("MOBY-DICK")
        both = [line for size in (448, 320) for line in recognize_text(image, sizes=[size])]
        assert recognize_text(image, sizes=[448, 320]) == both and len(both) == 2

    def test_lines_come_from_top_to_bottom(self):
        image = letters("FIRST", at=(160, 60))
        ImageDraw.Draw(image).text((160, 400), "SECOND", "white", ImageFont.load_default(size=44), anchor="mm")
        assert texts(image) == ["FIRST", "SECOND"]

    @pytest.mark.slow
    @pytest.mark.parametrize("size", [(320, 480), (1, 1), (1, 500)])
    def test_nothing_is_printed(self, size):
        assert recognize_text(Image.new("RGB", size, "white")) == []

    @pytest.mark.parametrize(
        "size", [(150, 225), (600, 900), *(pytest.param(size, marks=pytest.mark.slow) for size in LARGE)]
    )
    def test_posters_of_any_size(self, size):
        width, height = size
        (line,) = read_once(letters("MOBY-DICK", size, (width // 2, height // 5), height // 20))
        assert line["text"] == "MOBY-DICK"
        assert line["box"][1] < 1 / 5 < line["box"][3]

    @pytest.mark.slow
    @pytest.mark.parametrize("size", STRIPS)
    def test_boxes_of_a_strip_lie_within_it(self, size):
        for line in recognize_text(Image.effect_noise(size, 60).convert("RGB")):
            assert all(0 <= share <= 1 for share in line["box"])

    def test_upside_down_and_on_its_side(self):
        assert texts(letters("MOBY-DICK").transpose(Image.Transpose.ROTATE_180)) == ["MOBY-DICK"]
        (line,) = read_once(letters("MOBY-DICK").transpose(Image.Transpose.ROTATE_90))
        left, top, right, bottom = line["box"]
        assert right - left < bottom - top

    @pytest.mark.slow
    def test_200_lines(self):
        image = Image.new("RGB", (1400, 1900), "white")
        font = ImageFont.load_default(size=22)
        for index in range(200):
            place = (30 + 345 * (index % 4), 20 + 37 * (index // 4))
            ImageDraw.Draw(image).text(place, f"Story number {index}", "black", font)
        found = texts(image)
        assert len(found) == 200 and len({f"Story number {index}" for index in range(200)} & set(found)) > 190

    @pytest.mark.slow
    def test_the_drawn_posters_of_stories(self):
        stories = read_stories()[::30]
        found = 0
        for story in stories:
            lines = recognize_text(draw_poster(story))
            titles = [line for line in lines if line["box"][3] - line["box"][1] > 0.03 and line["score"] > 0.8]
            assert titles and any("drawn illustration" in line["text"] for line in lines), story["id"]
            title = "".join(line["text"] for line in lines).upper().replace(" ", "")
            found += "".join(story["title"].upper().split()) in title
        assert found >= len(stories) - 2, "words run together, but their letters are found"


@pytest.mark.real
@pytest.mark.skipif("POSTERCLIP_MOVIES" not in os.environ, reason="POSTERCLIP_MOVIES names no real posters")
@reads
def test_what_was_surely_read_on_real_posters_is_found():
    folder = Path(os.environ["POSTERCLIP_MOVIES"])
    with (folder / "poster_text.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(next(file)) for _ in range(12)]
    found = []
    for row in rows:
        lines = recognize_text(Image.open(folder / "posters" / f"{row['id']}.jpg").convert("RGB"))
        text = "".join(line["text"] for line in lines).replace(" ", "")
        found += [line["text"].replace(" ", "") in text for line in row["lines"] if line["score"] > 0.98]
    assert len(found) > 20 and sum(found) > 0.9 * len(found)
