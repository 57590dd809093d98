"""The metrics to expect in smaller pools, computed from the ranks in a large one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from processing.pair_retrieval.measures import RECALL_AT, chance
from processing.pair_retrieval.ranking import Ranks


def pool_size_metrics(ranks: Ranks, pool_size: int, sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Returns the exact expected R@1, R@5 and R@10 in smaller random parts of this pool that hold the right answer.

    A query of rank r has r - 1 better candidates among the other N - 1. Of the n - 1 that come into a pool of n with
    the right one, the better ones number X ~ Hypergeometric(N - 1, r - 1, n - 1), and R@k at n is the mean over the
    queries of P(X < k). At n = N it is the pool's own R@k.

    Args:
        ranks: (queries,), each of the best right answer among `pool_size`; of a query with several right answers the
            smaller pools hold the best, and `chance` counts it alone.
        pool_size: the number of candidates N.
        sizes: the smaller pools' n.

    Returns:
        By size, as text for JSON, in ascending order and the whole pool last: the recalls, and under `chance` those
        of a random order.

    Raises:
        ValueError: a size is not in 1..pool_size, or a rank is not.

    Example:
        >>> found = pool_size_metrics(np.array([1, 2]), pool_size=3, sizes=[2])
        >>> found["2"]["R@1"], found["3"]["R@1"]  # the better one is in half of the pools of two
        (0.75, 0.5)
    """
    check_sizes(sizes, pool_size)
    if len(ranks) == 0 or ranks.min() < 1 or ranks.max() > pool_size:
        raise ValueError(f"need at least one rank, and all in 1..{pool_size}; got {ranks}")
    better, queries = np.unique(ranks - 1, return_counts=True)
    count = np.arange(max(RECALL_AT))[:, None]
    metrics: dict[str, dict[str, Any]] = {}
    for size in sorted({*sizes, pool_size}):
        # scipy.stats.hypergeom takes a minute for a pool of 50,000.
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
    """Raises ValueError for a size that is not in 1..pool_size."""
    if wrong := [size for size in sizes if not 1 <= size <= pool_size]:
        raise ValueError(f"pool_sizes must lie in 1..{pool_size} (the pool), got {wrong[0]}")


def _log_choose(n: ArrayLike, k: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the logarithm of the binomial coefficient, -inf where it is 0."""
    n = np.asarray(n)
    whole = gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)
    return np.where((k >= 0) & (k <= n), whole, -np.inf)
