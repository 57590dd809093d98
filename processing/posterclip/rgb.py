"""Opens posters and converts them to RGB. Needs Pillow and NumPy alone."""

import string
from base64 import b64decode
from collections.abc import Iterator
from http.client import HTTPException
from io import BytesIO
from numbers import Number
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image, ImageOps

# Only these decoders run: Pillow hands an EPS file, whatever its name, to a Ghostscript process.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")
URL_TIMEOUT = 20  # seconds without an answer
URL_MAX_BYTES = 50_000_000
FULL_SCALES = (1, 2**8 - 1, 2**16 - 1, 2**32 - 1)


def open_image(source: str | Path | bytes, max_pixels: int | None = None) -> Image.Image:
    """Returns an image file decoded to RGB, of an animation the first frame (see `to_rgb`).

    Args:
        source: a path, an http(s) URL, a `data:` URI, or the content of a file. Files of `FORMATS` are decoded,
            whatever their name, and no others. A URL must answer within `URL_TIMEOUT` and send at most `URL_MAX_BYTES`.
        max_pixels: a larger image is refused before it is decoded. The default is `PIL.Image.MAX_IMAGE_PIXELS`.

    Raises:
        ValueError: the image cannot be used. The message is the reason and does not name the source.

    Example:
        >>> open_image(b"<!DOCTYPE html><title>404</title>")
        Traceback (most recent call last):
        ValueError: not an image: starts with <!DOCTYPE
    """
    content = read_image(source)
    if not content:
        raise ValueError("image is empty (0 bytes)")
    limit = max_pixels or Image.MAX_IMAGE_PIXELS
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            pixels = image.width * image.height
            if limit and pixels > limit:
                raise ValueError(f"too large: {image.width} x {image.height} = {pixels} pixels, limit {limit}")
            return to_rgb(image)
    except Image.UnidentifiedImageError:
        raise ValueError(f"not an image: {_beginning(content)}") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"too large: {error}") from None
    except ValueError:
        raise
    except Exception as error:  # what a decoder meets in broken bytes is anything from EOFError to zlib.error
        truncated = "truncated" in str(error).lower()
        raise ValueError("image is truncated" if truncated else f"image is broken: {error}") from None


def each_image(images: Any) -> Iterator[Any]:
    """Yields every image of an image, a batch, or a list of any depth; nested numbers as an array."""
    if isinstance(images, list | tuple):
        first, depth = images, 0
        while isinstance(first, list | tuple) and first:
            first, depth = first[0], depth + 1
        if isinstance(first, Number) and depth <= 3:
            yield np.asarray(images)
        else:
            for image in images:
                yield from each_image(image)
    elif getattr(images, "ndim", 0) == 4:
        yield from images
    else:
        yield images


def to_rgb(image: Image.Image | np.ndarray) -> Image.Image:
    """Returns an image as 8-bit RGB, as a viewer displays it.

    The first frame of an animation is taken, an EXIF rotation is applied, and transparency is laid on white. Values
    that are not 8-bit (modes I, I;16 and F, and arrays) are divided by their full scale, not clipped. It is 65535 for
    uint16, and for other types the smallest of 1 (not for integers), 255, 65535 and 2^32 - 1 that no value exceeds.

    Args:
        image: a PIL image of any mode, or an array: (height, width) or with 1 to 4 channels (grey, grey and alpha, RGB,
            RGBA), which are the last axis unless it is longer, and then the first.

    Raises:
        ValueError: a value is negative, infinite or NaN, or the array has another shape or type.

    Example:
        >>> to_rgb(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
        >>> to_rgb(np.full((3, 4, 5), 0.5)).size
        (5, 4)
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(_to_bytes(_channels_last(image)))
    else:
        image = ImageOps.exif_transpose(image)
        if image.mode[0] in "IF":
            image = Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def read_image(source: str | Path | bytes) -> bytes:
    """Returns the content of an image file, URL or data URI, see `open_image`; content that is given as it is.

    Raises:
        ValueError: it cannot be read. The message is the reason and does not name the source.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, str) and source.startswith("data:"):
        header, _, data = source.partition(",")
        return b64decode(unquote_to_bytes(data)) if header.endswith(";base64") else unquote_to_bytes(data)
    try:
        if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
            request = Request(source, headers={"User-Agent": "posterclip"})  # some hosts refuse urllib's own
            with urlopen(request, timeout=URL_TIMEOUT) as answer:
                content = answer.read(URL_MAX_BYTES + 1)
            if len(content) > URL_MAX_BYTES:
                raise ValueError(f"too large: more than {URL_MAX_BYTES} bytes")
            return content
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except (OSError, HTTPException) as error:
        raise ValueError(getattr(error, "strerror", None) or str(error)) from None


def _beginning(content: bytes) -> str:
    """Returns what a file that is no image starts with: its first word if it is text."""
    words = content[:200].decode("latin-1").split()
    if words and set(words[0]) <= set(string.printable):
        return f"starts with {words[0][:20]}"
    return f"no {', '.join(FORMATS)} header that can be read"


def _channels_last(array: np.ndarray) -> np.ndarray:
    """Returns an image as (height, width) or (height, width, channels)."""
    channels = np.moveaxis(array, 0, -1) if array.ndim == 3 and array.shape[-1] > 4 else array
    if channels.ndim not in (2, 3) or not channels.size or (channels.ndim == 3 and channels.shape[-1] > 4):
        raise ValueError(f"an array of shape {array.shape} is no image: (height, width) and maybe 1 to 4 channels")
    return channels[..., 0] if channels.ndim == 3 and channels.shape[-1] == 1 else channels


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Returns values scaled to 0 to 255, uint8; see `to_rgb`."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind not in "buif":
        raise ValueError(f"an array of {values.dtype} is no image")
    if (kind, size) == ("u", 1):
        return values
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= FULL_SCALES[-1]):  # a comparison with NaN is false
        raise ValueError(f"pixel values from {low:g} to {high:g}: they must be finite and not negative")
    scales = FULL_SCALES[2:] if (kind, size) == ("u", 2) else FULL_SCALES[1:] if kind in "ui" else FULL_SCALES
    full = next(scale for scale in scales if high <= scale)
    return np.floor(values * (255 / full) + 0.5).astype(np.uint8)
