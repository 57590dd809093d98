"""What a model reads of what is printed on a poster: which lines, and in which order."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Of the tallest line's height; what is as tall belongs to the title.
TITLE_HEIGHT = 0.6
MIN_SCORE = 0.5


def compose_text(lines: str | Sequence[str | Mapping[str, Any]] | None) -> str:
    """One text of a poster's lines, "" for one without any: the tallest lines, likely the title, then all of them.

    Lines that the reader was not sure of, and those without two letters (or one of Chinese, Japanese or Korean), are
    left out. Words that were run together are parted where small letters meet capitals.

    Args:
        lines: each a text, or a mapping of `text` and maybe `score` (0..1) and `box` (left, top, right and bottom as
            shares of the poster's sides). Without all boxes there is no tallest. One text is taken as it is.

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
    kept = [line for line in map(_line, lines or ()) if line["score"] >= MIN_SCORE and _says_something(line["text"])]
    everything = " ".join(_parted(line["text"]) for line in kept)
    if not kept or any(line["box"] is None for line in kept):
        return everything
    heights = [line["box"][3] - line["box"][1] for line in kept]
    title = [line for line, height in zip(kept, heights, strict=True) if height >= TITLE_HEIGHT * max(heights)]
    return f"{' '.join(_parted(line['text']) for line in title)}. {everything}"


def _line(line: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"score": 1.0, "box": None, **({"text": line} if isinstance(line, str) else line)}


def _says_something(text: str) -> bool:
    letters = re.findall(r"[^\W\d_]", text)
    return len(letters) > 1 or any(letter >= "\u2e80" for letter in letters)


def _parted(text: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z]{2})|(?<=[A-Z]{2})(?=[a-z]{2})", " ", text)
