"""Composes the poster text of a model from OCR lines: which lines, and in which order."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

TITLE_HEIGHT = 0.6  # of the tallest line; a line of at least this height counts as part of the title
MIN_SCORE = 0.5


def compose_text(lines: str | Sequence[str | Mapping[str, Any]] | None) -> str:
    """Returns one text of the lines on a poster: the tallest lines, which are likely the title, then all lines.

    Lines with a score below `MIN_SCORE`, and lines without two letters (or one of Chinese, Japanese or Korean), are
    left out. Words that OCR has joined are separated where small letters meet capitals. Without lines the text is "".

    Args:
        lines: each a text, or a mapping of `text` and maybe `score` (0..1) and `box` (left, top, right and bottom as
            fractions of the poster's sides). If a box is missing, the text is that of all lines. A single text is
            returned as it is.

    Example:
        >>> compose_text([
        ...     {"text": "A voyage to the end of the sea", "score": 0.9, "box": [0.1, 0.1, 0.9, 0.13]},
        ...     {"text": "MOBY", "score": 0.9, "box": [0.1, 0.7, 0.9, 0.8]},
        ...     {"text": "DICKtheWHALE", "score": 0.9, "box": [0.1, 0.8, 0.9, 0.9]},
        ... ])
        'MOBY DICK the WHALE. A voyage to the end of the sea MOBY DICK the WHALE'
    """
    if isinstance(lines, str):
        return lines.strip()
    kept = [line for line in map(_line, lines or ()) if line["score"] >= MIN_SCORE and _has_letters(line["text"])]
    everything = " ".join(_separate_words(line["text"]) for line in kept)
    if not kept or any(line["box"] is None for line in kept):
        return everything
    heights = [line["box"][3] - line["box"][1] for line in kept]
    title = [line for line, height in zip(kept, heights, strict=True) if height >= TITLE_HEIGHT * max(heights)]
    return f"{' '.join(_separate_words(line['text']) for line in title)}. {everything}"


def _line(line: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"score": 1.0, "box": None, **({"text": line} if isinstance(line, str) else line)}


def _has_letters(text: str) -> bool:
    letters = re.findall(r"[^\W\d_]", text)
    return len(letters) > 1 or any(letter >= "\u2e80" for letter in letters)


def _separate_words(text: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z]{2})|(?<=[A-Z]{2})(?=[a-z]{2})", " ", text)
