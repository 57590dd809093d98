"""Small catalogues in the layouts that are read."""

import csv

import numpy as np
from PIL import Image, ImageDraw

PLOT = "A whale takes a leg. A captain minds."  # short: with a number behind it, it is another plot


def poster(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 6), colour).save(path)
    return path


def drawn(seed):
    """A poster of boxes in some places and tones, another one for each seed."""
    draw = np.random.default_rng(seed)
    image = Image.new("RGB", (120, 180), tuple(draw.integers(0, 256, 3).tolist()))
    for left, top, width, height in draw.random((12, 4)) * [120, 180, 120, 180]:
        box = (left, top, left + width / 2, top + height / 2)
        ImageDraw.Draw(image).rectangle(box, fill=tuple(draw.integers(0, 256, 3).tolist()))
    return image


def movie(number, **fields):
    """A row of metadata; a field given as None is left out."""
    row = {"file_name": f"posters/{number}.jpg", "id": number, "title": f"Movie {'abcdefghij'[number % 10]}"}
    row |= {"year": 1851, "genres": ["Adventure"], "plot": f"{PLOT} {number}"} | fields
    return {name: value for name, value in row.items() if value is not None}


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def movielens(root, movies, plots, train=None):
    """The layout of MovieLens with a poster for each movie."""
    (root / "movies.dat").write_bytes("".join(f"{line}\n" for line in movies).encode("latin-1"))
    (root / "plots.txt").write_text("".join(f"{line}\n" for line in plots), encoding="utf-8")
    for line in movies:
        poster(root / "posters" / f"{line.split('::')[0]}.jpg")
    if train is not None:
        (root / "train.txt").write_text("".join(f"{number}\n" for number in train))
    return str(root)


def ids(catalogue):
    return {name: split["id"][:] for name, split in catalogue.splits.items()}
