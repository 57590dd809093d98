import logging
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from transformers import AutoProcessor

from processing import PosterCLIPProcessor
from processing.posterclip import ocr
from processing.posterclip.processing_posterclip import logger, to_rgb
from tests.tiny import tiny_processor


def test_posters_and_plots_may_differ_in_number():
    posters = [Image.new(mode, (30, 40)) for mode in ("RGB", "L", "CMYK", "RGBA", "P", "1", "I;16", "F", "LA")]
    inputs = tiny_processor()(images=posters, text=["abc", "a"], return_tensors="pt")
    assert inputs["pixel_values"].shape == (9, 3, 32, 32)
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_a_long_plot_is_cut_at_the_models_length():
    assert tiny_processor(max_length=9)(text="x" * 1000, return_tensors="pt")["input_ids"].shape == (1, 9)


def test_a_processor_survives_its_folder(tmp_path):
    before = tiny_processor(max_length=9)
    before.save_pretrained(tmp_path)
    after = AutoProcessor.from_pretrained(tmp_path, trust_remote_code=True)
    poster, plot = Image.effect_noise((50, 70), 60), "A long plot, longer than nine letters."
    for name, value in before(images=poster, text=plot, return_tensors="pt").items():
        assert torch.equal(value, after(images=poster, text=plot, return_tensors="pt")[name]), name


