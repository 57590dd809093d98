"""Tables in files: CSV, TSV, JSON, JSON lines and Parquet, read into rows."""

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from .rows import CatalogueError, Row, column_names

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
POSTER_TEXT_FILES = "poster_text*.jsonl"  # no tables of movies
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def find_tables(folder: Path) -> list[Path]:
    """Returns the files of a folder that may be tables of movies."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLE_SUFFIXES]
    return [path for path in files if not path.match(POSTER_TEXT_FILES)]


@dataclass
class Table:
    """The rows of a file, and what a user should know about how it was read."""

    rows: list[Row]
    warnings: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        return column_names(self.rows)


def read_table(path: Path) -> Table:
    """Returns the rows of a file, numbered as editors number lines and spreadsheets rows.

    Args:
        path: a .csv or .tsv file (separated by comma, semicolon, tab or |), a .json file (a list of objects, an object
            of objects by id, or one object), a file of one JSON object a line, or a .parquet file. Text is UTF-8 or
            UTF-16; a .csv or .tsv file that holds no UTF-8 is read as Windows-1252, with a warning.

    Raises:
        CatalogueError: it holds no rows, or is not what its name says.
    """
    warnings: list[str] = []
    try:
        if path.suffix.lower() == ".parquet":
            rows = list(_parquet_rows(path))
        elif path.suffix.lower() in (".csv", ".tsv"):
            rows = list(_csv_rows(_text(path, warnings), warnings))
        elif path.suffix.lower() == ".json":
            rows = list(_json_rows(_text(path)))
        else:
            rows = list(_json_lines(_text(path)))
    except csv.Error as error:
        raise CatalogueError(f"the first row of {path} is not CSV: {error}") from None
    except pyarrow.ArrowException as error:
        raise CatalogueError(f"{path} is not Parquet: {error}") from None
    if not rows:
        raise CatalogueError(f"{path} holds no rows")
    return Table(rows, warnings)


def read_lines(path: Path) -> list[Row]:
    """Returns the lines of a MovieLens text file that are not blank, each in the field `line`."""
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


def _text(path: Path, warnings: list[str] | None = None) -> str:
    """Returns a file's text; bytes that are not UTF-8 become lone surrogates, so that only their rows are bad.

    Args:
        path: of the file.
        warnings: takes a line where the file is read as Windows-1252; without it no file is.
    """
    content = path.read_bytes()
    for mark, encoding in _UTF_16.items():
        if content.startswith(mark):
            return content.removeprefix(mark).decode(encoding, errors="replace")
    marked = content.startswith(b"\xef\xbb\xbf")
    text = content.decode("utf-8-sig", errors="surrogateescape")
    special = {character for character in set(text) if ord(character) > 127}
    readable = marked or not special or any(not "\udc80" <= character <= "\udcff" for character in special)
    if warnings is not None and not readable:
        warnings.append(f"{path.name} is not UTF-8: it was read as Windows-1252 (check the accents in its titles)")
        return content.decode("cp1252", errors="replace")
    return text


def _json_lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = Row(f"row {number}")
        try:
            row.fields = _flat(json.loads(line))
        except AttributeError:
            row.problem = "not a JSON object"
        except (ValueError, RecursionError) as error:
            row.problem = f"not JSON: {error}"
        yield row


def _json_rows(text: str) -> Iterator[Row]:
    """The rows of a JSON file that holds one value; of JSON lines, if it holds several."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        yield from _json_lines(text)
        return
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        if found and all(isinstance(value, dict) for value in found.values()):
            found = [{"id": name} | value for name, value in found.items()]
        elif len(lists) == 1 and "title" not in found:  # {"page": 1, "results": [...]}
            found = lists[0]
        else:
            found = [found]
    for number, item in enumerate(found if isinstance(found, list) else [found], 1):
        row = Row(f"row {number}")
        try:
            row.fields = _flat(item)
        except AttributeError:
            row.problem = "not a JSON object"
        yield row


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a JSON object by their names without space around them."""
    return {name.strip(): value for name, value in fields.items()}


def _csv_rows(text: str, warnings: list[str]) -> Iterator[Row]:
    limit = csv.field_size_limit(2**31 - 1)  # a plot of a megabyte is a bad row, not a broken file
    try:
        first = text.lstrip("\r\n").partition("\n")[0]
        delimiter = max(",;\t|", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [column.strip() for column in next(reader, [])]
        if repeated := [name for name, count in Counter(header).items() if name and count > 1]:
            warnings.append(f"columns that are there twice, of which the last is read: {', '.join(repeated)}")
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


def parquet_columns(path: Path) -> list[str]:
    """Returns the names of the columns of a Parquet file that hold no bytes, which are posters."""
    try:
        return [column.name for column in parquet.read_schema(path) if "binary" not in str(column.type)]
    except pyarrow.ArrowException as error:
        raise CatalogueError(f"{path} is not Parquet: {error}") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    numbers = itertools.count(1)
    for batch in parquet.ParquetFile(path).iter_batches(columns=parquet_columns(path)):
        for fields in batch.to_pylist():
            yield Row(f"row {next(numbers)}", _flat(fields))
