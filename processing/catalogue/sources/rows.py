"""Rows as their files give them, before any check."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, Features, Image

from .columns import Columns, plain_name

BAD_ROWS_SHOWN = 20

logger = logging.getLogger(__name__)

# The column of ids where a source has none.
FILE_ID = "the name of the poster's file"
ROW_NUMBER = "the number of the row"
LAYOUTS = """known layouts:
  metadata.jsonl or metadata.csv with the posters, which a column names or which are called ID.jpg; or such a folder
    for each split; or the only table of the folder under any name (CSV, TSV, JSON, JSON lines, Parquet)
  a text or JSON file beside each poster (img2dataset, MM-IMDb), or a folder for each movie
  MovieLens: movies.dat or movies.csv, plots.txt, plots.dat or plots.csv, posters/ID.jpg, maybe links.csv and train.txt
  (in all of these, the text on the posters may lie beside in poster_text.jsonl, other readings in poster_text*.jsonl)
  Parquet or WebDataset tar files with the posters in them, what DatasetDict.save_to_disk wrote,
    or anything else that datasets.load_dataset reads"""


class CatalogueError(ValueError):
    """A catalogue cannot be used; the message says which file or row and why."""

    def __str__(self) -> str:
        """The message, with what no terminal could print (bytes of a file that is not UTF-8) as escapes."""
        return super().__str__().encode(errors="backslashreplace").decode()


@dataclass
class Row:
    """One row as its file gives it; `problem` says why it cannot be used.

    Args:
        where: the file and the row's number in it.
        fields: the values by the names of their columns.
        poster: how the source names the poster.
        path: where the poster lies.
        split: the name of the split that the source puts the row in, if any.
    """

    where: str
    fields: dict[str, Any] = field(default_factory=dict)
    poster: str = ""
    path: Path | None = None
    split: Any = None
    problem: str = ""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why.

    Example:
        >>> print(BadRow("metadata.jsonl row 12 (id 45)", "posters/45.jpg", "image is truncated"))
        metadata.jsonl row 12 (id 45), posters/45.jpg: image is truncated
    """

    row: str
    file: str
    reason: str

    def __str__(self) -> str:
        """One line, whatever the file holds."""
        line = f"{self.row}, {self.file}: {self.reason}" if self.file else f"{self.row}: {self.reason}"
        return " ".join(line.encode(errors="backslashreplace").decode().split())


def bad_row(row: Row, columns: Columns, reason: str, image: Mapping[str, Any] | None = None) -> BadRow:
    """Returns a row's place, its id and its poster's name, with the reason why it is bad."""
    number = row.fields.get(columns["id"][0]) if columns["id"] else None
    number = row.fields.get("id") if number is None else number
    where = row.where if number is None else f"{row.where} (id {str(number)[:40]})"
    return BadRow(where, row.poster or Path((image or {}).get("path") or "").name, reason)


def report_bad_rows(source: str, bad_rows: Sequence[BadRow], on_bad_rows: Literal["error", "skip"]) -> None:
    """Log the rows of a source that are left out.

    Raises:
        CatalogueError: there are some, and `on_bad_rows` is "error".
    """
    if bad_rows and on_bad_rows == "error":
        shown = [f"  {bad}" for bad in bad_rows[:BAD_ROWS_SHOWN]]
        more = [f"  and {len(bad_rows) - BAD_ROWS_SHOWN} more"] if len(bad_rows) > BAD_ROWS_SHOWN else []
        hint = "Mend them, or leave them out with --on_bad_rows skip."
        raise CatalogueError("\n".join([f"{source} has bad rows ({len(bad_rows)}):", *shown, *more, hint]))
    for bad in bad_rows:
        logger.warning("left out: %s", bad)


@dataclass
class Source:
    """Rows, their posters and the columns that were understood.

    Args:
        rows: one for each poster.
        images: a column `image`, not decoded, one for each row.
        columns: which column each field comes from.
        split_by: where the splits come from, if the rows have any.
        warnings: what a user should know, one line each.
    """

    rows: list[Row]
    images: Dataset
    columns: Columns
    split_by: str = "given"
    warnings: list[str] = field(default_factory=list)


def column_names(rows: Iterable[Row]) -> list[str]:
    """Returns the names of all columns of the rows, in the order in which they appear."""
    return list(dict.fromkeys(name for row in rows for name in row.fields))


def find_columns(
    names: Sequence[str], plot_columns: Sequence[str] | None = None, *, need_plots: bool = True
) -> Columns:
    """Returns which of these columns each field comes from.

    Args:
        names: of all columns; none where no row can be read.
        plot_columns: the columns to take as plots, in this order; by default those with a known name.
        need_plots: whether a table without plots is refused.

    Raises:
        CatalogueError: there is no column of plots, or a wanted one is missing.
    """
    columns = Columns.find(names, plot_columns)
    found = [plain_name(name) for name in columns["plots"]]
    missing = [name for name in plot_columns or () if plain_name(name) not in found]
    if names and missing:
        raise CatalogueError(
            f"a wanted column of plots is missing ({', '.join(missing)}); "
            f"name those to take by plot_columns; columns: {', '.join(names)}"
        )
    if names and need_plots and not columns["plots"]:
        raise CatalogueError(
            f"no column has a known name for plots; name those to take by plot_columns; columns: {', '.join(names)}"
        )
    return columns


def locate_poster(row: Row, root: Path, path: Path) -> None:
    """Set the path of a row's poster; neither `..` nor a link may lead out of the catalogue's root."""
    try:
        str(path).encode()
        real = Path(os.path.realpath(path))
    except ValueError:  # not UTF-8, or a NUL in it
        row.problem = row.problem or "the path is not valid text"
        return
    if real.is_relative_to(root):
        row.path = real
    else:
        row.problem = row.problem or "the path leaves the folder"


def poster_paths(rows: Sequence[Row]) -> Dataset:
    """Returns the posters as a column `image` of paths: they stay on disk."""
    images = [{"path": str(row.path), "bytes": None} if row.path else None for row in rows]
    return Dataset.from_dict({"image": images}, Features(image=Image(decode=False)))
