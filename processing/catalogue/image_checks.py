"""Checks that posters can be decoded, before anything trains on them."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets import Dataset
from PIL import Image
from tqdm.auto import tqdm

from processing.posterclip.rgb import open_image
from processing.splits.near_duplicates import Thumbnails, thumbnail


def check_posters(images: Dataset, rows: Sequence[int]) -> tuple[dict[int, str], dict[int, Thumbnails]]:
    """Returns which posters cannot be used, and a thumbnail of each of the others; each is decoded fully, in threads.

    Args:
        images: a dataset with a column `image` that is not decoded: {"path", "bytes"} or None in each row.
        rows: the indices of the rows to check.

    Returns:
        For each bad row, by index, the reason; for each other row, by index, its `thumbnail`.
    """

    def check(row: int) -> str | Thumbnails:
        image = images[row]["image"]
        if image is None:
            return "no poster"
        if image["path"] is None and image["bytes"] is None:
            return "no poster (the image has neither bytes nor a path)"
        try:
            return thumbnail(open_image(Path(image["path"]) if image["bytes"] is None else image["bytes"]))
        except ValueError as error:
            return str(error)

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it becomes the row's reason
        found = list(tqdm(pool.map(check, rows), "checking posters", len(rows), unit=" posters"))
    checked = dict(zip(rows, found, strict=True))
    reasons = {row: result for row, result in checked.items() if isinstance(result, str)}
    return reasons, {row: result for row, result in checked.items() if not isinstance(result, str)}
