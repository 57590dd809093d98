"""Reads the text on a poster by optical character recognition (OCR)."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image

SIZES = (448, 320)  # pixels of the short side in each reading
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


def recognize_text(image: Image.Image, language: str | None = None, sizes: Sequence[int] = SIZES) -> list[Line]:
    """Returns the lines of text on a poster, from top to bottom, those in a row from left to right.

    A poster is read at several sizes, and the readings follow one another. Each finds letters that the others miss, and
    what several agree on, which is then there several times, is more likely right.

    The models are those of rapidocr (PP-OCR, Du et al. 2020, https://arxiv.org/abs/2009.09941). Several threads may
    read at a time; each call runs in one thread, so the result does not depend on the number of cores.

    Args:
        image: RGB, of any size.
        language: code of the language on the posters ("ko", "ru"). None is the model of rapidocr's wheel, which reads
            Chinese, Japanese, English and the other languages in Latin script. `OTHER_MODELS` need a download.
        sizes: pixels of the short side in each reading, to which the poster is enlarged or reduced. The first reading
            does not reduce it, so that small print is not lost, but to `LONG_SIDE`.

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
    first, *others = sizes
    scales = (
        min(size / min(image.size), LONG_SIDE / max(image.size)) for size in (max(first, min(image.size)), *others)
    )
    shapes = [(max(1, round(image.width * scale)), max(1, round(image.height * scale))) for scale in scales]
    return [line for shape in dict.fromkeys(shapes) for line in _read(engine, image, shape)]


def _read(engine: Any, image: Image.Image, shape: tuple[int, int]) -> Iterator[Line]:
    """Yields the lines that an engine finds on a poster of this width and height."""
    width, height = shape
    margin = (max(width, ceil(height / ELONGATION)), max(height, ceil(width / ELONGATION)))
    found = engine(image.resize(shape, Image.Resampling.BICUBIC).crop((0, 0, *margin)))
    for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True) if found.txts else ():
        (left, top), (right, bottom) = corners.min(0), corners.max(0)
        box = [left / width, top / height, right / width, bottom / height]
        fractions = [round(min(float(fraction), 1.0), 4) for fraction in box]
        yield {"text": text, "score": round(float(score), 3), "box": fractions}


def engine_name(language: str | None = None, sizes: Sequence[int] = SIZES) -> str:
    """Returns the key of a cache of `recognize_text`: the version, the settings and the recognition model.

    Raises:
        ImportError: rapidocr or its model of the language is not installed.
        ValueError: rapidocr has no model of the language.

    Example:
        >>> engine_name()  # doctest: +SKIP
        'rapidocr-3.10.0-448-320-2000-4'
    """
    model = _recognition_model(language)
    _engine(model)
    settings = [version("rapidocr"), *sizes, LONG_SIDE, ELONGATION, *([model] if model else [])]
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
        import onnxruntime  # rapidocr loads it later, and does not bring it
        import rapidocr
    except ImportError as error:
        message = "reading the text on posters needs rapidocr and onnxruntime"
        raise ImportError(f"{message} (pip install rapidocr onnxruntime): {error}") from error
    onnx: dict[str, Any] = {"intra_op_num_threads": 1, "inter_op_num_threads": 1, "enable_cpu_mem_arena": True}
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # Each line has a width of its own; the default would try all algorithms for every width.
        onnx |= {"use_cuda": True, "cuda_ep_cfg.cudnn_conv_algo_search": "HEURISTIC"}
    params: dict[str, Any] = {f"EngineConfig.onnxruntime.{name}": value for name, value in onnx.items()}
    # The detector gets the size that was asked for; lines are recognised one by one, as padding takes time as well.
    params |= {"Det.limit_side_len": 32, "Rec.rec_img_shape": [3, 48, 48], "Rec.rec_batch_num": 1}
    if model:
        params |= {"Rec.lang_type": model, "Rec.ocr_version": rapidocr.OCRVersion.PPOCRV5}
        params |= {"Rec.model_type": rapidocr.ModelType.MOBILE}
        file = Path(rapidocr.__file__).parent / "models" / f"{model}_PP-OCRv5_rec_mobile.onnx"
        if not file.is_file():
            url = f"https://www.modelscope.cn/models/RapidAI/RapidOCR/resolve/v{version('rapidocr')}/onnx/PP-OCRv5/rec"
            message = f"rapidocr's wheel does not include the OCR model {model!r}"
            raise ImportError(f"{message}; get it by: curl -L --create-dirs -o {file} {url}/{file.name}")
    return rapidocr.RapidOCR(params={"Global.log_level": "critical", **params})
