"""Posters with a text or JSON file beside each, or a folder for each movie."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .columns import Columns
from .images import IMAGE_SUFFIXES, image_files
from .rows import FILE_ID, CatalogueError, Row, Source, column_names, find_columns, locate_poster, poster_paths
from .values import is_split_name

SPLIT_FILE = "split.json"  # of MM-IMDb: {"train": [ids], "dev": [ids], "test": [ids]}
_SUFFIXES = (".json", ".txt")


def has_sidecars(root: Path) -> bool:
    """Returns whether at least half of the posters of a folder have a file of the same name with their texts."""
    posters = image_files(root)
    return sum(bool(_same_name(path)) for path in posters) * 2 > len(posters)


def has_movie_folders(root: Path) -> bool:
    """Returns whether the posters lie in a folder for each movie, with one text or JSON file each."""
    folders = {path.parent for path in image_files(root)}
    return len(folders) > 1 and root not in folders and all(map(_only_texts, folders))


def read_sidecars(root: Path, plot_columns: Sequence[str] | None = None) -> Source:
    """Returns a row for each poster, with the fields of its JSON file and the plot of its text file.

    A movie without an id in its JSON file is called by its poster's name, or by its folder's. A folder in the root that
    is called as a split is one; `split.json` of MM-IMDb names the ids of each.

    Raises:
        CatalogueError: no file holds a plot.
    """
    splits = _given_splits(root)
    rows: list[Row] = []
    used: set[Path] = set()
    for path in image_files(root):
        texts = _same_name(path)
        movie = path.with_suffix("") if texts else path.parent
        texts = texts or (_only_texts(path.parent) if path.parent != root else [])
        row = _row(texts, movie.relative_to(root).as_posix(), splits)
        row.poster = path.relative_to(root).as_posix()
        row.where = row.poster
        locate_poster(row, root, path)
        if movie == path.parent and not Columns.find([*row.fields])["title"]:
            row.fields["title"] = movie.name  # "Heat (1995)"
        if not texts:
            row.problem = "no text or JSON file belongs to it"
        used |= set(texts)
        rows.append(row)
    rows += _without_poster(root, used, splits)
    columns = find_columns([name for name in column_names(rows) if name != FILE_ID], plot_columns)
    if not columns["id"]:
        columns.by_field["id"] = [FILE_ID]
    _shorten(rows)
    for row in rows:
        row.fields.setdefault(columns["id"][0], row.fields[FILE_ID])
    return Source(rows, poster_paths(rows), columns, split_by=SPLIT_FILE if splits else "given")


def _same_name(poster: Path) -> list[Path]:
    """Returns the files with the texts of a poster that have its name."""
    return [path for suffix in _SUFFIXES if (path := poster.with_suffix(suffix)).is_file()]


def _only_texts(folder: Path) -> list[Path]:
    """Returns the JSON file and the text file of a folder, where it has one of the kind and no more."""
    kinds = [[path for path in sorted(folder.iterdir()) if path.suffix.lower() == suffix] for suffix in _SUFFIXES]
    return [of[0] for of in kinds if len(of) == 1]


def _row(texts: Sequence[Path], name: str, splits: dict[str, str]) -> Row:
    """Returns the fields of a movie's files."""
    row = Row(name)
    for path in texts:
        try:
            content = path.read_bytes().decode("utf-8-sig")
            row.fields |= _object(content) if path.suffix.lower() == ".json" else {"txt": content}
        except UnicodeDecodeError:
            row.problem = f"{path.name} is not UTF-8 text"
        except (ValueError, RecursionError) as error:
            row.problem = f"{path.name} is not JSON: {error}"
    row.fields[FILE_ID] = name
    top, _, rest = name.partition("/")
    row.split = splits.get(name.rpartition("/")[2]) or (top if rest and is_split_name(top) else None)
    return row


def _object(content: str) -> dict[str, Any]:
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


def _without_poster(root: Path, used: set[Path], splits: dict[str, str]) -> list[Row]:
    """Returns a bad row for each JSON file that holds a plot, but has no poster."""
    rows = []
    for path in sorted(root.rglob("*.json")):
        if path in used or path.name == SPLIT_FILE:
            continue
        row = _row([path], path.with_suffix("").relative_to(root).as_posix(), splits)
        if Columns.find([*row.fields])["plots"]:
            row.where = path.relative_to(root).as_posix()
            row.problem = f"no poster of this name ({', '.join(IMAGE_SUFFIXES[:4])}, ...)"
            rows.append(row)
    return rows


def _shorten(rows: Sequence[Row]) -> None:
    """Call movies by the last part of their paths, where no two movies have the same."""
    paths = {row.fields[FILE_ID] for row in rows}
    if len({path.rpartition("/")[2] for path in paths}) == len(paths):
        for row in rows:
            row.fields[FILE_ID] = row.fields[FILE_ID].rpartition("/")[2]


def _given_splits(root: Path) -> dict[str, str]:
    """Returns the split of each id in `split.json`, if there is one."""
    path = root / SPLIT_FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): split for split, names in found.items() for name in names}
    except (ValueError, AttributeError, TypeError) as error:
        raise CatalogueError(f"{path} is no JSON object of splits, a list of ids each: {error}") from None
