"""Rows as files give them, before any check: what the layouts have in common."""

import csv
import io
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image

PLOT_COLUMNS = (
    *("plots", "plot", "plot_short", "plot_long", "intro", "overview", "summary", "synopsis"),
    *("description", "wiki_intro", "text", "caption"),
)
ABSENT = {"", "nan", "none", "null", "n/a", "(no genres listed)"}


class CatalogueError(ValueError):
    """A catalogue cannot be used; the message says which file or row and why."""

    def __str__(self) -> str:
        """The message, with what no terminal could print (bytes of a file that is not UTF-8) as escapes."""
        return super().__str__().encode(errors="backslashreplace").decode()


@dataclass
class Row:
    """One row as its file gives it: column names in lower case; a `problem` says why it cannot be used."""

    where: str
    fields: dict[str, Any] = field(default_factory=dict)
    poster: str = ""
    path: Path | None = None
    split: Any = None
    problem: str = ""


@dataclass
class Source:
    """Rows, their posters (a column `image`, not decoded, one a row) and the columns of their plots.

    `split_by` says where the splits come from, if the rows have any; `poster_text` is what a file beside the rows says
    of the print on their posters, by id.
    """

    rows: list[Row]
    images: Dataset
    plot_columns: list[str]
    split_by: str = "given"
    poster_text: Mapping[str, Any] = field(default_factory=dict)


def as_text(value: Any, what: str) -> str:
    """The value as text without space around it, "" if it is absent."""
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"{what} is not text but {type(value).__name__}")
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not UTF-8 text") from None
    return "" if text.lower() in ABSENT else text


def choose_plot_columns(columns: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The columns that hold plots: the wanted ones, or those with a known name; none if no row can be read.

    Raises:
        CatalogueError: there are none, or a wanted one is missing.
    """
    found = [column.lower() for column in wanted or PLOT_COLUMNS if column.lower() in columns]
    if columns and len(found) < len(wanted or [""]):
        missing = "a wanted column of plots is missing" if wanted else "no column has a known name for plots"
        raise CatalogueError(f"{missing}; name those to take by plot_columns; columns: {', '.join(columns)}")
    return found


def locate_poster(row: Row, root: Path, path: Path) -> None:
    """Set the path of a row's poster; neither `..` nor a link may lead out of the catalogue's root."""
    try:
        str(path).encode()
        real = Path(os.path.realpath(path))
    except ValueError:  # not UTF-8, or a NUL in it
        row.problem = "the path is not valid text"
        return
    if real.is_relative_to(root):
        row.path = real
    else:
        row.problem = "the path leaves the folder"


def read_rows(path: Path) -> list[Row]:
    """The rows of a .jsonl or .csv file, numbered as editors number lines and spreadsheets rows."""
    # Bytes that are not UTF-8 become lone surrogates here, so that only the rows they lie in are bad.
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    try:
        rows = list(_csv_rows(text) if path.suffix == ".csv" else _json_rows(text))
    except csv.Error as error:
        raise CatalogueError(f"the first row of {path} is not CSV: {error}") from None
    if not rows:
        raise CatalogueError(f"{path} holds no rows")
    return rows


def _json_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = Row(f"row {number}")
        try:
            row.fields = {name.lower(): value for name, value in json.loads(line).items()}
        except AttributeError:
            row.problem = "not a JSON object"
        except (ValueError, RecursionError) as error:
            row.problem = f"not JSON: {error}"
        yield row


def _csv_rows(text: str) -> Iterator[Row]:
    limit = csv.field_size_limit(2**31 - 1)  # a plot of a megabyte is a bad row, not a broken file
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [column.strip().lower() for column in next(reader, [])]
        for number in itertools.count(2):
            row = Row(f"row {number}")
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                row.problem = f"not CSV: {error}"
                yield row
                continue
            row.fields = dict(zip(header, cells, strict=False))
            if len(cells) != len(header):
                row.problem = f"{len(cells)} cells where the header has {len(header)}"
            if cells:
                yield row
    finally:
        csv.field_size_limit(limit)


def read_text_file(path: Path) -> list[Row]:
    """The lines of a MovieLens text file that are not blank, each in the field `line`."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:  # movies.dat is UTF-8 since MovieLens 10M, and was latin-1 before
        latin = path.name == "movies.dat"
        text = content.decode("latin-1") if latin else content.decode(errors="surrogateescape")
    lines = enumerate(text.split("\n"), 1)
    rows = [Row(f"{path.name} row {number}", {"line": line.strip("\r")}) for number, line in lines if line.strip()]
    if not rows:
        raise CatalogueError(f"{path} holds no rows")
    return rows


def poster_paths(rows: list[Row]) -> Dataset:
    """The posters as paths: they stay on disk."""
    images = [{"path": str(row.path), "bytes": None} if row.path else None for row in rows]
    return Dataset.from_dict({"image": images}, Features(image=Image(decode=False)))
