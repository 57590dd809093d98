"""Ranks of a pool whose best answers are put into another order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from processing.pair_retrieval.ranking import Ranks, RightRanks

Queries = NDArray[np.intp]


def reranked(
    first: RightRanks, queries: Queries, scores: NDArray[np.floating], right: NDArray[np.bool_], best: int, pool: int
) -> RightRanks:
    """Returns the ranks after the candidates of each query were ordered by another score.

    Candidates come before all other answers, which keep their order. So a right answer that is a candidate is ranked
    among the candidates alone, where a tie counts against the model. Any other keeps its rank, behind all candidates
    that are not the best by the first score: they count as if none of them had been before it. Memory is linear in the
    number of candidates.

    Args:
        first: ranks by the first score.
        queries: (pairs,) the query of each candidate.
        scores: (pairs,) the other score.
        right: (pairs,) whether the candidate is a right answer.
        best: so many candidates of a query, or all answers if there are fewer, are its best by the first score.
        pool: number of answers.

    Example:
        >>> first = RightRanks(np.array([2, 9]))  # of two queries with two candidates each
        >>> queries, right = np.array([0, 0, 1, 1]), np.array([False, True, False, False])
        >>> reranked(first, queries, np.array([0.1, 0.8, 0.3, 0.7]), right, best=2, pool=20).best.tolist()
        [1, 9]
    """
    candidates = np.bincount(queries, minlength=len(first.best))
    order = np.lexsort((right, -scores, queries))  # of equal scores the wrong ones come first
    place = _places(queries[order])
    hits = right[order]

    everyone = np.concatenate([np.arange(len(first.best)), first.queries])
    ranks = np.concatenate([first.best, first.further])
    order_of_all = np.lexsort((ranks, everyone))
    owners, kept = everyone[order_of_all], ranks[order_of_all]
    number = _places(owners) - np.bincount(queries[right], minlength=len(first.best))[owners]
    outside = number >= 0
    others = np.maximum(candidates[owners] - best, 0)
    # Where two ways to add up a score round differently, a rank may lie among those of the candidates. Of several right
    # answers each leaves a rank for those behind it.
    behind = np.bincount(owners[outside], minlength=len(first.best))[owners] - 1 - number
    beyond = np.clip(kept + others, candidates[owners] + 1 + number, pool - behind)[outside]
    return _right_ranks(
        np.concatenate([queries[order][hits], owners[outside]]), np.concatenate([place[hits] + 1, beyond])
    )


def _places(groups: Queries) -> NDArray[np.int64]:
    """Returns the place of each row in its group, from 0, where the rows of a group lie together."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))


def _right_ranks(queries: Queries, ranks: Ranks) -> RightRanks:
    order = np.lexsort((ranks, queries))
    queries, ranks = queries[order], ranks[order]
    best = _places(queries) == 0
    return RightRanks(ranks[best], ranks[~best], queries[~best])
