import pytest

from processing import PosterCLIPProcessor
from processing.posterclip import processing_posterclip
from processing.posterclip.processing_posterclip import logger
from tests.tiny import tiny_processor


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
