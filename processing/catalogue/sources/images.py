"""The image files in a folder, found by the paths, names and ids that tables give them."""

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from .columns import Columns
from .rows import Row, locate_poster
from .values import as_id, match_ids

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2")


def image_files(root: Path) -> list[Path]:
    """Returns the image files of a folder and all folders in it, sorted; hidden ones are left out."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in sorted(names)
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
    return found


class ImageFolder:
    """The image files below a root.

    Args:
        root: a real path; no poster may lie outside it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def files(self) -> list[Path]:
        """All image files."""
        return image_files(self.root)

    def locate(self, row: Row, folder: Path, name: str) -> None:
        """Set the path of a row's poster, or the row's problem.

        Args:
            row: is changed.
            folder: that the name is relative to.
            name: a path as Windows, macOS or TMDB write it. Of an absolute path that leads nowhere here, the file's
                name is looked for in all folders.
        """
        row.poster = name
        if name.startswith(("http://", "https://")):
            row.problem = row.problem or "the poster is a URL: download it first"
            return
        path = folder / name
        if not _is_file(path):
            path = self._found(folder, name) or (folder / name[1:] if re.fullmatch(r"/[^/]+", name) else path)
        locate_poster(row, self.root, path)

    def join(self, rows: Sequence[Row], columns: Columns) -> list[Row]:
        """Returns the rows with their posters, found by id; a movie with several posters has a row for each.

        A poster is called by its movie's id (ID.jpg), or lies in a folder that is. Where rows have ids of several
        kinds, the kind counts that finds the most posters.
        """
        named = self._by_id
        best: dict[int, list[Path]] = {}
        for column in columns["id"]:
            ids = [_id_of(row, column) for row in rows]
            matched = match_ids(filter(None, ids), named)
            found = {index: named[matched[name]] for index, name in enumerate(ids) if name in matched}
            best = max(best, found, key=len)
        joined = []
        for index, row in enumerate(rows):
            for path in best.get(index, [None]):
                copy = Row(row.where, row.fields, split=row.split, problem=row.problem)
                if path is None:
                    copy.problem = copy.problem or "no poster is called by its id"
                else:
                    copy.poster = path.relative_to(self.root).as_posix()
                    locate_poster(copy, self.root, path)
                joined.append(copy)
        return joined

    @cached_property
    def _by_id(self) -> dict[str, list[Path]]:
        """The files by their stems and by the folders that they lie in."""
        found: dict[str, list[Path]] = {}
        for path in self.files:
            folder = path.parent.name if path.parent != self.root else None
            for name in {path.stem, folder} - {None}:
                found.setdefault(str(name), []).append(path)
        return found

    @cached_property
    def _by_path(self) -> dict[str, Path]:
        return {_same(str(path)): path for path in self.files}

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.files:
            found.setdefault(_same(path.name), []).append(path)
        return found

    def _found(self, folder: Path, name: str) -> Path | None:
        """Returns the file that a path written elsewhere means, None if there is none or more than one."""
        pure = PurePosixPath(name.replace("\\", "/").lstrip("/"))
        if ".." in pure.parts:
            return None
        for start in (folder, self.root):
            if path := self._by_path.get(_same(str(start / pure))):
                return path
        absolute = name.startswith(("/", "\\")) or PureWindowsPath(name).drive
        same = self._by_name.get(_same(pure.name), []) if absolute else []
        return same[0] if len(same) == 1 else None


def _same(text: str) -> str:
    """Returns a path in the form in which its spellings are equal: composed accents, no case."""
    return unicodedata.normalize("NFC", text).casefold()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except ValueError:  # a NUL in it
        return False


def _id_of(row: Row, column: str) -> str:
    try:
        return as_id(row.fields.get(column))
    except ValueError:
        return ""
