"""What a pool's ranks say beyond the pool: how far its metrics may lie off by chance, and those of smaller pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from .retrieval import DIRECTIONS, NAMES, RECALL_AT, PoolResult, Ranks, chance

RESAMPLES = 1000
TAILS = (0.025, 0.975)
BLOCK = 2**20  # weights held at a time


def bootstrap_intervals(pool: PoolResult, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """95 % intervals of a pool's metrics, by direction and name: [low, high].

    Percentile bootstrap ([Efron 1979](https://doi.org/10.1214/aos/1176344552)): movies are drawn with replacement,
    as many as there are, 1,000 times; the interval ends at the 2.5 % and 97.5 % quantiles of the metric. A movie is
    drawn with all its posters and plots, so both directions see the same draws. Ranks stay those in the whole pool:
    the interval says what other queries would change, not other candidates or another training.

    Memory does not grow with the number of draws.

    Example:
        >>> ids = np.arange(4)
        >>> pool = PoolResult(ids, ids, image_to_text=np.array([1, 1, 2, 4]), text_to_image=np.array([1, 1, 1, 1]))
        >>> found = bootstrap_intervals(pool)
        >>> found["image_to_text"]["R@1"], found["text_to_image"]["MRR"]
        ([0.0, 1.0], [1.0, 1.0])
    """
    # Every query has a right answer, so both sides have the same movies.
    rows = [np.unique(np.asarray(ids), return_inverse=True)[1] for ids in (pool.image_ids, pool.text_ids)]
    movies = int(rows[0].max()) + 1
    size = max(1, BLOCK // movies)
    rng = np.random.default_rng(seed)
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in DIRECTIONS}
    for start in range(0, RESAMPLES, size):
        draws = min(size, RESAMPLES - start)
        drawn = rng.integers(movies, size=(draws, movies)) + movies * np.arange(draws)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=draws * movies).reshape(draws, movies)
        for direction, of in zip(DIRECTIONS, rows, strict=True):
            values[direction].append(_weighted_metrics(getattr(pool, direction), of, weights))
    return {
        direction: dict(zip(NAMES, np.quantile(np.concatenate(found), TAILS, axis=0).T.tolist(), strict=True))
        for direction, found in values.items()
    }


def pool_size_metrics(ranks: Ranks, pool_size: int, sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """The R@1, R@5 and R@10 to expect in smaller pools, drawn at random from this one, exactly.

    A query of rank r has r - 1 better candidates among the other N - 1. Of the n - 1 that come into a pool of n with
    the right one, the better ones number X ~ Hypergeometric(N - 1, r - 1, n - 1), and R@k at n is the mean over the
    queries of P(X < k). At n = N it is the pool's own R@k.

    Args:
        ranks: (queries,), each of the only right answer among `pool_size`.
        pool_size: the number of candidates N.
        sizes: the smaller pools' n.

    Returns:
        By size, as text for JSON, in ascending order and the whole pool last: the recalls, and under `chance` those
        of a random order.

    Raises:
        ValueError: a size is not in 1..pool_size, or a rank is not.

    Example:
        >>> found = pool_size_metrics(np.array([1, 2]), pool_size=3, sizes=[2])
        >>> found["2"]["R@1"], found["3"]["R@1"]  # the better one comes into a pool of two half of the time
        (0.75, 0.5)
    """
    check_sizes(sizes, pool_size)
    if len(ranks) == 0 or ranks.min() < 1 or ranks.max() > pool_size:
        raise ValueError(f"need at least one rank, and all in 1..{pool_size}; got {ranks}")
    better, queries = np.unique(ranks - 1, return_counts=True)
    count = np.arange(max(RECALL_AT))[:, None]
    metrics: dict[str, dict[str, Any]] = {}
    for size in sorted({*sizes, pool_size}):
        # By hand: scipy.stats.hypergeom takes a minute for a pool of 50,000.
        ways = _log_choose(better, count) + _log_choose(pool_size - 1 - better, size - 1 - count)
        probability = np.exp(ways - _log_choose(pool_size - 1, np.array(size - 1)))
        reached = probability.cumsum(axis=0) @ (queries / queries.sum())
        expected = chance(size)
        metrics[str(size)] = {
            **{f"R@{k}": float(min(reached[k - 1], 1.0)) for k in RECALL_AT},
            "chance": {f"R@{k}": expected[f"R@{k}"] for k in RECALL_AT},
        }
    return metrics


def check_sizes(sizes: Sequence[int], pool_size: int) -> None:
    """ValueError for a size that a part of the pool cannot have."""
    if wrong := [size for size in sizes if not 1 <= size <= pool_size]:
        raise ValueError(f"pool_sizes must lie in 1..{pool_size} (the pool), got {wrong[0]}")


def _weighted_metrics(ranks: Ranks, movies: NDArray[np.intp], weights: NDArray[np.intp]) -> NDArray[np.float64]:
    """`retrieval_metrics` of each draw, (draws, metrics) in the order of `NAMES`.

    `movies` (queries,) says whose each query is, `weights` (draws, movies) how often each movie was drawn.
    """
    order = np.argsort(ranks)
    ranks, drawn = ranks[order], weights[:, movies[order]]
    upto = drawn.cumsum(axis=1)
    total = upto[:, -1]
    hits = [drawn @ (ranks <= k) for k in RECALL_AT]
    middle = [ranks[(upto <= place[:, None]).sum(axis=1)] for place in ((total - 1) // 2, total // 2)]
    metrics = [
        *(hit / total for hit in hits),
        np.mean(middle, axis=0),
        drawn @ ranks / total,
        drawn @ (1 / ranks) / total,
    ]
    return np.stack(metrics, axis=1)


def _log_choose(n: ArrayLike, k: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logarithm of the binomial coefficient, -inf where it is 0."""
    n = np.asarray(n)
    whole = gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)
    return np.where((k >= 0) & (k <= n), whole, -np.inf)
