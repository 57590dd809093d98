"""R@10 of a pool by genre and by decade."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.stats import binomtest

from processing.pair_retrieval.ranking import DIRECTIONS, Ranks

from .retrieval import PoolResult

UNKNOWN = "unknown"
DECADES = 12  # shown apart; all before them are one group
FOUND = 10  # the k of R@10

Groups = dict[str, dict[str, Any]]


def recall_by_group(ranks: Ranks, labels: Sequence[Sequence[str]]) -> Groups:
    """Returns R@10 of each group, sorted by size (largest first), then by name.

    A query counts once in each group of its labels, and in the group "unknown" if it has none. The 95 % intervals are
    those of [Wilson 1927](https://doi.org/10.1080/01621459.1927.10502953), which are valid for small groups.

    Args:
        ranks: (queries,), of each query's best right answer, 1 is best.
        labels: the labels of each query.

    Returns:
        By label: `count` of queries, `R@10` as a share, `interval` [low, high].

    Raises:
        ValueError: the numbers of ranks and labels differ.

    Example:
        >>> found = recall_by_group(np.array([1, 30, 10]), [["War"], ["War", "Drama"], []])
        >>> [(label, group["count"], group["R@10"]) for label, group in found.items()]
        [('War', 2, 0.5), ('Drama', 1, 0.0), ('unknown', 1, 1.0)]
    """
    if len(ranks) != len(labels):
        raise ValueError(f"{len(ranks)} ranks with labels of {len(labels)} queries: need one each")
    hits: dict[str, list[bool]] = {}
    for hit, own in zip((ranks <= FOUND).tolist(), labels, strict=True):
        for label in dict.fromkeys(own or [UNKNOWN]):
            hits.setdefault(label, []).append(hit)
    found = {}
    for label in sorted(hits, key=lambda label: (-len(hits[label]), label)):
        interval = binomtest(sum(hits[label]), len(hits[label])).proportion_ci(0.95, method="wilson")
        share = float(np.mean(hits[label]))
        found[label] = {"count": len(hits[label]), "R@10": share, "interval": [float(end) for end in interval]}
    return found


def decades(years: Sequence[int | None]) -> list[list[str]]:
    """Returns the decade of each year as a list of one label, empty without a year.

    If there are more than twelve decades, all before the last twelve share one label, since they hold few movies.

    Example:
        >>> decades([1979, 1980, None])
        [['1970s'], ['1980s'], []]
        >>> decades([-700, 8, *range(1900, 2020, 10)])[:3]
        [['before 1900'], ['before 1900'], ['1900s']]
    """
    starts = sorted({year // 10 * 10 for year in years if year is not None})
    first = max(starts[-DECADES:][0], 0) if starts else 0
    return [[] if year is None else [f"before {first}" if year < first else f"{year // 10 * 10}s"] for year in years]


def group_metrics(pool: PoolResult, movies: Dataset) -> dict[str, dict[str, Groups]]:
    """Returns `recall_by_group` by "genre" and "decade", then by direction; decades are in the order of time.

    Args:
        pool: ranks of posters and of plots.
        movies: of the pool, with the columns `id`, `genres` and `year`; a movie with several posters counts once for
            each as image-to-text, and once as text-to-image.
    """
    numbers = movies["id"][:]
    genres = dict(zip(numbers, movies["genres"][:], strict=True))
    years = dict(zip(numbers, decades(movies["year"][:]), strict=True))
    queries = dict(zip(DIRECTIONS, (pool.image_ids, pool.text_ids), strict=True))
    found: dict[str, dict[str, Groups]] = {"genre": {}, "decade": {}}
    for direction in DIRECTIONS:
        ranks = getattr(pool, direction)
        found["genre"][direction] = recall_by_group(ranks, [genres[number] for number in queries[direction]])
        by_decade = recall_by_group(ranks, [years[number] for number in queries[direction]])
        found["decade"][direction] = {label: by_decade[label] for label in sorted(by_decade, key=_in_time)}
    return found


def _in_time(label: str) -> tuple[bool, int, bool]:
    """Returns a sort key with "before 1900" before "1900s" and "unknown" last."""
    number = re.search(r"\d+", label)
    return label == UNKNOWN, int(number[0]) if number else 0, not label.startswith("before")
