"""Catalogues in Parquet shards."""

import io
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from PIL import Image as Pillow

from processing.catalogue.ocr_lines import LINES

COLUMNS = Features(
    id=Value("string"),
    poster=Image(),
    plot=Value("string"),
    plots=List(Value("string")),
    genres=List(ClassLabel(names=["Drama", "Horror"])),
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def noise(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 24, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def movie(number: int, **fields) -> dict:
    """A row: a poster as bytes and two plots, one in each column of plots."""
    poster = {"bytes": noise(number), "path": f"{number}.png"}
    letter = LETTERS[number % len(LETTERS)]
    row = {"id": f"m{number}", "poster": poster, "plot": letter * 3, "plots": [letter * 7], "genres": [number % 2]}
    return row | fields


def write_shards(folder: Path, shards: list[list[dict]], split: str = "train") -> str:
    """A Parquet file for each list of rows."""
    folder.mkdir(exist_ok=True)
    for index, rows in enumerate(shards):
        features = {name: {**COLUMNS, "poster_text": LINES}.get(name, Value("string")) for name in rows[0]}
        Dataset.from_list(rows, Features(features)).to_parquet(folder / f"{split}-{index:03d}.parquet")
    return str(folder)


def in_shards(*sizes: int) -> list[list[dict]]:
    """Movies 0, 1, 2 ..., so many in each shard."""
    return [[movie(sum(sizes[:i]) + j) for j in range(size)] for i, size in enumerate(sizes)]
