"""The text on posters as a catalogue gives it: a column `poster_text`, or files beside the metadata."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import List, Value

from processing.posterclip.ocr import Line

from .sources.columns import Columns
from .sources.rows import BadRow, bad_row
from .sources.tables import POSTER_TEXT_FILES, read_table
from .sources.values import as_id, as_text, match_ids

LINES = List({"text": Value("string"), "score": Value("float64"), "box": List(Value("float64"))})
_COLUMNS = Columns({"id": ["id"]})


@dataclass
class PosterText:
    """The lines on posters that files give, by the movie's id or by the poster's file.

    Args:
        by_id: the lines of a movie with one poster.
        by_file: the lines of a poster.
        bad_rows: rows that cannot be used.
        unused: the ids and files that no poster has, after `join`.
    """

    by_id: dict[str, list[Line]] = field(default_factory=dict)
    by_file: dict[str, list[Line]] = field(default_factory=dict)
    bad_rows: list[BadRow] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def join(self, posters: Sequence[tuple[str, str]]) -> list[list[Line] | None]:
        """Returns the lines of each poster, None where no row gives them.

        Args:
            posters: the movie's id, "" if it is not known, and the poster's file. Ids are compared by `match_ids`; an
                id alone says nothing where a movie has several posters.
        """
        counts = Counter(number for number, _ in posters)
        key_of = {number: key for key, number in match_ids(self.by_id, filter(None, counts)).items()}
        found: list[list[Line] | None] = []
        used: set[str] = set()
        for number, file in posters:
            name = Path(file).name if Path(file).name in self.by_file else file
            key = key_of.get(number, "")
            if name in self.by_file:
                found.append(self.by_file[name])
                used.add(name)
            elif key and counts[number] == 1:
                found.append(self.by_id[key])
                used.add(key)
            else:
                found.append(None)
        self.unused = [name for name in (*self.by_id, *self.by_file) if name not in used]
        return found

    def warnings(self) -> list[str]:
        """Returns a line that names the rows which belong to no poster, if there are such, after `join`."""
        if not self.unused:
            return []
        names = ", ".join([*self.unused[:5], *(["..."] if len(self.unused) > 5 else [])])
        return [f"rows of {POSTER_TEXT_FILES} that belong to no poster: {len(self.unused)} ({names})"]


def check_lines(value: Any) -> list[Line] | None:
    """Returns the lines of a poster out of what a source gives for them, None where nobody has read it.

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


def read_poster_text(source: Path) -> PosterText:
    """Returns the lines in the files `poster_text*.jsonl` of a source's folder and its sub-folders.

    A row is `{"id", "lines"}`, or `{"file_name", "lines"}` where movies have several posters. Files of several names
    are several readings of the posters, at other sizes or by other engines: the lines of a poster follow one another in
    the order of the names, those of `poster_text.jsonl` first.
    """
    folder = source.parent if source.is_file() else source
    paths = [*folder.glob(POSTER_TEXT_FILES), *folder.glob(f"*/{POSTER_TEXT_FILES}")] if folder.is_dir() else []
    text = PosterText()
    taken: set[tuple[str, str]] = set()
    for path in sorted(paths, key=lambda path: (path.stem, path)):
        for row in read_table(path).rows:
            row.where = f"{path.relative_to(folder)} {row.where}"
            try:
                if row.problem:
                    raise ValueError(row.problem)
                _add(row.fields, text, path.name, taken)
            except ValueError as error:
                text.bad_rows.append(bad_row(row, _COLUMNS, str(error)))
    return text


def _add(fields: dict[str, Any], text: PosterText, reading: str, taken: set[tuple[str, str]]) -> None:
    """Add the lines of a row of a reading to those of its poster."""
    file, number = as_text(fields.get("file_name"), "file_name"), as_id(fields.get("id"))
    if not (file or number):
        raise ValueError("no id")
    if (reading, file or number) in taken:
        raise ValueError(f"the {'file_name' if file else 'id'} is taken by a row above")
    lines = check_lines(fields.get("lines"))
    if lines is None:
        raise ValueError("no lines")
    taken.add((reading, file or number))
    (text.by_file if file else text.by_id).setdefault(file or number, []).extend(lines)


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
