"""Metrics from ranks, and their expectation under a random order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ranking import RightRanks

RECALL_AT = (1, 5, 10)
NDCG_AT = 10
DISCOUNTS = 1 / np.log2(np.arange(2, NDCG_AT + 2))


def metric_names(ks: Sequence[int] = RECALL_AT) -> tuple[str, ...]:
    """Returns the keys of `retrieval_metrics`, in its order."""
    shares = [f"{name}@{k}" for name in ("R", "recall") for k in ks]
    return (*shares, "median_rank", "mean_rank", "MRR", f"nDCG@{NDCG_AT}")


def query_values(ranks: RightRanks, ks: Sequence[int] = RECALL_AT) -> dict[str, NDArray[np.float64]]:
    """Returns each query's value of the metrics that are means over queries, (n,) by name: all but the median rank."""
    counts = ranks.counts()

    def over_answers(value: Any) -> NDArray[np.float64]:
        """Returns the sum of a function of the rank over each query's right answers."""
        further = np.bincount(ranks.queries, weights=value(ranks.further), minlength=len(counts))
        return value(ranks.best) + further

    def gain(rank: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.append(DISCOUNTS, 0.0)[np.minimum(rank - 1, NDCG_AT)]

    return {
        **{f"R@{k}": (ranks.best <= k).astype(float) for k in ks},
        **{f"recall@{k}": over_answers(lambda rank, k=k: (rank <= k).astype(float)) / counts for k in ks},
        "mean_rank": ranks.best.astype(float),
        "MRR": 1.0 / ranks.best,
        f"nDCG@{NDCG_AT}": over_answers(gain) / _ideal_gain(counts),
    }


def retrieval_metrics(ranks: RightRanks, pool_size: int, ks: Sequence[int] = RECALL_AT) -> dict[str, float]:
    """Returns the metrics of one direction.

    R@k is the hit-rate, the share of queries with a right answer among the first k. recall@k is the recall of
    information retrieval, the share of a query's right answers among the first k, as a mean over queries. Both are the
    same where each query has one right answer. Median and mean rank and MRR are of the best right answer. nDCG@10
    ([Järvelin and Kekäläinen 2002](https://doi.org/10.1145/582415.582418)) has binary relevance: the sum of
    1 / log2(1 + rank) over the right answers among the first 10, over that of an order which puts them all first.

    Args:
        ranks: of the right answers, in 1..pool_size.
        pool_size: the number of candidates. A larger k counts the whole pool.
        ks: the cutoffs of R@k and recall@k.

    Raises:
        ValueError: there are no ranks, or one lies outside 1..pool_size.

    Example:
        >>> metrics = retrieval_metrics(RightRanks(np.array([1, 2]), np.array([8]), np.array([0])), pool_size=20)
        >>> metrics["R@5"], metrics["recall@5"]
        (1.0, 0.75)
    """
    found = np.concatenate([ranks.best, ranks.further])
    if len(found) == 0 or found.min() < 1 or found.max() > pool_size:
        raise ValueError(f"need at least one rank, and all in 1..{pool_size}; got {found}")
    means = {name: float(values.mean()) for name, values in query_values(ranks, ks).items()}
    return {name: means.get(name, float(np.median(ranks.best))) for name in metric_names(ks)}


def chance(pool_size: int, right_counts: ArrayLike = 1, ks: Sequence[int] = RECALL_AT) -> dict[str, float]:
    """Returns the expected metrics of a random order of the pool, under the keys of `retrieval_metrics`.

    With N candidates, each right answer is among the first k with probability min(k, N) / N, which is recall@k. With
    one right answer, R@k is the same, median and mean rank are (N + 1) / 2, and MRR = (1 + 1/2 + ... + 1/N) / N.

    Args:
        pool_size: the number of candidates N.
        right_counts: the number of right answers, for all queries or for each.
        ks: the cutoffs of R@k and recall@k.

    Raises:
        ValueError: a count is outside 1..pool_size.

    Example:
        >>> round(chance(100)["R@5"], 9), chance(100)["median_rank"]
        (0.05, 50.5)
    """
    counts, queries = np.unique(right_counts, return_counts=True)
    if counts.size == 0 or counts[0] < 1 or counts[-1] > pool_size:
        raise ValueError(f"right answers must number 1..{pool_size} (the pool), got {counts.tolist()}")
    shares = queries / queries.sum()
    drawn = np.arange(pool_size)
    probability = np.zeros(pool_size)  # that the first right answer comes at rank drawn + 1
    for count, share in zip(counts, shares, strict=True):
        all_wrong = np.cumprod(np.maximum(pool_size - count - drawn, 0) / (pool_size - drawn))
        probability -= share * np.diff(all_wrong, prepend=1.0)
    reached = np.cumsum(probability)
    middle = [np.argmax(reached > 0.5 + side) + 1 for side in (-1e-9, 1e-9)]
    gain = counts / pool_size * DISCOUNTS[:pool_size].sum()
    return {
        **{f"R@{k}": float(reached[min(k, pool_size) - 1]) for k in ks},
        **{f"recall@{k}": min(k, pool_size) / pool_size for k in ks},
        "median_rank": float(np.mean(middle)),
        "mean_rank": float(probability @ (drawn + 1)),
        "MRR": float(probability @ (1.0 / (drawn + 1))),
        f"nDCG@{NDCG_AT}": float(shares @ (gain / _ideal_gain(counts))),
    }


def summarise(
    ranks: Mapping[str, RightRanks], pool: Mapping[str, int], ks: Sequence[int] = RECALL_AT
) -> dict[str, Any]:
    """Returns, JSON-ready, `pool` and `chance` by direction, and under the name of each direction its metrics.

    Raises:
        ValueError: as `retrieval_metrics` and `chance`.

    Example:
        >>> summarise({"image_to_text": RightRanks(np.array([1, 2]))}, {"image_to_text": 2})["image_to_text"]["R@1"]
        0.5
    """
    return {
        "pool": dict(pool),
        **{name: retrieval_metrics(found, pool[name], ks) for name, found in ranks.items()},
        "chance": {name: chance(pool[name], found.counts(), ks) for name, found in ranks.items()},
    }


def _ideal_gain(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the DCG of each number of right answers if they have the first ranks."""
    return np.cumsum(DISCOUNTS)[np.minimum(counts, NDCG_AT) - 1]
