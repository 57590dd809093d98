"""Posters with their lettering painted over: what is left of a poster when nobody can read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image

from processing.posterclip.rgb import to_rgb

ENLARGED = 0.15  # each side of a box is moved out by this share of its height
BORDER = 2  # pixels around a box whose mean colour it gets


def remove_poster_text(image: Image.Image, lines: Sequence[Mapping[str, Any]]) -> Image.Image:
    """The poster with the box of each line of its lettering, slightly enlarged, in the mean colour of its border.

    Args:
        image: a poster of any size and mode; boxes are about what `to_rgb` makes of it.
        lines: what is printed on it, each line with a `box`: left, top, right and bottom as shares of width and height.

    Returns:
        An RGB image of the same size; outside of the boxes every pixel is what it was.

    Example:
        >>> poster = Image.new("RGB", (20, 30), "navy")
        >>> poster.putpixel((9, 16), (255, 255, 255))
        >>> blank = remove_poster_text(poster, [{"text": "i", "box": [0.4, 0.5, 0.6, 0.6]}])
        >>> blank.getpixel((9, 16)) == blank.getpixel((0, 0)) == (0, 0, 128)
        True
    """
    pixels = np.array(to_rgb(image))
    height, width = pixels.shape[:2]
    for line in lines:
        box = np.asarray(line["box"], dtype=float) * [width, height, width, height]
        margin = ENLARGED * (box[3] - box[1])
        left, top = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
        right, bottom = np.minimum(np.ceil(box[2:] + margin), (width, height)).astype(int)
        around = np.zeros((height, width), dtype=bool)
        around[max(top - BORDER, 0) : bottom + BORDER, max(left - BORDER, 0) : right + BORDER] = True
        around[top:bottom, left:right] = False
        # A box as large as the poster has no border: it gets the mean of all.
        pixels[top:bottom, left:right] = pixels[around if around.any() else ~around].mean(axis=0).round()
    return Image.fromarray(pixels)


def with_poster_text_removed(movies: Dataset) -> Dataset:
    """A catalogue's split whose posters are blanked, and whose `poster_text` says that nothing is printed on them.

    The posters become PNG files inside the dataset, so that what is known by a poster's bytes (a cached feature) is
    of the blanked one. Of a folder of posters they are held in memory.

    Raises:
        ValueError: there is no column `poster_text`, a poster has not been read (null), or nobody says where on it a
            line stands (without a box).
    """
    if "poster_text" not in movies.column_names:
        raise ValueError("remove_poster_text: the movies have no column poster_text to say where lettering is.")
    if unread := [name for name, lines in zip(movies["id"], movies["poster_text"], strict=True) if lines is None]:
        named = f"{len(unread)}, first {unread[0]}"
        raise ValueError(
            f"remove_poster_text: there are posters that have not been read (poster_text is null): {named}"
        )
    texts = zip(movies["id"], movies["poster_text"], strict=True)
    if placeless := [name for name, lines in texts if any(line["box"] is None for line in lines)]:
        named = f"{len(placeless)}, first {placeless[0]}"
        raise ValueError(
            f"remove_poster_text: there are posters whose poster_text has no boxes, as OCR gives them: {named}"
        )

    def blank(row: Mapping[str, Any]) -> dict[str, Any]:
        return {"image": remove_poster_text(row["image"], row["poster_text"]), "poster_text": []}

    # Not from the cache: it would not notice another way of blanking.
    return movies.map(blank, features=movies.features, load_from_cache_file=False, writer_batch_size=100)
