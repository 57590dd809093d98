"""Whether a file is a poster to train on: it is decoded fully, here, so that it cannot fail later."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets import Dataset
from PIL import Image
from tqdm.auto import tqdm

from processing.posterclip.rgb import open_image

from .near_duplicates import Thumbnails, thumbnail


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
        if image is None or (image["path"] is None and image["bytes"] is None):
            return "no poster"
        try:
            return thumbnail(open_image(Path(image["path"]) if image["bytes"] is None else image["bytes"]))
        except ValueError as error:
            return str(error)

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it becomes the row's reason
        found = list(tqdm(pool.map(look, rows), "checking posters", len(rows), unit=" posters"))
    seen = dict(zip(rows, found, strict=True))
    reasons = {row: what for row, what in seen.items() if isinstance(what, str)}
    return reasons, {row: what for row, what in seen.items() if not isinstance(what, str)}
