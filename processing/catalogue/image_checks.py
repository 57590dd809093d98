"""Whether a file is a poster to train on: it is decoded fully, here, so that it cannot fail later."""

import string
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from datasets import Dataset
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from processing.posterclip.rgb import to_rgb

from .near_duplicates import Thumbnails, thumbnail

# Named, so that nothing else is tried: PIL hands an EPS file, whatever its name, to a Ghostscript process.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")


def read_poster(file: Path | bytes) -> Image.Image:
    """Decode a poster fully, to RGB.

    CMYK, palette, grey, 16-bit, transparent, EXIF-rotated and animated images (their first frame) are fine.

    Args:
        file: its path or its content.

    Returns:
        What `to_rgb` makes of it.

    Raises:
        ValueError: it cannot be used; the message is the reason.

    Example:
        >>> read_poster(b"<!DOCTYPE html><title>404</title>")
        Traceback (most recent call last):
        ValueError: not an image: starts with <!DOCTYPE
    """
    if isinstance(file, Path):
        try:
            file = file.read_bytes()
        except FileNotFoundError:
            raise ValueError("no such file") from None
        except OSError as error:
            raise ValueError(error.strerror) from None
    if not file:
        raise ValueError("image is empty (0 bytes)")
    try:
        with Image.open(BytesIO(file), formats=FORMATS) as image:
            pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
            if limit and pixels > limit:
                raise ValueError(f"too large: {image.width} x {image.height} = {pixels} pixels, limit {limit}")
            return to_rgb(image)
    except UnidentifiedImageError:
        raise ValueError(f"not an image: {_start(file)}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"too large: {error}") from None
    except ValueError:
        raise
    except Exception as error:  # what a decoder meets in broken bytes is anything from EOFError to zlib.error
        truncated = "truncated" in str(error).lower()
        raise ValueError("image is truncated" if truncated else f"image is broken: {error}") from None


def check_posters(images: Dataset, rows: Sequence[int]) -> tuple[dict[int, str], dict[int, Thumbnails]]:
    """Check the posters of these rows in threads, with a progress bar.

    Args:
        images: has a column `image`, not decoded: {"path", "bytes"} or None in each row.
        rows: the indices to look at.

    Returns:
        The reason of each bad row by its index, and the `thumbnail` of each other.
    """

    def look(row: int) -> str | Thumbnails:
        image = images[row]["image"]
        if image is None:
            return "no poster"
        try:
            return thumbnail(read_poster(Path(image["path"]) if image["bytes"] is None else image["bytes"]))
        except ValueError as error:
            return str(error)

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it becomes the row's reason
        found = list(tqdm(pool.map(look, rows), "checking posters", len(rows), unit=" posters"))
    seen = dict(zip(rows, found, strict=True))
    reasons = {row: what for row, what in seen.items() if isinstance(what, str)}
    return reasons, {row: what for row, what in seen.items() if not isinstance(what, str)}


def _start(file: bytes) -> str:
    """What a file that is no image starts with: its first word if it is text."""
    words = file[:200].decode("latin-1").split()
    if words and set(words[0]) <= set(string.printable):
        return f"starts with {words[0][:20]}"
    return f"no {', '.join(FORMATS)} header that can be read"
