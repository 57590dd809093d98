"""Reads the text on a poster by optical character recognition (OCR)."""

from functools import lru_cache
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image

SHORT_SIDE = 736  # pixels that the detector needs at least; a smaller poster is enlarged towards them
ENLARGEMENT = 2  # at most
LONG_SIDE = 2000  # pixels; a larger poster is reduced to them
ELONGATION = 4  # of a strip; a longer one gets a margin, as it would be enlarged by its short side, without bound
# What the model of rapidocr's wheel does not read, by the code of the language: rapidocr's name of the model that does.
OTHER_MODELS = {
    **dict.fromkeys(("ar", "fa", "ug", "ur", "arabic"), "arabic"),
    **dict.fromkeys(("be", "ru", "uk", "eslav"), "eslav"),
    **dict.fromkeys(("bg", "kk", "ky", "mk", "mn", "sr", "tg", "cyrillic"), "cyrillic"),
    **dict.fromkeys(("hi", "mr", "ne", "sa", "devanagari"), "devanagari"),
    **dict.fromkeys(("ko", "korean"), "korean"),
    **{language: language for language in ("el", "ta", "te", "th")},
}


class Line(TypedDict):
    """A line of text: its characters, the confidence of the OCR (0 to 1), and the box around it if known.

    The box is (left, top, right, bottom) as fractions of the poster's width and height.
    """

    text: str
    score: float
    box: list[float] | None


def recognize_text(image: Image.Image, language: str | None = None) -> list[Line]:
    """Returns the lines of text on a poster, from top to bottom, those in a row from left to right.

    The models are those of rapidocr (PP-OCR, Du et al. 2020, https://arxiv.org/abs/2009.09941) with their default
    settings. Several threads may read at a time; each call runs in one thread, so the result does not depend on the
    number of cores.

    Args:
        image: RGB, of any size. Small posters are enlarged and large ones reduced first.
        language: code of the language on the posters ("ko", "ru"). None is the model of rapidocr's wheel, which reads
            Chinese, Japanese, English and the other languages in Latin script. `OTHER_MODELS` need a download.

    Returns:
        The lines; an empty list for a poster without text. Scores are rounded to 3 digits, boxes to 4.

    Raises:
        ImportError: rapidocr or its model of the language is not installed; the message says how to get it.
        ValueError: rapidocr has no model of the language.

    Example:
        >>> recognize_text(Image.open("posters/moby-dick.png"))[0]  # doctest: +SKIP
        {'text': 'MOBY-DICK', 'score': 0.998, 'box': [0.1531, 0.0729, 0.8516, 0.1594]}
    """
    engine = _engine(_recognition_model(language))
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
        fractions = [round(min(float(fraction), 1.0), 4) for fraction in box]
        lines.append({"text": text, "score": round(float(score), 3), "box": fractions})
    return lines


def engine_name(language: str | None = None) -> str:
    """Returns the key of a cache of `recognize_text`: the version, the settings and the recognition model.

    Raises:
        ImportError: rapidocr or its model of the language is not installed.
        ValueError: rapidocr has no model of the language.

    Example:
        >>> engine_name()  # doctest: +SKIP
        'rapidocr-3.10.0-736-2-2000-4'
    """
    model = _recognition_model(language)
    _engine(model)
    settings = [version("rapidocr"), SHORT_SIDE, ENLARGEMENT, LONG_SIDE, ELONGATION, *([model] if model else [])]
    return "-".join(["rapidocr", *map(str, settings)])


def _recognition_model(language: str | None) -> str | None:
    """Returns rapidocr's name of the recognition model of a language, None for that of its wheel."""
    if language is None or language in OTHER_MODELS:
        return OTHER_MODELS.get(language or "")
    try:
        from rapidocr import ModelType, OCRVersion
        from rapidocr.utils.model_resolver import list_supported_langs
        from rapidocr.utils.typings import TaskType
    except ImportError:
        return None  # said by `_engine`
    included = {*list_supported_langs(TaskType.REC, OCRVersion.PPOCRV6, ModelType.SMALL), "ja", "zh"}
    if language not in included:
        known = ", ".join(sorted({*included, *OTHER_MODELS}))
        raise ValueError(f"ocr_language: rapidocr has no model of {language!r}; there are {known}.")
    return None


@lru_cache(maxsize=1)
def _engine(model: str | None = None) -> Any:
    """Returns the engine with a recognition model; its models are loaded when it first reads."""
    try:
        import onnxruntime  # noqa: F401 (rapidocr loads it later, and does not bring it)
        import rapidocr
    except ImportError as error:
        message = "reading the text on posters needs rapidocr and onnxruntime"
        raise ImportError(f"{message} (pip install rapidocr onnxruntime): {error}") from error
    params: dict[str, Any] = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    if model:
        params |= {"Rec.lang_type": model, "Rec.ocr_version": rapidocr.OCRVersion.PPOCRV5}
        params |= {"Rec.model_type": rapidocr.ModelType.MOBILE}
        file = Path(rapidocr.__file__).parent / "models" / f"{model}_PP-OCRv5_rec_mobile.onnx"
        if not file.is_file():
            url = f"https://www.modelscope.cn/models/RapidAI/RapidOCR/resolve/v{version('rapidocr')}/onnx/PP-OCRv5/rec"
            message = f"rapidocr's wheel does not include the OCR model {model!r}"
            raise ImportError(f"{message}; get it by: curl -L --create-dirs -o {file} {url}/{file.name}")
    return rapidocr.RapidOCR(params={"Global.log_level": "critical", **params})
