"""What is known of each poster's file, kept in one manifest so that an unchanged poster is decoded once.

The manifest is an SQLite file of one table. A poster on disk is found by its path, size and modification time, one
inside a table by the hash of its bytes. Several runs may fill it at a time. A manifest that cannot be read or written
stops nothing: the posters are opened again.
"""

import hashlib
import logging
import os
import sqlite3
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset
from datasets import Image as ImageFeature
from huggingface_hub.constants import HF_HOME
from PIL import Image
from tqdm.auto import tqdm

from processing.posterclip.rgb import open_image, read_image
from processing.splits.near_duplicates import SIDE, Thumbnails, thumbnail

# Raised when this project makes other facts of the same poster.
FORMAT = 1
MANIFEST = Path(HF_HOME) / "posterclip" / f"posters-{FORMAT}-{version('pillow')}.sqlite"
# A file that is written again this soon can have the same size and time: its facts are not kept.
SETTLED = 2 * 10**9  # nanoseconds
ROWS_PER_WRITE = 1024
KEYS_PER_QUERY = 500
TIMEOUT = 60  # seconds that a run waits for another one's write

logger = logging.getLogger(__name__)


class Facts(NamedTuple):
    """What is known of a poster that can be used: the hash of its file, its number of pixels and its thumbnail."""

    key: str
    pixels: int
    thumbnail: Thumbnails


class File(NamedTuple):
    """A poster's place in the manifest: its path, or the hash of its bytes; size and nanoseconds of its last change."""

    name: str
    size: int
    modified: int


def check_posters(images: Dataset, rows: Sequence[int]) -> tuple[dict[int, str], dict[int, Thumbnails]]:
    """Returns which posters cannot be used, and a thumbnail of each of the others.

    A poster that the manifest does not know is decoded fully, in threads, and is known afterwards.

    Args:
        images: a dataset with a column `image` that is not decoded: {"path", "bytes"} or None in each row.
        rows: the indices of the rows to check.

    Returns:
        For each bad row, by index, the reason; for each other row, by index, its `thumbnail`.
    """
    files = {row: file for row in rows if (file := _file(images[row]["image"]))}
    known = _read([*files.values()])
    limit = Image.MAX_IMAGE_PIXELS or np.inf
    thumbnails = {
        row: facts.thumbnail for row, file in files.items() if (facts := known.get(file)) and facts.pixels <= limit
    }
    unknown = [row for row in rows if row not in thumbnails]
    reasons: dict[int, str] = {}
    progress = tqdm(total=len(unknown), desc="checking posters", unit=" posters")
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool, progress:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it becomes the row's reason
        for start in range(0, len(unknown), ROWS_PER_WRITE):
            part = unknown[start : start + ROWS_PER_WRITE]
            new: dict[File, Facts] = {}
            for row, result in zip(part, pool.map(lambda row: _open(images[row]["image"]), part), strict=True):
                progress.update()
                if isinstance(result, str):
                    reasons[row] = result
                else:
                    thumbnails[row] = result.thumbnail
                    new[files[row]] = result
            _write(new)
    return reasons, thumbnails


def poster_keys(movies: Dataset) -> list[str]:
    """Returns a hash of each poster's file."""
    images = [row["image"] for row in movies.select_columns("image").cast_column("image", ImageFeature(decode=False))]
    files = [_file(image) for image in images]
    known = _read([file for file in files if file])
    return [
        known[file].key if file in known else _hash(_content(image)) for file, image in zip(files, images, strict=True)
    ]


def poster_source(image: Mapping[str, Any]) -> Path | bytes:
    """Returns the path or the bytes of an image that is not decoded, for `open_image`."""
    return Path(image["path"]) if image["bytes"] is None else image["bytes"]


def _content(image: Mapping[str, Any]) -> bytes:
    source = poster_source(image)
    return source if isinstance(source, bytes) else source.read_bytes()


def _file(image: Mapping[str, Any] | None) -> File | None:
    """Returns the place of a poster in the manifest; None where there is no poster."""
    if image is None:
        return None
    if image["bytes"] is not None:
        return File(_hash(image["bytes"]), len(image["bytes"]), 0)
    try:
        facts = os.stat(image["path"])
    except (OSError, TypeError, ValueError):
        return None
    return File(os.path.abspath(image["path"]), facts.st_size, facts.st_mtime_ns)


def _open(image: Mapping[str, Any] | None) -> Facts | str:
    """Returns the facts of a poster, or the reason why it cannot be used."""
    if image is None:
        return "no poster"
    if image["path"] is None and image["bytes"] is None:
        return "no poster (the image has neither bytes nor a path)"
    try:
        content = read_image(poster_source(image))
        poster = open_image(content)
    except ValueError as error:
        return str(error)
    return Facts(_hash(content), poster.width * poster.height, thumbnail(poster))


def _read(files: Sequence[File]) -> dict[File, Facts]:
    """Returns what the manifest holds of files."""
    found: dict[File, Facts] = {}
    if not MANIFEST.is_file():
        return found
    names = sorted({file.name for file in files})
    wanted = set(files)
    try:
        with closing(sqlite3.connect(MANIFEST, TIMEOUT)) as database:
            for start in range(0, len(names), KEYS_PER_QUERY):
                part = names[start : start + KEYS_PER_QUERY]
                query = f"SELECT * FROM posters WHERE name IN ({','.join('?' * len(part))})"
                for *file, key, pixels, picture, checksum in database.execute(query, part):
                    facts = Facts(key, pixels, np.frombuffer(picture, np.uint8).reshape(SIDE, SIDE))
                    if File(*file) in wanted and checksum == _checksum(File(*file), facts):
                        found[File(*file)] = facts
    except (sqlite3.Error, TypeError, ValueError) as error:
        logger.warning("%s cannot be read (%s): the posters are opened again.", MANIFEST, error)
        if not isinstance(error, sqlite3.OperationalError):
            MANIFEST.unlink(missing_ok=True)
        return {}
    return found


def _write(new: Mapping[File, Facts]) -> None:
    """Add facts of files to the manifest."""
    now = time.time_ns()
    rows = [
        (*file, facts.key, facts.pixels, facts.thumbnail.tobytes(), _checksum(file, facts))
        for file, facts in new.items()
        if now - file.modified > SETTLED
    ]
    if not rows:
        return
    columns = "name TEXT PRIMARY KEY, size INT, modified INT, key TEXT, pixels INT, thumbnail BLOB, checksum BLOB"
    try:
        MANIFEST.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(MANIFEST, TIMEOUT)) as database, database:
            database.execute(f"CREATE TABLE IF NOT EXISTS posters ({columns})")
            database.executemany("INSERT OR REPLACE INTO posters VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    except (OSError, sqlite3.Error) as error:
        logger.warning("%s cannot be written (%s): the next command opens the posters again.", MANIFEST, error)


def _checksum(file: File, facts: Facts) -> bytes:
    content = f"{file} {facts.key} {facts.pixels}".encode() + facts.thumbnail.tobytes()
    return hashlib.blake2b(content, digest_size=8).digest()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
