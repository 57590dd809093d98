"""What is printed on posters as a catalogue gives it: a column `poster_text`, or a file beside the metadata."""

from pathlib import Path
from typing import Any

from datasets import List, Value

from processing.posterclip.ocr import Line

from .rows import Row, as_text, read_rows

LINES = List({"text": Value("string"), "score": Value("float64"), "box": List(Value("float64"))})
FILE = "poster_text.jsonl"


def check_lines(value: Any) -> list[Line] | None:
    """The lines of a poster out of what a source gives for them; None where it is not known what is printed on it.

    Args:
        value: a list of lines, each a text or a mapping with `text` and maybe `score` (1 without) and `box` (None
            without), or one text, whose lines they are. A blank line is left out.

    Raises:
        ValueError: it is something else; the message is the reason.

    Example:
        >>> check_lines("MOBY-DICK")
        [{'text': 'MOBY-DICK', 'score': 1.0, 'box': None}]
        >>> check_lines([]), check_lines("")
        ([], None)
    """
    if isinstance(value, str):
        value = as_text(value, "poster_text").splitlines() or None
    if value is None or value != value:  # NaN
        return None
    if not isinstance(value, list):
        raise ValueError(f"poster_text is not a list of lines but {type(value).__name__}")
    lines = []
    for number, line in enumerate(value, 1):
        try:
            lines.append(_check_line({"text": line} if isinstance(line, str) else line))
        except ValueError as error:
            raise ValueError(f"line {number} of poster_text: {error}") from None
    return [line for line in lines if line["text"].strip()]


def read_poster_text_file(folder: Path) -> tuple[dict[str, list[Line]], list[Row]]:
    """The lines by the movie's id out of `poster_text.jsonl`, if it lies in the folder, and the bad rows of it.

    A row is `{"id", "lines"}`; ids that no movie has do no harm.
    """
    if not (folder / FILE).is_file():
        return {}, []
    texts: dict[str, list[Line]] = {}
    rows = read_rows(folder / FILE)
    for row in rows:
        row.where = f"{FILE} {row.where}"
        try:
            row.problem = row.problem or _take(row.fields, texts)
        except ValueError as error:
            row.problem = str(error)
    return texts, [row for row in rows if row.problem]


def _take(fields: dict[str, Any], texts: dict[str, list[Line]]) -> str:
    """Put the lines of a row among the others; the reason if they cannot be."""
    if not (number := as_text(fields.get("id"), "id")):
        return "no id"
    if number in texts:
        return "the id is taken by a row above"
    lines = check_lines(fields.get("lines"))
    if lines is None:
        return "no lines"
    texts[number] = lines
    return ""


def _check_line(line: Any) -> Line:
    if not isinstance(line, dict) or not isinstance(line.get("text"), str):
        raise ValueError("it has no text")
    try:
        line["text"].encode()
    except UnicodeEncodeError:
        raise ValueError("the text is not UTF-8") from None
    score = 1 if line.get("score") is None else line["score"]
    if not _is_share(score):
        raise ValueError(f"the score {str(score)[:20]!r} is not a number from 0 to 1")
    box = line.get("box")
    if box is not None and not (isinstance(box, list) and len(box) == 4 and all(map(_is_share, box))):
        raise ValueError(f"the box {str(box)[:40]!r} is not four shares of width and height")
    if box is not None and (box[0] > box[2] or box[1] > box[3]):
        raise ValueError(f"the box {box} is not left, top, right, bottom")
    return {"text": line["text"], "score": float(score), "box": box and [float(share) for share in box]}


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
