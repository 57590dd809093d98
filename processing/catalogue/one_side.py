"""One side alone: a table of movies without posters, or posters without a table."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, Features, Value, concatenate_datasets

from processing.posterclip.ocr import Line

from .movies import MOVIE_FEATURES, read_text_fields
from .ocr_lines import LINES, check_lines, read_poster_text
from .sources.columns import Columns
from .sources.hub_datasets import DATASET_SUFFIXES
from .sources.images import IMAGE_SUFFIXES, image_files
from .sources.layouts import find_metadata, read_source
from .sources.rows import (
    FILE_ID,
    ROW_NUMBER,
    BadRow,
    CatalogueError,
    Row,
    Source,
    bad_row,
    find_columns,
    poster_paths,
)
from .sources.tables import TABLE_SUFFIXES, find_tables, read_table
from .sources.values import as_id

_FIELDS = ("id", "title", "other_titles", "year", "plots", "genres")


@dataclass(frozen=True)
class CheckedRows:
    """The good rows of one side, and what was left out.

    Args:
        rows: a dataset; its columns are those that the reader names.
        bad_rows: the others, with the reasons.
        columns: which column each field comes from.
        warnings: what a user should know about the source, one line each.
    """

    rows: Dataset
    bad_rows: list[BadRow]
    columns: Columns
    warnings: list[str]


def read_movies(source: str, plot_columns: Sequence[str] | None = None) -> CheckedRows:
    """Returns the movies of a table, with a title or a plot each; their posters, if any, are not looked at.

    Args:
        source: a CSV, TSV, JSON, JSON lines or Parquet file, or the folder of one.
        plot_columns: the columns to take as plots, in this order; by default those with a known name.

    Returns:
        Rows with the columns `id`, `title` ("" if there is none), `other_titles`, `year`, `plots` and `genres`. Without
        a column of ids, a movie's id is the number of its row, counted from 1.

    Raises:
        CatalogueError: it is no table, or no row can be used.

    Example:
        >>> read_movies("movies.csv").rows[0]["title"]  # doctest: +SKIP
        'Toy Story'
    """
    table = read_table(_table(source))
    columns = find_columns(table.columns, plot_columns, need_plots=False)
    if not columns["title"] and not columns["plots"]:
        raise CatalogueError(f"{source} has no column of titles or plots; its columns are {', '.join(table.columns)}")
    if not columns["id"]:
        columns.by_field["id"] = [ROW_NUMBER]
    movies, bad = [], []
    taken: dict[str, tuple[str, object]] = {}
    for number, row in enumerate(table.rows, 1):
        row.fields.setdefault(ROW_NUMBER, str(number))
        try:
            if row.problem:
                raise ValueError(row.problem)
            movie = read_text_fields(row.fields, columns)
            if not movie["title"] and not movie["plots"]:
                raise ValueError("neither a title nor a plot")
            where, same = taken.setdefault(movie["id"], (row.where, movie))
            if where != row.where:
                raise ValueError(f"the same movie as {where}" if same == movie else f"the id is taken by {where}")
            movies.append(movie)
        except ValueError as error:
            bad.append(bad_row(row, columns, str(error)))
    if not movies:
        raise CatalogueError(f"no row of {source} can be used: all {len(bad)} are bad, first {bad[0]}")
    rows = Dataset.from_list(movies, Features({name: MOVIE_FEATURES[name] for name in _FIELDS}))
    unknown = [f"columns that were not understood: {', '.join(columns.unknown)}"] if columns.unknown else []
    return CheckedRows(rows, bad, columns, [*table.warnings, *unknown])


def read_posters(source: str, image_column: str | None = None) -> CheckedRows:
    """Returns the posters of a folder or a table, whatever they are called. None of them is opened.

    Args:
        source: a folder with image files in any tree, an image file, or a table with a column of posters.
        image_column: that column; by default one with a known name or of type Image.

    Returns:
        Rows with the columns `poster`, which is the path relative to the folder, or the id or number of a table's row;
        `image`, which is not decoded: {"path", "bytes"}; and `poster_text`, the lines on the poster where a column or
        `poster_text*.jsonl` give them, else None.

    Raises:
        CatalogueError: there are no posters.

    Example:
        >>> read_posters("scans").rows["poster"][:2]  # doctest: +SKIP
        ['box 1/IMG_0001.jpg', 'box 1/IMG_0002.jpg']
    """
    path = Path(os.path.realpath(Path(source).expanduser()))
    files = [path] if path.suffix.lower() in IMAGE_SUFFIXES else image_files(path) if path.is_dir() else []
    if files:
        root = path if path.is_dir() else path.parent
        paths = {str(file.relative_to(root)): file for file in files}
        rows = [Row(name, {FILE_ID: name}, name, file) for name, file in paths.items()]
        found = Source(rows, poster_paths(rows), Columns({"id": [FILE_ID]}))
    elif path.is_dir() and not any(file.suffix.lower() in DATASET_SUFFIXES for file in path.iterdir()):
        raise CatalogueError(f"{source} holds no images")
    else:
        found = read_source(source, None, image_column, need_plots=False)
    beside = read_poster_text(path)
    bad = list(beside.bad_rows)
    names: dict[int, tuple[str, str]] = {}
    lines: list[list[Line] | None] = []
    for index, row in enumerate(found.rows):
        try:
            if row.problem:
                raise ValueError(row.problem)
            given = [check_lines(row.fields.get(column)) for column in found.columns["poster_text"]]
            names[index] = as_id(row.fields.get(found.columns["id"][0])), row.poster
            lines.append(next((of for of in given if of is not None), None))
        except ValueError as error:
            bad.append(bad_row(row, found.columns, str(error)))
    if not names:
        raise CatalogueError(f"no row of {source} can be used: all {len(bad)} are bad, first {bad[0]}")
    texts = beside.join(list(names.values()))
    fields = {
        "poster": [poster or number for number, poster in names.values()],
        "poster_text": [other if own is None else own for own, other in zip(lines, texts, strict=True)],
    }
    named = Dataset.from_dict(fields, Features({"poster": Value("string"), "poster_text": LINES}))
    posters = concatenate_datasets([named, found.images.select(list(names))], axis=1)
    return CheckedRows(posters, bad, found.columns, [*found.warnings, *beside.warnings()])


def _table(source: str) -> Path:
    """Returns the table that a source is, or the only one in its folder."""
    path = Path(source).expanduser()
    tables = [path]
    if path.is_dir():
        tables = find_metadata(path) or find_tables(path)
    elif not path.is_file():
        raise CatalogueError(f"no such file or folder: {source}")
    if len(tables) != 1 or tables[0].suffix.lower() not in TABLE_SUFFIXES:
        found = ", ".join(file.name for file in tables) or "none"
        raise CatalogueError(f"{source} is no table of movies ({', '.join(TABLE_SUFFIXES)}); found: {found}")
    return tables[0]
