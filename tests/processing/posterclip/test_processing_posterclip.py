import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoProcessor,
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    DeiTImageProcessor,
    ViTImageProcessor,
)

from processing import PosterCLIPProcessor
from tests.tiny import tiny_model, tiny_processor

ROOT = Path(__file__).parents[3]


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


def share_kept(processor) -> float:
    """The share of a poster that is white in its middle ninth and black elsewhere, as `pixel_values` display it."""
    poster = Image.new("RGB", (90, 135), "black")
    poster.paste("white", (30, 45, 60, 90))
    pixels = processor(images=poster, return_tensors="np", do_normalize=False)["pixel_values"]
    return 1 / 9 / pixels.mean()


class TestWholePosters:
    @pytest.fixture
    def encoders(self, tmp_path):
        """A function that saves an image processor and a tokenizer, and returns their folders."""

        def save(image_processor):
            image_processor.save_pretrained(tmp_path / "vision")
            tiny_processor().tokenizer.save_pretrained(tmp_path / "text")
            return str(tmp_path / "vision"), str(tmp_path / "text")

        return save

    def test_are_what_a_processor_without_a_crop_shows(self, encoders, warnings_logged):
        processor = PosterCLIPProcessor.from_vision_text_pretrained(*encoders(ViTImageProcessor()))
        assert share_kept(processor) == pytest.approx(1, abs=0.02) and not warnings_logged

    @pytest.mark.parametrize(
        ("image_processor", "cut"),
        [(CLIPImageProcessor(), 33), (BitImageProcessor(size={"shortest_edge": 256}), 49), (DeiTImageProcessor(), 23)],
        ids=lambda value: type(value).__name__,
    )
    def test_are_cut_by_a_centre_crop_that_says_how_much(self, encoders, warnings_logged, image_processor, cut):
        folders = encoders(image_processor)
        cropped = PosterCLIPProcessor.from_vision_text_pretrained(*folders)
        (message,) = warnings_logged
        (told,) = re.findall(r"cuts off (\d+)% of a 2:3 poster.* --whole_poster True", message.replace("(", " "))
        assert int(told) == pytest.approx(cut, abs=1)
        assert share_kept(cropped) == pytest.approx(1 - cut / 100, abs=0.02)
        whole = PosterCLIPProcessor.from_vision_text_pretrained(*folders, whole_poster=True)
        assert share_kept(whole) == pytest.approx(1, abs=0.02) and len(warnings_logged) == 1

    def test_survive_saving(self, encoders, tmp_path):
        folders = encoders(CLIPImageProcessor())
        PosterCLIPProcessor.from_vision_text_pretrained(*folders, whole_poster=True).save_pretrained(tmp_path / "saved")
        assert share_kept(PosterCLIPProcessor.from_pretrained(tmp_path / "saved")) == pytest.approx(1, abs=0.02)

    def test_are_refused_where_the_crop_has_no_switch(self, encoders):
        folders = encoders(ConvNextImageProcessor(size={"shortest_edge": 224}))
        with pytest.raises(ValueError, match=r"whole_poster: ConvNext.* cuts off 4[89]% of a 2:3 poster"):
            PosterCLIPProcessor.from_vision_text_pretrained(*folders, whole_poster=True)


class TestLoading:
    @pytest.mark.slow
    def test_asks_no_question_and_runs_no_code_of_the_folder(self, tmp_path):
        """In a process that knows no PosterCLIP model, the folder's config names code that would have to be run."""
        tiny_model().save_pretrained(tmp_path)
        tiny_processor().save_pretrained(tmp_path)
        (tmp_path / "configuration_posterclip.py").write_text("raise SystemExit('the code of the folder was run')")
        code = f"from processing import PosterCLIPProcessor; PosterCLIPProcessor.from_pretrained({str(tmp_path)!r})"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, input="", capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "trust_remote_code" not in done.stdout + done.stderr and "custom code" not in done.stdout


POSTER = Image.new("RGB", (20, 30), "navy")
LINES = [{"text": "ab", "score": 0.9, "box": None}, {"text": "cd", "score": 0.9, "box": None}]
WORDS = ("poster_input_ids", "poster_attention_mask")


def lengths(**given) -> list[int]:
    """Tokens of each poster's words, the two around them included."""
    return tiny_processor()(**given, return_tensors="pt")["poster_attention_mask"].sum(1).tolist()


class TestPosterText:
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


class TestTitles:
    def test_are_tokenized_as_plots_are_and_an_empty_one_is_masked(self):
        inputs = tiny_processor()(text=["a long plot", "b", "c"], title=["abc", "", "a"], return_tensors="pt")
        expected = tiny_processor()(text=["abc", "a"], return_tensors="pt")
        assert torch.equal(inputs["title_input_ids"][[0, 2]], expected["input_ids"])
        assert inputs["title_attention_mask"].sum(1).tolist() == [5, 0, 3]
        assert inputs["input_ids"].shape[0] == 3

    def test_of_one_movie_is_a_text(self):
        assert tiny_processor()(text="a plot", title="abc", return_tensors="pt")["title_input_ids"].shape == (1, 5)

    @pytest.mark.parametrize(("plots", "titles"), [(["a", "b"], ["c"]), ("ab", ["c", "d"])])
    def test_must_be_as_many_as_plots(self, plots, titles):
        with pytest.raises(ValueError, match=r"title: \d titles for \d plots"):
            tiny_processor()(text=plots, title=titles, return_tensors="pt")
