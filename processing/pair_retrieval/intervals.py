"""Confidence intervals of metrics, and of the differences between two models: bootstraps over movies.

The percentile bootstrap ([Efron 1979](https://doi.org/10.1214/aos/1176344552)) draws movies (distinct ids) with
replacement, as many as there are, 1,000 times; an interval ends at the 2.5 % and 97.5 % quantiles. A movie is drawn
with all its queries, so both directions have the same draws. Ranks stay those in the whole pool: an interval covers
the choice of queries, not that of candidates or of a training run.

If R@k or recall@k is exactly 0 or 1, all draws give the same value, and the bootstrap has no width. The interval is
then that of [Wilson 1927](https://doi.org/10.1080/01621459.1927.10502953) with movies as trials: 0 to z^2 / (n + z^2),
or n / (n + z^2) to 1, with z = 1.96 and n movies.

Memory is constant in the number of draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .measures import RECALL_AT, metric_names, query_values
from .ranking import Ids, RightRanks

RESAMPLES = 1000
TAILS = (0.025, 0.975)
BLOCK = 2**20  # weights held at a time
Z = 1.959964  # of 95 %


class QueryRanks(NamedTuple):
    """One direction's ranks, and the movie ids of its queries, in the same order."""

    ranks: RightRanks
    ids: Ids


def intervals(
    queries: Mapping[str, QueryRanks], ks: Sequence[int] = RECALL_AT, seed: int = 0
) -> dict[str, dict[str, list[float]]]:
    """Returns 95 % intervals of the metrics, by direction and name: [low, high].

    All directions have the same movies, in any order.

    Example:
        >>> ids = np.arange(4)
        >>> to_text, to_image = (QueryRanks(RightRanks(np.array(best)), ids) for best in ([1, 1, 2, 4], [1, 1, 1, 1]))
        >>> found = intervals({"image_to_text": to_text, "text_to_image": to_image})
        >>> found["image_to_text"]["R@1"], found["text_to_image"]["MRR"]
        ([0.0, 1.0], [1.0, 1.0])
    """
    found = {}
    for direction, values in _drawn(queries, ks, seed).items():
        ends = dict(zip(metric_names(ks), _ends(values[1:]), strict=True))
        movies = len(np.unique(np.asarray(queries[direction].ids)))
        for name, share in zip(metric_names(ks), values[0].tolist(), strict=True):
            if name.startswith(("R@", "recall@")) and share in (0.0, 1.0):
                ends[name] = [0.0, Z**2 / (movies + Z**2)] if share == 0 else [movies / (movies + Z**2), 1.0]
        found[direction] = ends
    return found


def differences(
    first: Mapping[str, QueryRanks], second: Mapping[str, QueryRanks], ks: Sequence[int] = RECALL_AT, seed: int = 0
) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns the differences between two models on the same queries, by direction and name.

    `difference` is second - first; `interval`, [low, high], is of a paired bootstrap: both models have the same draws.

    Raises:
        ValueError: the two do not have the same ids, equally often.

    Example:
        >>> first, second = (QueryRanks(RightRanks(np.array(best)), ["a", "b", "c"]) for best in ([3, 6, 4], [1, 1, 1]))
        >>> differences({"image_to_text": first}, {"image_to_text": second})["image_to_text"]["R@1"]
        {'difference': 1.0, 'interval': [1.0, 1.0]}
    """
    for direction in first:
        counts = [Counter(np.asarray(model[direction].ids).tolist()) for model in (first, second)]
        if strange := (counts[0] - counts[1]) + (counts[1] - counts[0]):
            named = f"{len(strange)} differ, first: {next(iter(strange))!r}"
            raise ValueError(f"the two do not hold the same ids of {direction.replace('_', '-')} queries: {named}")
    drawn = [_drawn(model, ks, seed) for model in (first, second)]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for direction in first:
        values = drawn[1][direction] - drawn[0][direction]
        columns = zip(metric_names(ks), values[0].tolist(), _ends(values[1:]), strict=True)
        found[direction] = {name: {"difference": whole, "interval": ends} for name, whole, ends in columns}
    return found


def _drawn(queries: Mapping[str, QueryRanks], ks: Sequence[int], seed: int) -> dict[str, NDArray[np.float64]]:
    """Returns the metrics of all queries, then of those of each draw: (1 + draws, metrics) by direction."""
    # Every query has a right answer, so all directions have the same movies.
    owners = {direction: np.unique(np.asarray(of.ids), return_inverse=True)[1] for direction, of in queries.items()}
    movies = int(next(iter(owners.values())).max()) + 1
    values: dict[str, list[NDArray[np.float64]]] = {direction: [] for direction in queries}
    for weights in chain([np.ones((1, movies), dtype=np.int64)], _draws(movies, seed)):
        for direction, found in values.items():
            found.append(_weighted_metrics(queries[direction].ranks, owners[direction], weights, ks))
    return {direction: np.concatenate(found) for direction, found in values.items()}


def _draws(movies: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yields how often each movie was drawn, (draws, movies) at a time."""
    rng = np.random.default_rng(seed)
    size = max(1, BLOCK // movies)
    for start in range(0, RESAMPLES, size):
        draws = min(size, RESAMPLES - start)
        drawn = rng.integers(movies, size=(draws, movies)) + movies * np.arange(draws)[:, None]
        yield np.bincount(drawn.ravel(), minlength=draws * movies).reshape(draws, movies)


def _weighted_metrics(
    ranks: RightRanks, owners: NDArray[np.intp], weights: NDArray[np.intp], ks: Sequence[int]
) -> NDArray[np.float64]:
    """Returns `retrieval_metrics` of each draw, (draws, metrics).

    `owners` (queries,) is the index of each query's movie, `weights` (draws, movies) how often each movie was drawn.
    """
    order = np.argsort(ranks.best)
    upto = weights[:, owners[order]].cumsum(axis=1)
    total = upto[:, -1]
    best = ranks.best[order]
    middle = [best[(upto <= place[:, None]).sum(axis=1)] for place in ((total - 1) // 2, total // 2)]
    values = query_values(ranks, ks)
    by_movie = [np.bincount(owners, weights=of, minlength=weights.shape[1]) for of in values.values()]
    means = weights @ np.stack(by_movie, axis=1) / total[:, None]
    metrics = dict(zip(values, means.T, strict=True))
    metrics["median_rank"] = np.mean(middle, axis=0)
    return np.stack([metrics[name] for name in metric_names(ks)], axis=1)


def _ends(values: NDArray[np.float64]) -> list[list[float]]:
    """Returns [low, high] of each column."""
    return np.quantile(values, TAILS, axis=0).T.tolist()
