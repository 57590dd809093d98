"""What a pool's ranks say beyond the pool: intervals, differences between two models, and smaller pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from processing.pair_retrieval.intervals import QueryRanks, differences, intervals
from processing.pair_retrieval.measures import RECALL_AT, chance
from processing.pair_retrieval.ranking import DIRECTIONS, Ranks

from .retrieval import PoolResult


def bootstrap_intervals(pool: PoolResult, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """95 % intervals of a pool's metrics, by direction and name: [low, high]. See `pair_retrieval.intervals`.

    Example:
        >>> ids = np.arange(4)
        >>> pool = PoolResult(ids, ids, image_to_text=np.array([1, 1, 2, 4]), text_to_image=np.array([1, 1, 1, 1]))
        >>> found = bootstrap_intervals(pool)
        >>> found["image_to_text"]["R@1"], found["text_to_image"]["MRR"]
        ([0.0, 1.0], [1.0, 1.0])
    """
    return intervals(_query_ranks(pool), seed=seed)


def paired_differences(a: PoolResult, b: PoolResult, seed: int = 0) -> dict[str, dict[str, dict[str, Any]]]:
    """How far model b is above model a on the same pool, by direction and metric.

    Each `difference`, b - a, has its 95 % `interval`, [low, high], of a paired bootstrap: both see the same draws of
    movies. See `pair_retrieval.intervals`.

    Raises:
        ValueError: the two pools do not hold the same ids.

    Example:
        >>> a, b = (PoolResult([1, 2], [1, 2], np.array(best), np.array(best)) for best in ([2, 2], [1, 1]))
        >>> paired_differences(a, b)["text_to_image"]["R@1"]
        {'difference': 1.0, 'interval': [1.0, 1.0]}
    """
    return differences(_query_ranks(a), _query_ranks(b), seed=seed)


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


def _query_ranks(pool: PoolResult) -> dict[str, QueryRanks]:
    ids = dict(zip(DIRECTIONS, (pool.image_ids, pool.text_ids), strict=True))
    return {name: QueryRanks(ranks, ids[name]) for name, ranks in pool.right_ranks().items()}


def _log_choose(n: ArrayLike, k: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logarithm of the binomial coefficient, -inf where it is 0."""
    n = np.asarray(n)
    whole = gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)
    return np.where((k >= 0) & (k <= n), whole, -np.inf)
