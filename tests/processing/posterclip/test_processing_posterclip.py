import io
import re
import subprocess
import sys
from base64 import b64encode
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from transformers import (
    AutoProcessor,
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    DeiTImageProcessor,
    ViTImageProcessor,
)

from processing import PosterCLIPProcessor
from processing.posterclip import ocr, processing_posterclip, rgb
from processing.posterclip.processing_posterclip import logger
from processing.posterclip.rgb import to_rgb
from tests.tiny import tiny_model, tiny_processor

ROOT = Path(__file__).parents[3]


@pytest.fixture
def reader() -> PosterCLIPProcessor:
    """A processor that runs OCR."""
    processor = tiny_processor()
    processor.run_ocr = True
    return processor


@pytest.fixture
def fake_ocr(monkeypatch):
    """OCR that finds one letter for each different poster; the posters that were read, in order."""
    posters = []

    def recognize(poster, language, sizes):
        posters.append(poster)
        return [{"text": "ab" + "x" * (sum(poster.getpixel((0, 0))) % 7), "score": 0.9, "box": None}]

    monkeypatch.setattr(processing_posterclip, "recognize_text", recognize)
    return posters


@pytest.fixture
def warnings_logged(monkeypatch):
    """The messages of the processor's warnings."""
    messages = []
    logger.warning_once.cache_clear()
    monkeypatch.setattr(logger, "warning", lambda message: messages.append(message))
    yield messages
    logger.warning_once.cache_clear()


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


NOISE = Image.effect_noise((20, 30), 90).convert("RGB")
PIXELS = np.asarray(NOISE)


def file_content():
    stream = io.BytesIO()
    NOISE.save(stream, "PNG")
    return stream.getvalue()


# The same poster in every form that a processor takes.
FORMS = {
    "PIL": NOISE,
    "bytes": file_content(),
    "data URI": f"data:image/png;base64,{b64encode(file_content()).decode()}",
    "array": PIXELS,
    "array, channels first": PIXELS.transpose(2, 0, 1),
    "float array from 0 to 1": PIXELS / 255,
    "float array from 0 to 255": PIXELS.astype(np.float32),
    "int32 array": PIXELS.astype(np.int32),
    "16-bit array": PIXELS.astype(np.uint16) * 257,
    "tensor": torch.tensor(PIXELS),
    "float tensor": torch.tensor(PIXELS.transpose(2, 0, 1)) / 255,
    "bfloat16 tensor": torch.tensor(PIXELS).bfloat16(),
    "tensor that needs a gradient": torch.tensor(PIXELS / 255, requires_grad=True),
    "nested list": PIXELS.tolist(),
    "batch of arrays": PIXELS[None],
    "batch of tensors": torch.tensor(PIXELS)[None],
    "list": [NOISE],
    "list of lists": [[NOISE]],
    "list of nested lists": [PIXELS.tolist()],
}


class TestEveryFormOfAnImage:
    def check(self, reader, form, fake_ocr):
        expected = reader(images=NOISE, text="a plot", return_tensors="pt")
        found = reader(images=form, text="a plot", return_tensors="pt")
        assert found.keys() == expected.keys() and set(WORDS) <= expected.keys()
        for name, value in expected.items():
            assert torch.equal(found[name], value), name
        assert fake_ocr == [NOISE, NOISE]

    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
    def test_is_read_as_a_pil_image_is(self, reader, form, fake_ocr):
        self.check(reader, form, fake_ocr)

    @pytest.mark.parametrize("kind", [str, Path])
    def test_path(self, reader, kind, fake_ocr, tmp_path):
        (tmp_path / "poster.jpg").write_bytes(file_content())
        self.check(reader, kind(tmp_path / "poster.jpg"), fake_ocr)

    def test_url(self, reader, fake_ocr, monkeypatch):
        monkeypatch.setattr(rgb, "urlopen", lambda request, timeout: io.BytesIO(file_content()))
        self.check(reader, "https://example.org/poster", fake_ocr)

    def test_in_one_list(self, reader, fake_ocr):
        batch = reader(images=[*FORMS.values()], return_tensors="pt")
        assert len(batch["pixel_values"]) == len(batch["poster_input_ids"]) == len(fake_ocr) == len(FORMS)
        assert all(torch.equal(values, batch["pixel_values"][0]) for values in batch["pixel_values"])

    def test_of_different_sizes_as_nested_lists(self, reader):
        small, large = np.zeros((4, 5, 3), int).tolist(), np.zeros((6, 7, 3), int).tolist()
        assert reader(images=[small, large], poster_text=["", ""], return_tensors="pt")["pixel_values"].shape[0] == 2

    def test_arrays_that_are_not_to_be_rescaled_stay_as_they_are(self, reader, fake_ocr):
        values = torch.rand(3, 32, 32)
        for options in ({"do_rescale": False}, {"images_kwargs": {"do_rescale": False}}):
            plain = reader(images=values, return_tensors="pt", **options)
            expected = reader.image_processor(values, do_rescale=False, return_tensors="pt")["pixel_values"]
            assert torch.equal(plain["pixel_values"], expected)
        assert fake_ocr == [to_rgb(values.numpy())] * 2

    def test_normalised_tensors_are_passed_on_without_text_and_this_is_said_once(
        self, reader, fake_ocr, warnings_logged
    ):
        values, done = torch.randn(2, 3, 32, 32), {"do_resize": False, "do_rescale": False, "do_normalize": False}
        for _ in range(2):
            batch = reader(images=values, return_tensors="pt", **done)
            assert torch.equal(batch["pixel_values"], values) and not batch["poster_attention_mask"].any()
        (message,) = warnings_logged
        assert "normalised tensors" in message and not fake_ocr

    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            (np.full((4, 4, 3), np.nan), r"images\[1\]: pixel values from nan to nan: they must be finite"),
            (torch.tensor([[0.0, float("inf")]]), r"images\[1\]: pixel values from 0 to inf"),
            (np.full((4, 4), -1), r"images\[1\]: pixel values from -1 to -1"),
            (b"%PDF-1.4", r"images\[1\]: not an image: starts with %PDF"),
            ("no/such/poster.jpg", r"images\[1\] \(no/such/poster.jpg\): no such file"),
            (None, r"images\[1\]: NoneType is no image"),
            ({"path": "a.jpg"}, r"images\[1\]: dict is no image"),
            (np.zeros((5, 6, 7)), r"images\[1\]: an array of shape \(5, 6, 7\) is no image"),
        ],
    )
    def test_that_cannot_be_used_is_named_with_the_reason(self, image, reason):
        with pytest.raises(ValueError, match=reason):
            tiny_processor()(images=[NOISE, image], return_tensors="pt")

    def test_text_is_never_a_path(self, tmp_path):
        (tmp_path / "poster.png").write_bytes(file_content())
        batch = tiny_processor(40)(text=str(tmp_path / "poster.png"), return_tensors="pt")
        assert batch.keys() == {"input_ids", "attention_mask"}


