"""Removes the text from posters, to measure what the rest of the image is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image

from processing.posterclip.rgb import to_rgb

MARGIN = 0.15  # by this share of its height a box is enlarged on each side
BORDER = 2  # pixels around a box; their mean colour fills it


def remove_poster_text(image: Image.Image, lines: Sequence[Mapping[str, Any]]) -> Image.Image:
    """Returns a poster whose lines of text are painted over, each box in the mean colour of its border.

    Args:
        image: a poster of any size and mode; boxes refer to the result of `to_rgb`.
        lines: the text on it, each line with a `box`: left, top, right and bottom as fractions of width and height.

    Returns:
        An RGB image of the same size; pixels outside the boxes are unchanged.

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
        margin = MARGIN * (box[3] - box[1])
        left, top = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
        right, bottom = np.minimum(np.ceil(box[2:] + margin), (width, height)).astype(int)
        around = np.zeros((height, width), dtype=bool)
        around[max(top - BORDER, 0) : bottom + BORDER, max(left - BORDER, 0) : right + BORDER] = True
        around[top:bottom, left:right] = False
        # A box as large as the poster has no border and gets the mean of the whole poster.
        pixels[top:bottom, left:right] = pixels[around if around.any() else ~around].mean(axis=0).round()
    return Image.fromarray(pixels)


def with_poster_text_removed(movies: Dataset) -> Dataset:
    """Returns a split of a catalogue with the text removed from its posters, and empty lists as `poster_text`.

    The posters become PNG files inside the dataset, so that a feature cache, which finds posters by their bytes, holds
    features of these. They are kept in memory.

    Raises:
        ValueError: there is no column `poster_text`, a poster has not been read (null), or a line has no box.
    """
    if "poster_text" not in movies.column_names:
        raise ValueError("remove_poster_text: the movies have no column poster_text, which says where text is.")
    if unread := [name for name, lines in zip(movies["id"], movies["poster_text"], strict=True) if lines is None]:
        named = f"{len(unread)}, first {unread[0]}"
        raise ValueError(f"remove_poster_text: some posters have not been read (poster_text is null): {named}")
    texts = zip(movies["id"], movies["poster_text"], strict=True)
    if boxless := [name for name, lines in texts if any(line["box"] is None for line in lines)]:
        named = f"{len(boxless)}, first {boxless[0]}"
        raise ValueError(f"remove_poster_text: some posters have poster_text without boxes, which OCR gives: {named}")

    def remove(row: Mapping[str, Any]) -> dict[str, Any]:
        return {"image": remove_poster_text(row["image"], row["poster_text"]), "poster_text": []}

    # Not from the cache of datasets, which would not notice another way of removing text.
    return movies.map(remove, features=movies.features, load_from_cache_file=False, writer_batch_size=100)
