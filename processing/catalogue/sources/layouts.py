"""The layouts of a catalogue: which one a source has, and tables with the posters beside them."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .columns import Columns
from .hub_datasets import DATASET_SUFFIXES, SAVED, read_dataset
from .images import ImageFolder
from .movielens import is_movielens, read_movielens
from .rows import FILE_ID, LAYOUTS, CatalogueError, Row, Source, column_names, find_columns, poster_paths
from .sidecars import SPLIT_FILE, has_movie_folders, has_sidecars, read_sidecars
from .tables import TABLE_SUFFIXES, find_tables, parquet_columns, read_table
from .values import is_absent, is_split_name


def read_source(
    source: str,
    plot_columns: Sequence[str] | None = None,
    image_column: str | None = None,
    *,
    need_plots: bool = True,
) -> Source:
    """Returns the rows of a catalogue, whatever its layout.

    Args:
        source: a folder, a table, or the name of a dataset on the Hub.
        plot_columns: the columns to take as plots.
        image_column: the column of the posters.
        need_plots: whether a source without plots is refused.

    Raises:
        CatalogueError: nothing is there, or it is in no known layout, or it has no rows.
    """
    path = Path(source).expanduser()
    if not path.exists():
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or source.startswith("."):
            raise CatalogueError(f"no such folder: {source}")
        return read_dataset(source, plot_columns, image_column, need_plots)
    path = Path(os.path.realpath(path))
    tables: list[Path] = []
    if path.is_file():
        if path.suffix.lower() not in (*TABLE_SUFFIXES, *DATASET_SUFFIXES):
            raise CatalogueError(f"{source} is no table; {LAYOUTS}")
        tables = [path] if _names_files(path, image_column) else []
    elif is_movielens(path):
        return read_movielens(path, plot_columns)
    elif not any((path / name).is_file() for name in SAVED):
        tables = find_metadata(path)
        if not tables and has_sidecars(path):
            return read_sidecars(path, plot_columns)
        tables = tables or _tables(path, image_column)
        if not tables and has_movie_folders(path):
            return read_sidecars(path, plot_columns)
    if tables:
        root = path.parent if path.is_file() else path
        return _read_tables(root, tables, plot_columns, image_column, need_plots)
    suffixes = (".arrow", *DATASET_SUFFIXES, *TABLE_SUFFIXES)
    if path.is_dir() and not any(file.suffix.lower() in suffixes for file in path.rglob("*")):
        raise CatalogueError(f"{source} is no catalogue; {LAYOUTS}")
    return read_dataset(str(path), plot_columns, image_column, need_plots)


def find_metadata(root: Path) -> list[Path]:
    """Returns the files called metadata in a folder and its sub-folders."""
    found = [path for pattern in ("metadata.*", "*/metadata.*") for path in sorted(root.glob(pattern))]
    return [path for path in found if path.suffix.lower() in TABLE_SUFFIXES]


def _tables(root: Path, image_column: str | None) -> list[Path]:
    """Returns the only table of a folder, or its tables if all are called as splits (train.csv, test.csv)."""
    tables = [path for path in find_tables(root) if path.name != SPLIT_FILE]
    if not all(_names_files(path, image_column) for path in tables):
        return []
    if len(tables) > 1 and not all(is_split_name(path.stem) for path in tables):
        names = ", ".join(path.name for path in tables)
        raise CatalogueError(f"{root} holds several tables ({names}); give the one to read in place of the folder")
    return tables


def _names_files(path: Path, image_column: str | None) -> bool:
    """Returns whether a file is a table of which the posters are files of their own."""
    if path.suffix.lower() != ".parquet":
        return path.suffix.lower() in TABLE_SUFFIXES
    columns = parquet_columns(path)
    return bool(_image_columns(Columns.find(columns), columns, image_column))


def _image_columns(found: Columns, names: Sequence[str], wanted: str | None) -> list[str]:
    """Returns the columns that name posters: the wanted one, or those with a known name."""
    if wanted is None:
        return found["image"]
    return [name for name in names if name == wanted]


def _read_tables(
    root: Path,
    tables: Sequence[Path],
    plot_columns: Sequence[str] | None,
    image_column: str | None,
    need_plots: bool,
) -> Source:
    """Returns the rows of one table or of several, with the posters that they name.

    Several sub-folders with metadata are splits, each called as its folder; a lone one is a split only if its name is
    a usual one: `images/metadata.jsonl` says nothing about splits. Several tables in one folder are splits likewise.
    """
    folders = [path.parent for path in tables]
    subfolders = set(folders) - {root}
    splits = {folder for folder in subfolders if len(subfolders) > 1 or is_split_name(folder.name)}
    images = ImageFolder(root)
    rows: list[Row] = []
    warnings: list[str] = []
    row_folders: list[Path] = []
    for path in tables:
        same = sorted((other.name for other in tables if other.parent == path.parent), reverse=True)
        if len(same) > 1 and len({other.partition(".")[0] for other in same}) < len(same):
            raise CatalogueError(f"{path.parent} holds {' and '.join(same)}; keep one of them")
        table = read_table(path)
        warnings += table.warnings
        split = path.stem if len(same) > 1 else path.parent.name if path.parent in splits else None
        for row in table.rows:
            row.where = f"{path.relative_to(root)} {row.where}"
            row.split = split
        rows += table.rows
        row_folders += [path.parent] * len(table.rows)
    names = column_names(rows)
    columns = find_columns(names, plot_columns, need_plots=need_plots)
    named_by = _image_columns(columns, names, image_column)
    if image_column and names and not named_by:
        raise CatalogueError(f"{tables[0]} has no column {image_column}; its columns are {', '.join(names)}")
    located = [_locate(replace(row), folder, images, named_by) for row, folder in zip(rows, row_folders, strict=True)]
    if not any(row.path and row.path.is_file() for row in located):
        joined = images.join(rows, columns) if columns["id"] else []
        if any(row.path for row in joined):
            located = joined
        elif names and not named_by:
            raise CatalogueError(
                f"{tables[0]} has no column of posters (file_name, or the one that image_column names), "
                f"and no poster is called by an id; its columns are {', '.join(names)}"
            )
    _set_ids(located, columns)
    return Source(located, poster_paths(located), columns, warnings=warnings)


def _locate(row: Row, folder: Path, images: ImageFolder, named_by: Sequence[str]) -> Row:
    """Returns the row with its poster, named by the first of these columns that is not empty."""
    values = [row.fields.get(column) for column in named_by]
    name = next((value for value in values if isinstance(value, str) and not is_absent(value)), None)
    if name is None:
        row.problem = row.problem or f"no {named_by[0] if named_by else 'poster'}"
    else:
        images.locate(row, folder, name)
    return row


def _set_ids(rows: Sequence[Row], columns: Columns) -> None:
    """Give rows that do not say their id the name of their poster, or its path where names are not unique."""
    if not columns["id"]:
        columns.by_field["id"] = [FILE_ID]
    stems = [Path(row.poster).stem for row in rows]
    unique = len(set(stems)) == len(stems)
    for row, stem in zip(rows, stems, strict=True):
        if row.poster:
            row.fields.setdefault(columns["id"][0], stem if unique else str(Path(row.poster).with_suffix("")))
