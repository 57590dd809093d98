"""Reading what is printed on a poster, by optical character recognition (OCR)."""

from functools import lru_cache
from importlib.metadata import version
from math import ceil
from typing import Any, TypedDict

from PIL import Image

SHORT_SIDE = 736  # pixels that the detector wants at least; a poster with fewer is enlarged towards them
ENLARGEMENT = 2  # at most
LONG_SIDE = 2000  # pixels; a poster with more is reduced to them
ELONGATION = 4  # of a strip; a longer one gets a margin, as it would be enlarged by its short side, without bound


class Line(TypedDict):
    """A line of print: its text, how sure that is (0 to 1), and the rectangle around it if its place is known.

    The box is (left, top, right, bottom) in shares of the poster's width and height.
    """

    text: str
    score: float
    box: list[float] | None


def recognize_text(image: Image.Image) -> list[Line]:
    """The lines printed on a poster, from top to bottom, those in a row from left to right.

    It is read by the models of rapidocr's wheel (PP-OCR, Du et al. 2020, https://arxiv.org/abs/2009.09941) with their
    default settings. Several threads may read at a time; each call runs in one thread, so what is read does not
    depend on the number of cores.

    Args:
        image: RGB, of any size: small posters are enlarged and large ones reduced first.

    Returns:
        Nothing, where nothing is printed. Scores are rounded to 3 digits, boxes to 4.

    Raises:
        ImportError: rapidocr is not installed.

    Example:
        >>> recognize_text(Image.open("posters/moby-dick.png"))[0]  # doctest: +SKIP
        {'text': 'MOBY-DICK', 'score': 0.998, 'box': [0.1531, 0.0729, 0.8516, 0.1594]}
    """
    engine = _engine()
    scale = min(max(1, min(ENLARGEMENT, SHORT_SIDE / min(image.size))), LONG_SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    margin = (max(width, ceil(height / ELONGATION)), max(height, ceil(width / ELONGATION)))
    found = engine(image.crop((0, 0, *margin)))
    if not found.txts:
        return []
    lines: list[Line] = []
    for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
        (left, top), (right, bottom) = corners.min(0), corners.max(0)
        box = [left / width, top / height, right / width, bottom / height]
        shares = [round(min(float(share), 1.0), 4) for share in box]
        lines.append({"text": text, "score": round(float(score), 3), "box": shares})
    return lines


def engine_name() -> str:
    """What `recognize_text` depends on, to keep by: the version of the OCR and its settings.

    Raises:
        ImportError: rapidocr is not installed.

    Example:
        >>> engine_name()  # doctest: +SKIP
        'rapidocr-3.10.0-736-2-2000-4'
    """
    _engine()
    return f"rapidocr-{version('rapidocr')}-{SHORT_SIDE}-{ENLARGEMENT}-{LONG_SIDE}-{ELONGATION}"


@lru_cache(maxsize=1)
def _engine() -> Any:
    """The engine, made once a process; its models are loaded when it first reads."""
    try:
        import onnxruntime  # noqa: F401 (rapidocr loads it later, and does not bring it)
        from rapidocr import RapidOCR
    except ImportError as error:
        message = "reading what is printed on posters needs rapidocr and onnxruntime"
        raise ImportError(f"{message} (pip install rapidocr onnxruntime): {error}") from error
    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return RapidOCR(params={"Global.log_level": "critical", **threads})
