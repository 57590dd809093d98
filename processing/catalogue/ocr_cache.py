"""The OCR text of the posters of a dataset; each poster is read once and its lines are kept."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets import Dataset, Image
from tqdm.auto import tqdm

from processing.posterclip.ocr import SIZES, Line, engine_name, recognize_text
from processing.posterclip.ocr_text import compose_text
from processing.posterclip.rgb import open_image

from .ocr_lines import check_lines
from .poster_manifest import poster_keys, poster_source

# On 6,206 real posters 0.7 % had no text. More than this share of at least so many posters suggests another script.
TEXTLESS_SHARE, TEXTLESS_POSTERS = 0.1, 20

logger = logging.getLogger(__name__)


def read_posters(
    movies: Dataset, folder: Path, language: str | None = None, sizes: Sequence[int] = SIZES
) -> tuple[list[list[Line]], dict[int, str]]:
    """Returns the text of each poster, read by OCR unless the folder has it.

    Posters are found by the content of their files. The lines of a poster are kept as soon as it is read, in a file
    named by `engine_name`: a run that was killed goes on where it stopped, and several may fill a folder at a time.
    Posters are read by as many threads as there are cores; two threads read 1.7 times as fast as one engine with two.
    A warning says where the share of posters without text suggests that they are in another language.

    Args:
        movies: with the columns `id` and `image`.
        folder: is made if it does not exist.
        language, sizes: see `recognize_text`.

    Returns:
        The lines of each poster, and by its index the reason why a poster could not be read. Such a poster has no
        lines, is logged with its id, and is not kept.

    Raises:
        ImportError: rapidocr or its model of the language is not installed.
        ValueError: rapidocr has no model of the language.
        OSError: the file cannot be written, for instance on a full disk. What was written before stays good.

    Example:
        >>> lines, failed = read_posters(movies, Path("poster_text"))  # doctest: +SKIP
        >>> lines[0][0]["text"], failed  # doctest: +SKIP
        ('MOBY-DICK', {})
    """
    file = folder / f"{engine_name(language, sizes)}.jsonl"
    keys = poster_keys(movies)
    texts = _kept(file)
    unread: dict[str, int] = {}
    for index, key in enumerate(keys):
        if key not in texts:
            unread.setdefault(key, index)
    reasons = _read(movies, unread, file, texts, (language, sizes)) if unread else {}
    failed = {index: reasons[key] for index, key in enumerate(keys) if key in reasons}
    for index, reason in failed.items():
        logger.warning("the poster of %s cannot be read: %s", movies[index]["id"], reason)
    lines = [texts.get(key, []) for key in keys]
    textless = sum(not compose_text(poster) for poster in lines) - len(failed)
    if len(keys) >= TEXTLESS_POSTERS and textless > TEXTLESS_SHARE * len(keys):
        logger.warning(
            "OCR found no text on %d of %d posters (%.0f %%). If they are in a language that it does not read, choose "
            "it with --ocr_language.",
            *(textless, len(keys), 100 * textless / len(keys)),
        )
    return lines, failed


def _read(
    movies: Dataset,
    unread: Mapping[str, int],
    file: Path,
    texts: dict[str, list[Line]],
    settings: tuple[str | None, Sequence[int]],
) -> dict[str, str]:
    """Reads the posters of these rows into `texts` and the file, by key; returns the reasons of those that fail."""
    images = movies.select_columns("image").cast_column("image", Image(decode=False))
    reasons: dict[str, str] = {}
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def read(key: str) -> None:
        image = images[unread[key]]["image"]
        try:
            poster = open_image(poster_source(image))
            lines = recognize_text(poster, *settings)
        except Exception as error:  # whatever an engine meets in one poster, the others can be read
            reasons[key] = " ".join(f"{type(error).__name__}: {error}".split())[-200:]
            return
        texts[key] = lines
        # In one write, so that rows of two processes do not mix; the break comes first and closes a half-written row.
        os.write(descriptor, f"\n{json.dumps({'poster': key, 'lines': lines})}".encode())

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in tqdm(pool.map(read, unread), "reading posters", len(unread), unit=" posters"):
                pass
    except OSError as error:
        raise OSError(f"The poster text {file} cannot be written: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    return reasons


def _kept(file: Path) -> dict[str, list[Line]]:
    """Returns the lines in a file by the poster's key, without a row that a killed process left half-written."""
    texts: dict[str, list[Line]] = {}
    for row in file.read_bytes().split(b"\n") if file.is_file() else []:
        try:
            record = json.loads(row)
            if (lines := check_lines(record["lines"])) is not None:
                texts[record["poster"]] = lines
        except (ValueError, KeyError, TypeError):
            continue
    return texts
