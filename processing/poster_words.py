"""What is printed on a poster: which of it a model reads, and in which order."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Of the tallest line's height; what is as tall belongs to the title.
TITLE_HEIGHT = 0.6
MIN_SCORE = 0.5


def compose(lines: str | Sequence[Mapping[str, Any]] | None) -> str:
    """One text of a poster's lines, "" for one without any: the tallest lines, likely the title, then all of them.

    Lines that the reader was not sure of, and those without two letters, are left out. Words that were run together
    are parted where small letters meet capitals.

    Args:
        lines: each has `text`, `score` (0..1) and `box` (left, top, right, bottom, shares of the poster's sides), or
            a box that is None. A text of your own is taken as it is.

    Example:
        >>> compose([
        ...     {"text": "A voyage to the end of the sea", "score": 0.9, "box": [0.1, 0.1, 0.9, 0.13]},
        ...     {"text": "MOBY", "score": 0.9, "box": [0.1, 0.7, 0.9, 0.8]},
        ...     {"text": "DICKtheWHALE", "score": 0.9, "box": [0.1, 0.8, 0.9, 0.9]},
        ... ])
        'MOBY DICK the WHALE. A voyage to the end of the sea MOBY DICK the WHALE'
    """
    if isinstance(lines, str):
        return lines.strip()
    letters = re.compile(r"[^\W\d_]")
    kept = [line for line in lines or () if line["score"] >= MIN_SCORE and len(letters.findall(line["text"])) > 1]
    everything = " ".join(_parted(line["text"]) for line in kept)
    if not kept or any(line["box"] is None for line in kept):
        return everything
    heights = [line["box"][3] - line["box"][1] for line in kept]
    title = [line for line, height in zip(kept, heights, strict=True) if height >= TITLE_HEIGHT * max(heights)]
    return f"{' '.join(_parted(line['text']) for line in title)}. {everything}"


def _parted(text: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z]{2})|(?<=[A-Z]{2})(?=[a-z]{2})", " ", text)