def test_a_processor_is_made_of_those_of_two_encoders(tmp_path):
    parts = tiny_processor()
    parts.image_processor.save_pretrained(tmp_path / "vision")
    parts.tokenizer.save_pretrained(tmp_path / "text")
    processor = PosterCLIPProcessor.from_vision_text_pretrained(str(tmp_path / "vision"), str(tmp_path / "text"), 5)
    assert processor(text="abcdefgh", return_tensors="pt")["input_ids"].shape == (1, 5)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_greys_are_scaled_and_not_clipped(mode):
    ramp = np.linspace(0, 65535, 256).reshape(1, 256)
    image = Image.fromarray(ramp.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    reds = np.asarray(to_rgb(image))[0, :, 0].astype(int)
    assert reds[0] == 0 and reds[-1] == 255 and abs(reds[128] - 128) <= 1 and (np.diff(reds) >= 0).all()


def test_transparency_lies_on_white():
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert to_rgb(half).getpixel((0, 0)) == (127, 127, 127)


def test_an_exif_rotation_is_applied():
    image = Image.new("RGB", (20, 30))
    image.getexif()[0x0112] = 6
    assert to_rgb(image).size == (30, 20)


POSTER = Image.new("RGB", (20, 30), "navy")
LINES = [{"text": "ab", "score": 0.9, "box": None}, {"text": "cd", "score": 0.9, "box": None}]
WORDS = ("poster_input_ids", "poster_attention_mask")


def lengths(**given) -> list[int]:
    """Tokens of each poster's words, the two around them included."""
    return tiny_processor()(**given, return_tensors="pt")["poster_attention_mask"].sum(1).tolist()


class TestWhatIsPrintedOnPosters:
    @pytest.mark.parametrize(
        ("printed", "expected"),
        [
            ("abcd", [6]),
            (["abcd"], [6]),
            (LINES, [7]),
            ([LINES], [7]),
            ("", [0]),
            ([], [0]),
            ([None], [0]),
            ([[]], [0]),
        ],
    )
    @pytest.mark.parametrize("posters", [POSTER, [POSTER], np.zeros((30, 20, 3), np.uint8), None])
    def test_of_one_poster_is_a_text_or_lines(self, printed, expected, posters):
        assert lengths(images=posters, poster_text=printed) == expected

    def test_of_several_is_a_text_or_lines_for_each(self):
        printed = ["abc", LINES, None, "", [], "  ", "a"]
        assert lengths(images=[POSTER] * 7, poster_text=printed) == [5, 7, 0, 0, 0, 0, 3]
        assert lengths(images=torch.zeros(2, 3, 9, 9, dtype=torch.uint8), poster_text=["abc", ""]) == [5, 0]

    def test_is_tokenized_as_a_plot_is_and_stands_beside_it(self):
        both = tiny_processor()(images=[POSTER] * 2, text=["abc"], poster_text=["abc", "a"], return_tensors="pt")
        assert both["input_ids"].shape == (1, 5) and both["pixel_values"].shape == (2, 3, 32, 32)
        assert torch.equal(both["poster_input_ids"][:1], both["input_ids"])

    @pytest.mark.parametrize(
        ("posters", "printed"),
        [([POSTER] * 2, ["a"]), ([POSTER] * 2, "a"), ([POSTER] * 2, LINES), ([POSTER] * 2, []), (POSTER, ["a", "b"])],
    )
    def test_must_be_as_many_as_posters(self, posters, printed):
        with pytest.raises(ValueError, match=r"poster_text: \d texts for \d posters"):
            tiny_processor()(images=posters, poster_text=printed, return_tensors="pt")

    def test_is_cut_at_the_models_length(self):
        printed = ["x" * 1000, [{"text": "y" * 1000, "score": 1.0, "box": None}]]
        assert tiny_processor(9)(poster_text=printed, return_tensors="pt")["poster_input_ids"].shape == (2, 9)

    def test_comes_as_the_kind_of_array_that_is_wanted(self):
        given = {"images": [POSTER] * 2, "text": ["a", "b"], "poster_text": ["abc", ""]}
        tensors = tiny_processor()(**given, return_tensors="pt")
        arrays, lists = tiny_processor()(**given, return_tensors="np"), tiny_processor()(**given)
        for name in WORDS:
            assert isinstance(tensors[name], torch.Tensor) and isinstance(arrays[name], np.ndarray)
            assert tensors[name].tolist() == arrays[name].tolist() == [list(row) for row in lists[name]], name

    def test_is_not_there_unless_it_is_given_or_read(self):
        assert not set(WORDS) & tiny_processor()(images=POSTER, text="a", return_tensors="pt").keys()


@pytest.fixture
def reader() -> PosterCLIPProcessor:
    processor = tiny_processor()
    processor.run_ocr = True
    return processor


class TestAProcessorThatReadsPosters:
    def test_keeps_doing_so_when_it_is_saved(self, reader, tmp_path):
        for name, processor in (("reads", reader), ("looks", tiny_processor())):
            processor.save_pretrained(tmp_path / name)
            again = AutoProcessor.from_pretrained(tmp_path / name, trust_remote_code=True)
            assert again.run_ocr == PosterCLIPProcessor.from_pretrained(tmp_path / name).run_ocr
            assert again.run_ocr == (name == "reads")

    def test_takes_what_is_given_before_what_it_could_read(self, reader, monkeypatch):
        monkeypatch.setattr("processing.posterclip.processing_posterclip.recognize_text", lambda _: pytest.fail("read"))
        assert reader(images=POSTER, poster_text="ab", return_tensors="pt")["poster_attention_mask"].sum() == 4
        assert not reader(images=POSTER, poster_text=[], return_tensors="pt")["poster_attention_mask"].any()
        assert not set(WORDS) & reader(text="a plot", return_tensors="pt").keys()

    def test_reads_those_of_which_nobody_says_what_is_printed_on_them(self, reader, monkeypatch):
        monkeypatch.setattr("processing.posterclip.processing_posterclip.recognize_text", lambda _: LINES)
        batch = reader(images=[POSTER] * 3, poster_text=["abc", None, ""], return_tensors="pt")
        assert batch["poster_attention_mask"].sum(1).tolist() == [5, 7, 0]

    def test_does_not_read_arrays(self, reader, monkeypatch):
        monkeypatch.setattr("processing.posterclip.processing_posterclip.recognize_text", lambda _: LINES)
        array = np.zeros((3, 3, 30, 20), np.uint8)
        assert reader(images=array, return_tensors="pt").keys() == {"pixel_values"}
        assert reader(images=torch.from_numpy(array), return_tensors="pt")["pixel_values"].shape[0] == 3
        mixed = reader(images=[array[0], POSTER], return_tensors="pt")
        assert mixed["poster_attention_mask"].sum(1).tolist() == [0, 7]

    def test_takes_posters_for_ones_without_text_where_the_ocr_is_missing_and_says_so_once(
        self, reader, monkeypatch, caplog
    ):
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        ocr._engine.cache_clear()
        logger.warning_once.cache_clear()
        monkeypatch.setattr(logger, "propagate", True)
        with caplog.at_level(logging.WARNING, logger.name):
            batches = [reader(images=[POSTER] * 2, text="a", return_tensors="pt") for _ in range(3)]
        assert all(batch["poster_attention_mask"].tolist() == [[0, 0], [0, 0]] for batch in batches)
        (record,) = caplog.records
        assert "without text" in record.message and "pip install rapidocr onnxruntime" in record.message

    @pytest.mark.slow
    @pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
    def test_finds_the_words_of_a_poster(self, reader):
        ocr._engine.cache_clear()
        poster = Image.new("RGB", (320, 480), "navy")
        ImageDraw.Draw(poster).text((160, 100), "MOBY", "white", ImageFont.load_default(size=60), anchor="mm")
        found = reader(images=[poster, POSTER.resize((320, 480))], return_tensors="pt")
        expected = reader(poster_text=["MOBY. MOBY", ""], return_tensors="pt")
        assert all(torch.equal(found[name], expected[name]) for name in WORDS)