class TestOCR:
    def test_is_kept_when_a_processor_is_saved(self, reader, tmp_path):
        reader.ocr_language, reader.ocr_sizes = "ko", [640, 448]
        for name, processor in (("with", reader), ("without", tiny_processor())):
            processor.save_pretrained(tmp_path / name)
            for load in (AutoProcessor, PosterCLIPProcessor):
                loaded = load.from_pretrained(tmp_path / name, trust_remote_code=True)
                for setting in ("run_ocr", "ocr_language", "ocr_sizes"):
                    assert getattr(loaded, setting) == getattr(processor, setting)

    def test_reads_with_the_settings_of_the_processor(self, reader, monkeypatch):
        used = []
        monkeypatch.setattr(processing_posterclip, "recognize_text", lambda _, *settings: used.append(settings))
        reader(images=POSTER, return_tensors="pt")
        reader.ocr_language, reader.ocr_sizes = "ko", [640]
        reader(images=POSTER, return_tensors="pt")
        assert used == [(None, list(ocr.SIZES)), ("ko", [640])]

    @pytest.mark.parametrize("sizes", [[], [448, 31]])
    def test_needs_sizes(self, reader, sizes):
        with pytest.raises(ValueError, match="ocr_sizes"):
            PosterCLIPProcessor(reader.image_processor, reader.tokenizer, ocr_sizes=sizes)

    def test_does_not_run_where_the_text_is_given(self, reader, fake_ocr):
        assert reader(images=POSTER, poster_text="ab", return_tensors="pt")["poster_attention_mask"].sum() == 4
        assert not reader(images=POSTER, poster_text=[], return_tensors="pt")["poster_attention_mask"].any()
        assert not set(WORDS) & reader(text="a plot", return_tensors="pt").keys()
        assert not fake_ocr

    def test_runs_on_the_posters_whose_text_is_none(self, reader, monkeypatch):
        monkeypatch.setattr(processing_posterclip, "recognize_text", lambda *_: LINES)
        batch = reader(images=[POSTER] * 3, poster_text=["abc", None, ""], return_tensors="pt")
        assert batch["poster_attention_mask"].sum(1).tolist() == [5, 7, 0]

    @pytest.mark.parametrize(
        ("language", "how_to_get_it"), [(None, "pip install rapidocr onnxruntime"), ("ko", "curl .*korean")]
    )
    def test_that_is_not_installed_is_named_once_and_posters_count_as_without_text(
        self, reader, monkeypatch, warnings_logged, language, how_to_get_it
    ):
        if language is None:
            monkeypatch.setitem(sys.modules, "rapidocr", None)
        else:
            pytest.importorskip("rapidocr")
        ocr._engine.cache_clear()
        reader.ocr_language = language
        batches = [reader(images=[POSTER] * 2, text="a", return_tensors="pt") for _ in range(3)]
        assert all(batch["poster_attention_mask"].tolist() == [[0, 0], [0, 0]] for batch in batches)
        (message,) = warnings_logged
        assert re.search(f"posters without text: .*{how_to_get_it}", message)

    @pytest.mark.slow
    @pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
    def test_finds_the_words_of_a_poster(self, reader, tmp_path):
        ocr._engine.cache_clear()
        poster = Image.new("RGB", (320, 480), "navy")
        ImageDraw.Draw(poster).text((160, 100), "MOBY", "white", ImageFont.load_default(size=60), anchor="mm")
        poster.save(tmp_path / "poster.png")
        forms = [tmp_path / "poster.png", np.asarray(poster), POSTER.resize((320, 480))]
        found = reader(images=forms, return_tensors="pt")
        twice = "MOBY MOBY. MOBY MOBY"
        expected = reader(poster_text=[twice, twice, ""], return_tensors="pt")
        assert all(torch.equal(found[name], expected[name]) for name in WORDS)
