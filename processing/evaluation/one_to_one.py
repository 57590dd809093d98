"""Metrics of a pool that is matched as a whole, given that posters and plots belong together one to one.

These metrics use more information than retrieval, so they are not comparable to it: a plot that is assigned to one
poster is no longer available to the others. Both need the whole matrix of scores, about 10 GB at `LARGEST` movies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from processing.pair_retrieval.hybrid_vectors import Embeddings
from processing.pair_retrieval.ranking import Ids, Ranks, id_codes, score_blocks

from .retrieval import PoolResult

Scores = NDArray[np.float64]

LARGEST = 20_000
NEAR = 1e-9  # relative difference up to which scores tie: a softmax is rounded
STEP = 2.0**-24


def match_one_to_one(
    image_embeds: Embeddings, text_embeds: Embeddings, image_ids: Ids, text_ids: Ids, scale: float
) -> dict[str, Any]:
    """Returns the metrics of a model on a pool that is known to be one-to-one, JSON-ready.

    Scores are S = (1 + cosine) / 2, since `dual_softmax` needs scores of at least 0. Its scale is doubled, so that the
    softmax is over scale * cosine.

    Args:
        image_embeds, text_embeds: n rows each, L2-normalised.
        image_ids, text_ids: the movie id of each, in any order.
        scale: exp(logit_scale), by which the model multiplies cosines.

    Returns:
        Under `dual_softmax` the output of `PoolResult.summary`; under `assignment` the share of right pairs, and that
        of a random assignment. In both, a tie counts against the model.

    Raises:
        ValueError: the pool is not one-to-one or is larger than `LARGEST`, the scale is not above 0, or `pair_ranks`
            refuses the embeddings.

    Example:
        >>> cosines = np.array([[0.8, 0.6], [1.0, 0.0]])  # both posters like the first plot best
        >>> posters, plots = cosines, np.eye(2)
        >>> found = match_one_to_one(posters, plots, ["b", "a"], ["a", "b"], scale=10.0)
        >>> found["dual_softmax"]["image_to_text"]["R@1"], found["assignment"]
        (1.0, {'right_pairs': 1.0, 'chance': 0.5})
    """
    if not 0 < scale < np.inf:
        raise ValueError(f"scale must be above 0, got {scale}")
    images, texts = pair_orders(image_ids, text_ids)
    ids = np.asarray(image_ids)[images]
    scores = np.empty((len(images), len(texts)))
    for rows, block in score_blocks(image_embeds[images], text_embeds[texts]):
        scores[rows] = np.maximum(0.5 + 0.5 * block, 0.0)  # norms are 1 to within a hundredth
    pool = PoolResult(
        ids,
        ids,
        image_to_text=_diagonal_ranks(dual_softmax(scores, 2 * scale)),
        text_to_image=_diagonal_ranks(dual_softmax(scores.T, 2 * scale)),
    )
    right = assignment(scores) == np.arange(len(scores))
    return {
        "dual_softmax": pool.summary(),
        "assignment": {"right_pairs": float(right.mean()), "chance": 1 / len(right)},
    }


def dual_softmax(scores: Scores, scale: float) -> Scores:
    """Returns scores weighted by a softmax over the queries, the preference of each candidate for the query.

    S'[i, j] = S[i, j] * exp(scale * S[i, j]) / sum over i' of exp(scale * S[i', j]): the prior of the dual softmax of
    [Cheng et al. 2021](https://arxiv.org/abs/2109.04290) (CAMoE). For the other direction give `scores.T`.

    Args:
        scores: (queries, candidates), at least 0: weighting would reverse the order of negative scores.
        scale: of the scores in the softmax, the inverse of its temperature.

    Returns:
        (queries, candidates), a new matrix.

    Raises:
        ValueError: a score is below 0 or not a number.

    Example:
        >>> dual_softmax(np.array([[0.8, 0.6], [0.9, 0.1]]), scale=10.0).round(2).tolist()
        [[0.22, 0.6], [0.66, 0.0]]
    """
    if not scores.min() >= 0:
        raise ValueError(f"scores must be at or above 0, the lowest is {scores.min()}")
    weights = scale * scores
    weights -= weights.max(axis=0)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=0)
    weights *= scores
    return weights


def assignment(scores: Scores) -> NDArray[np.intp]:
    """Returns the one-to-one assignment of candidates to queries with the largest sum of scores, (n,) columns.

    A tie counts against the model: of all assignments with the largest sum, the result is one with the fewest right
    pairs. For this, scores are rounded to multiples of 2**-24 (about the precision of float32), so that two sums are
    either equal or differ by at least 2**-24, and each right pair costs a penalty that is so small that n penalties
    stay below half of that. All numbers are multiples of the penalty, so their sums are exact in float64.

    It is solved by scipy's `linear_sum_assignment` ([Crouse 2016](https://doi.org/10.1109/TAES.2016.140952)), in
    O(n**3) at worst.

    Args:
        scores: (n, n), between 0 and 1, with the right pairs on the diagonal.

    Example:
        >>> assignment(np.array([[0.8, 0.6], [0.9, 0.1]])).tolist()
        [1, 0]
        >>> assignment(np.ones((3, 3))).tolist() == [0, 1, 2]  # all are the same to it: none is right
        False
    """
    costs = scores / -STEP
    np.rint(costs, out=costs)
    costs *= STEP
    costs[np.diag_indices(len(costs))] += STEP / 2 ** (len(costs).bit_length() + 1)
    return linear_sum_assignment(costs)[1]


def pair_orders(image_ids: Ids, text_ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns an order of posters and an order of plots, (n,) each, that put each movie's pair at the same index.

    Raises:
        ValueError: an id is repeated or is on one side only, or there are more than `LARGEST` ids.

    Example:
        >>> [order.tolist() for order in pair_orders(["a", "b"], ["b", "a"])]
        [[0, 1], [1, 0]]
    """
    if len(image_ids) != len(text_ids):
        raise ValueError(f"not one to one: {len(image_ids)} posters and {len(text_ids)} plots")
    if len(image_ids) > LARGEST:
        raise ValueError(f"{len(image_ids):,} movies are too many to match as a whole, the limit is {LARGEST:,}")
    codes = id_codes(image_ids, text_ids)
    for side, ids, numbers in zip(("posters", "plots"), (image_ids, text_ids), codes, strict=True):
        _, first, counts = np.unique(numbers, return_index=True, return_counts=True)
        if counts.max() > 1:
            worst = counts.argmax()
            raise ValueError(f"not one to one: {counts[worst]} {side} have the id {ids[first[worst]]}")
    images, texts = (np.argsort(numbers, kind="stable") for numbers in codes)
    if (strange := codes[0][images] != codes[1][texts]).any():
        raise ValueError(f"not one to one: {image_ids[images[strange][0]]} is the id of a poster or a plot alone")
    return images, texts


def _diagonal_ranks(scores: Scores) -> Ranks:
    """Returns the rank of the diagonal in each row: 1 + the number of others that score at least as high."""
    right = scores.diagonal()[:, None]
    return np.count_nonzero(scores >= right * (1 - NEAR), axis=1)
