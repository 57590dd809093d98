import re
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from transformers import (
    AutoProcessor,
)

from processing import PosterCLIPProcessor
from processing.posterclip import ocr, processing_posterclip
from tests.tiny import tiny_processor

POSTER = Image.new("RGB", (20, 30), "navy")
LINES = [{"text": "ab", "score": 0.9, "box": None}, {"text": "cd", "score": 0.9, "box": None}]
WORDS = ("poster_input_ids", "poster_attention_mask")


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
