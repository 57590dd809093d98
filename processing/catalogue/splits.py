"""Splits of a catalogue: a movie's split depends on its own series and the seed, whatever other movies there are."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SPLIT_SIZES: Mapping[str, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
NO_PAIRS = np.empty((0, 2), np.int64)


def assign_splits(
    ids: Sequence[str],
    series: Sequence[str],
    near_duplicates: NDArray[np.int64] = NO_PAIRS,
    sizes: Mapping[str, float] = SPLIT_SIZES,
    seed: int = 0,
) -> list[str]:
    """Returns the split of each movie, in the order of the rows.

    The rule, for the movies in the natural order of their ids ("9" before "10"):

    1. A movie with near-duplicates of lower ids goes where the first of them is.
    2. Otherwise it goes where the first movie of its series is.
    3. The first movie of a series goes where `split_of_key` puts the series.

    So the order of the rows does not matter, and a movie that is added or removed moves at most movies of higher ids
    that are near-duplicates of it, and their series. A movie that is added under the highest id moves nothing. A
    movie can have near-duplicates in two splits, or one outside the split of its series. It cannot be in both:
    `processing.catalogue.leakage` finds such pairs.

    Args:
        ids: of the movies. Rows of one id are one movie.
        series: a key for each movie, as of `series_of`.
        near_duplicates: pairs of rows, (pairs, 2).
        sizes: the share of the series that each split gets on average; together 1.
        seed: another seed assigns otherwise.

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
        if movie in first_duplicate:
            name = names[first_duplicate[movie]]
        else:
            name = split_of_series.get(key) or split_of_key(key, sizes, seed)
        split_of_series.setdefault(key, name)
        names.append(name)
    if empty := sizes.keys() - set(names):
        named = ", ".join(repr(name) for name in sizes if name in empty)
        raise ValueError(
            f"{len(order)} movies of {len(split_of_series)} series leave {named} empty. "
            "Say by a column `split` which movie is in which, or try another --split_seed."
        )
    return [names[movie] for movie in movies]


def split_of_key(key: str, sizes: Mapping[str, float] = SPLIT_SIZES, seed: int = 0) -> str:
    """Returns the split whose interval of [0, 1) the hash of seed, names of the splits and key lies in.

    Example:
        >>> split_of_key("rocky"), split_of_key("psycho")
        ('train', 'validation')
    """
    digest = hashlib.sha256(f"{seed}:{','.join(sizes)}:{key}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    ends = np.cumsum(list(sizes.values()))
    return list(sizes)[min(int(np.searchsorted(ends, point, side="right")), len(sizes) - 1)]


def describe_shares(names: Sequence[str], sizes: Mapping[str, float]) -> str:
    """Returns how large each split came out beside what was aimed at: small catalogues can be far off.

    Example:
        >>> describe_shares(["train", "train", "train", "test"], {"train": 0.8, "test": 0.2})
        'train 75.0 % (aim 80 %), test 25.0 % (aim 20 %)'
    """
    counts = Counter(names)
    return ", ".join(
        f"{name} {100 * counts[name] / len(names):.1f} % (aim {100 * share:.3g} %)" for name, share in sizes.items()
    )


def _natural(text: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Returns a sort key that compares runs of digits as numbers; "07" and "7" are told apart by the text itself."""
    parts = [part.lstrip("0") if part.isdecimal() else part for part in re.findall(r"\d+|\D+", text)]
    numeric = [part == "" or part.isdecimal() for part in parts]
    return [(not number, len(part) if number else 0, part) for number, part in zip(numeric, parts, strict=True)], text
