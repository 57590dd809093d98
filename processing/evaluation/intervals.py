"""Confidence intervals of a pool's metrics, and of the differences between two models on one pool."""

from __future__ import annotations

from typing import Any

from processing.pair_retrieval.intervals import QueryRanks, differences, intervals
from processing.pair_retrieval.ranking import DIRECTIONS

from .retrieval import PoolResult


def bootstrap_intervals(pool: PoolResult, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """Returns 95 % intervals of a pool's metrics, by direction and name: [low, high].

    `processing.pair_retrieval.intervals` says how they are made.

    Example:
        >>> import numpy as np
        >>> ids = np.arange(4)
        >>> pool = PoolResult(ids, ids, image_to_text=np.array([1, 1, 2, 4]), text_to_image=np.array([1, 1, 1, 1]))
        >>> found = bootstrap_intervals(pool)
        >>> found["image_to_text"]["R@1"], found["text_to_image"]["MRR"]
        ([0.0, 1.0], [1.0, 1.0])
    """
    return intervals(_query_ranks(pool), seed=seed)


def paired_differences(a: PoolResult, b: PoolResult, seed: int = 0) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns how far model b is above model a on the same pool, by direction and metric.

    Each `difference`, b - a, has its 95 % `interval`, [low, high], of a paired bootstrap: the same movies are drawn
    for both models.

    Raises:
        ValueError: the two pools do not hold the same ids.

    Example:
        >>> import numpy as np
        >>> a, b = (PoolResult([1, 2], [1, 2], np.array(best), np.array(best)) for best in ([2, 2], [1, 1]))
        >>> paired_differences(a, b)["text_to_image"]["R@1"]
        {'difference': 1.0, 'interval': [1.0, 1.0]}
    """
    return differences(_query_ranks(a), _query_ranks(b), seed=seed)


def _query_ranks(pool: PoolResult) -> dict[str, QueryRanks]:
    ids = dict(zip(DIRECTIONS, (pool.image_ids, pool.text_ids), strict=True))
    return {name: QueryRanks(ranks, ids[name]) for name, ranks in pool.right_ranks().items()}
