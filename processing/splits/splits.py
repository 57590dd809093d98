"""Splits of a catalogue: series stay whole, near-duplicates stay together where they can, new movies move nothing."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .near_duplicates import Thumbnails, near_duplicates

SPLIT_SIZES: Mapping[str, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
NO_PAIRS = np.empty((0, 2), np.int64)


class MadeSplits(NamedTuple):
    """The split of each row, how the splits were made in words, and what a user should know about them."""

    names: list[str]
    split_by: str
    warnings: tuple[str, ...]


def make_splits(
    ids: Sequence[str],
    series: Sequence[str],
    plots: Sequence[Sequence[str]],
    thumbnails: Thumbnails,
    sizes: Mapping[str, float] = SPLIT_SIZES,
    seed: int = 0,
) -> MadeSplits:
    """Returns the splits that `assign_splits` makes of these rows, with a warning of near-duplicates in two splits.

    Args:
        ids: as in `assign_splits`.
        series: as in `assign_splits`.
        plots: of each row, for `near_plots`.
        thumbnails: of each row's poster, (rows, 32, 32), for `near_posters`.
        sizes: as in `assign_splits`.
        seed: as in `assign_splits`.

    Raises:
        ValueError: as `assign_splits`.

    Example:
        >>> plots, flat = [["A whale."], ["A shark."], ["A WHALE"]], np.zeros((3, 32, 32), np.uint8)
        >>> made = make_splits(["1", "2", "3"], ["rocky", "dune", "dune"], plots, flat, {"train": 0.5, "test": 0.5})
        >>> made.names, made.warnings[0][:50]
        (['train', 'test', 'test'], '1 pair of near-duplicate movies is in two splits b')
    """
    pairs = near_duplicates(plots, thumbnails)
    names = assign_splits(ids, series, pairs, sizes, seed)
    split_by = f"series and near-duplicates (seed {seed}): {_describe_shares(names, sizes)}"
    apart = {frozenset((ids[one], ids[other])) for one, other in pairs.tolist() if names[one] != names[other]}
    if not apart:
        return MadeSplits(names, split_by, ())
    noun = (
        "1 pair of near-duplicate movies is" if len(apart) == 1 else f"{len(apart)} pairs of near-duplicate movies are"
    )
    warning = f"{noun} in two splits because series are kept whole; scripts/audit.py lists them"
    return MadeSplits(names, split_by, (warning,))


def assign_splits(
    ids: Sequence[str],
    series: Sequence[str],
    near_duplicates: NDArray[np.int64] = NO_PAIRS,
    sizes: Mapping[str, float] = SPLIT_SIZES,
    seed: int = 0,
) -> list[str]:
    """Returns the split of each row.

    All movies of a series are in one split. Movies are taken in the natural order of their ids ("9" before "10"), and
    the first movie of a series decides for the whole series:

    1. If the first movie has near-duplicates with lower ids, the series goes to the split of the lowest of them.
    2. Otherwise `split_of_key` assigns the series by a hash of the seed, the names of the splits and the series.

    The order of the rows does not matter, and a movie that is added with the highest id moves no other. A movie that
    is added or removed elsewhere can only move its own series and the series whose first movie is its near-duplicate,
    directly or through such series. Near-duplicates of the later movies of a series do not count, so a pair of them
    can lie in two splits: `make_splits` warns of these and `processing.catalogue.leakage` lists them.

    Args:
        ids: the movie ids of the rows. Rows with the same id are one movie.
        series: the key of each row's series, as from `series_of`.
        near_duplicates: pairs of rows, (pairs, 2).
        sizes: the expected share of the series in each split; they add up to 1.
        seed: of the hash.

    Raises:
        ValueError: the sizes do not add up to 1, or a split would be empty.

    Example:
        >>> titles = ["rocky", "dune", "alien", "rocky"]
        >>> assign_splits(["1", "2", "3", "4"], titles, sizes={"train": 0.5, "test": 0.5})
        ['train', 'test', 'train', 'train']
    """
    if any(share <= 0 for share in sizes.values()) or abs(sum(sizes.values()) - 1) > 1e-6:
        raise ValueError(f"split sizes must be above 0 and add up to 1, not {dict(sizes)}")
    order = sorted(set(ids), key=_natural)
    place = {number: index for index, number in enumerate(order)}
    movies = np.array([place[number] for number in ids], np.int64)
    first_duplicate: dict[int, int] = {}
    for low, high in np.sort(movies[near_duplicates], axis=1).tolist():
        if low < high:
            first_duplicate[high] = min(low, first_duplicate.get(high, low))
    key_of: dict[int, str] = {}
    for movie, key in zip(movies.tolist(), series, strict=True):
        key_of[movie] = min(key, key_of.get(movie, key))
    split_of_series: dict[str, str] = {}
    names: list[str] = []
    for movie in range(len(order)):
        key = key_of[movie]
        if key not in split_of_series:
            followed = first_duplicate.get(movie)
            split_of_series[key] = split_of_key(key, sizes, seed) if followed is None else names[followed]
        names.append(split_of_series[key])
    if empty := sizes.keys() - set(names):
        named = ", ".join(repr(name) for name in sizes if name in empty)
        raise ValueError(
            f"{len(order)} movies of {len(split_of_series)} series leave {named} empty. "
            "Say by a column `split` which movie is in which, or try another --split_seed."
        )
    return [names[movie] for movie in movies]


def split_of_key(key: str, sizes: Mapping[str, float] = SPLIT_SIZES, seed: int = 0) -> str:
    """Returns the split of a series: a hash of seed, split names and key is a point in [0, 1), which sizes divide.

    Example:
        >>> split_of_key("rocky"), split_of_key("psycho")
        ('train', 'validation')
    """
    digest = hashlib.sha256(f"{seed}:{','.join(sizes)}:{key}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    ends = np.cumsum(list(sizes.values()))
    return list(sizes)[min(int(np.searchsorted(ends, point, side="right")), len(sizes) - 1)]


def _describe_shares(names: Sequence[str], sizes: Mapping[str, float]) -> str:
    """Returns the share of the rows in each split next to its aim; in small catalogues they can be far apart.

    Example:
        >>> _describe_shares(["train", "train", "train", "test"], {"train": 0.8, "test": 0.2})
        'train 75.0 % (aim 80 %), test 25.0 % (aim 20 %)'
    """
    counts = Counter(names)
    return ", ".join(
        f"{name} {100 * counts[name] / len(names):.1f} % (aim {100 * share:.3g} %)" for name, share in sizes.items()
    )


def _natural(text: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Returns a sort key that compares runs of digits as numbers; the text itself orders "07" and "7"."""
    parts = [part.lstrip("0") if part.isdecimal() else part for part in re.findall(r"\d+|\D+", text)]
    numeric = [part == "" or part.isdecimal() for part in parts]
    return [(not number, len(part) if number else 0, part) for number, part in zip(numeric, parts, strict=True)], text
