"""From embeddings to answers: the rank of the right answer, the metrics made of ranks, the best answers.

One rule everywhere: similarity is the dot product of L2-normalised embeddings, an answer is right when it has
the query's movie id, and a tie counts against the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Embeddings = NDArray[np.floating[Any]]
Ids = NDArray[Any] | Sequence[int] | Sequence[str]
Ranks = NDArray[np.int64]

RECALL_AT = (1, 5, 10)
DIRECTIONS = ("image_to_text", "text_to_image")
NAMES = (*(f"R@{k}" for k in RECALL_AT), "median_rank", "mean_rank", "MRR")
# What `trainer_metrics` reports: each metric by direction, and under its bare name the mean of both.
METRICS = (*NAMES, *(f"{way}_{name}" for way in DIRECTIONS for name in NAMES))
GRID = 2.0**26


def ranks(
    queries: Embeddings,
    candidates: Embeddings,
    query_ids: Ids,
    candidate_ids: Ids,
    *,
    block_size: int = 256,
) -> Ranks:
    """Rank of each query's best right candidate: 1 + the wrong candidates that score at least as high.

    Args:
        queries, candidates: (n_queries, dim) and (n_candidates, dim), L2-normalised.
        query_ids, candidate_ids: one movie id a row, integers or strings; repeats are allowed on both sides.
        block_size: queries scored at a time; memory is block_size * n_candidates, the ranks are the same.

    Returns (n_queries,) int64, 1 is best. Raises ValueError for an empty side, NaN, inf, an embedding whose
    norm is not 1, shapes or kinds of ids that do not fit, a query without a right candidate.

    Example:
        >>> ranks(np.eye(3), np.eye(3)[[0, 2, 1]], [7, 8, 9], [7, 9, 8])
        array([1, 1, 1])
        >>> ranks(np.eye(3), np.eye(3)[[0, 2, 1]], [7, 8, 9], [7, 8, 9])  # plots swapped; 0 ties with 0
        array([1, 3, 3])
    """
    for name, embeds, ids in (("queries", queries, query_ids), ("candidates", candidates, candidate_ids)):
        if len(embeds) != len(ids) or len(ids) == 0:
            raise ValueError(f"{len(embeds)} {name} with {len(ids)} ids: need one id each, and at least one")
    query_codes, candidate_codes = id_codes(query_ids, candidate_ids)
    orphans = np.flatnonzero(_right_counts(query_codes, candidate_codes) == 0)
    if orphans.size:
        first = f"row {orphans[0]}, id {query_ids[orphans[0]]}"
        raise ValueError(f"{orphans.size} of {len(queries)} queries have no right candidate; first: {first}")
    result = np.empty(len(queries), dtype=np.int64)
    for rows, scores in score_blocks(queries, candidates, block_size):
        right = query_codes[rows, None] == candidate_codes
        best_right = scores.max(axis=1, keepdims=True, where=right, initial=-np.inf)
        result[rows] = 1 + np.count_nonzero((scores >= best_right) & ~right, axis=1)
    return result


def top_answers(queries: Embeddings, candidates: Embeddings, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k best candidates of each query, best first; among equal scores the lower index comes first.

    Embeddings are as in `ranks`. Returns indices into candidates and their scores, both of shape
    (n_queries, min(k, n_candidates)). Raises ValueError for k below 1 and what `ranks` would refuse.

    Example:
        >>> indices, scores = top_answers(np.eye(2), np.eye(2)[[1, 0, 0]], k=2)
        >>> indices.tolist(), scores.tolist()
        ([[1, 2], [0, 1]], [[1.0, 1.0], [1.0, 0.0]])
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    k = min(k, len(candidates))
    indices, best = np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k))
    for rows, scores in score_blocks(queries, candidates):
        indices[rows], best[rows] = best_of(scores, k)
    return indices, best


def best_of(scores: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k best of (n_queries, n_candidates) scores, best first, as `top_answers` returns them.

    Example:
        >>> best_of(np.array([[0.1, 0.3, 0.1, 0.2]]), k=3)[0]
        array([[1, 3, 0]])
    """
    k = min(k, scores.shape[1])
    indices = np.empty((len(scores), k), dtype=np.int64)
    for row, line in enumerate(scores):
        # A partition alone picks among ties at the cut as it likes: take them all, then sort.
        contenders = np.flatnonzero(line >= np.partition(line, -k)[-k])
        indices[row] = contenders[np.argsort(-line[contenders], kind="stable")][:k]
    return indices, np.take_along_axis(scores, indices, axis=1)


def retrieval_metrics(ranks: Ranks, pool_size: int) -> dict[str, float]:
    """R@1, R@5, R@10 (share of queries with a right answer that high), median and mean rank, MRR.

    `ranks` is (n_queries,), `pool_size` the number of candidates. Raises ValueError where there are no ranks
    or one lies outside 1..pool_size.

    Example:
        >>> retrieval_metrics(np.array([1, 2, 4, 20]), pool_size=20)["R@5"]
        0.75
    """
    if len(ranks) == 0 or ranks.min() < 1 or ranks.max() > pool_size:
        raise ValueError(f"need at least one rank, and all in 1..{pool_size}; got {ranks}")
    return {
        **{f"R@{k}": float(np.mean(ranks <= k)) for k in RECALL_AT},
        "median_rank": float(np.median(ranks)),
        "mean_rank": float(np.mean(ranks)),
        "MRR": float(np.mean(1.0 / ranks)),
    }


def chance(pool_size: int, right_counts: ArrayLike = 1) -> dict[str, float]:
    """What a random order of the pool is expected to reach, under the keys of `retrieval_metrics`.

    `right_counts`: right answers in the pool, one number or one for each query. With one right answer
    R@k = min(k, N) / N, median and mean rank = (N + 1) / 2, MRR = (1 + 1/2 + ... + 1/N) / N. Raises
    ValueError for a count outside 1..pool_size.

    Example:
        >>> round(chance(100)["R@5"], 9), chance(100)["median_rank"]
        (0.05, 50.5)
    """
    counts, queries = np.unique(right_counts, return_counts=True)
    if counts.size == 0 or counts[0] < 1 or counts[-1] > pool_size:
        raise ValueError(f"right answers must number 1..{pool_size} (the pool), got {counts.tolist()}")
    drawn = np.arange(pool_size)
    probability = np.zeros(pool_size)  # that the first right answer comes at rank drawn + 1
    for count, share in zip(counts, queries / queries.sum(), strict=True):
        all_wrong = np.cumprod(np.maximum(pool_size - count - drawn, 0) / (pool_size - drawn))
        probability -= share * np.diff(all_wrong, prepend=1.0)
    reached = np.cumsum(probability)
    middle = [np.argmax(reached > 0.5 + side) + 1 for side in (-1e-9, 1e-9)]
    return {
        **{f"R@{k}": float(reached[min(k, pool_size) - 1]) for k in RECALL_AT},
        "median_rank": float(np.mean(middle)),
        "mean_rank": float(probability @ (drawn + 1)),
        "MRR": float(probability @ (1.0 / (drawn + 1))),
    }


@dataclass(frozen=True, eq=False)
class PoolResult:
    """Ranks of a pool in both directions, (n_images,) and (n_texts,), whole; `summary` is for tables."""

    image_ids: Ids
    text_ids: Ids
    image_to_text: Ranks
    text_to_image: Ranks

    def summary(self) -> dict[str, Any]:
        """JSON-ready: `pool` and `chance` by direction, the metrics under each direction's own name."""
        images, texts = id_codes(self.image_ids, self.text_ids)
        pool = {"image_to_text": len(texts), "text_to_image": len(images)}
        right = {"image_to_text": _right_counts(images, texts), "text_to_image": _right_counts(texts, images)}
        return {
            "pool": pool,
            **{name: retrieval_metrics(getattr(self, name), pool[name]) for name in DIRECTIONS},
            "chance": {name: chance(pool[name], right[name]) for name in DIRECTIONS},
        }


def evaluate_pool(image_embeds: Embeddings, text_embeds: Embeddings, image_ids: Ids, text_ids: Ids) -> PoolResult:
    """Ranks in both directions: every poster against all plots, every plot against all posters.

    Shapes and errors are those of `ranks`; a movie may have several plots, and then has several right ones.

    Example:
        >>> result = evaluate_pool(np.eye(4), np.eye(4), [1, 2, 3, 4], [1, 2, 3, 4])
        >>> result.summary()["image_to_text"]["R@1"]
        1.0
    """
    return PoolResult(
        image_ids=image_ids,
        text_ids=text_ids,
        image_to_text=ranks(image_embeds, text_embeds, image_ids, text_ids),
        text_to_image=ranks(text_embeds, image_embeds, text_ids, image_ids),
    )


def trainer_metrics(prediction: Any) -> dict[str, float]:
    """For `Trainer(compute_metrics=...)`: a pool's metrics by direction, and under their bare names the mean of both.

    `prediction` holds `predictions`, the embeddings of posters and of plots, and `label_ids`, their movie ids.
    """
    images, texts = prediction.predictions
    summary = evaluate_pool(images, texts, prediction.label_ids, prediction.label_ids).summary()
    metrics = {f"{way}_{name}": value for way in DIRECTIONS for name, value in summary[way].items()}
    for name in summary[DIRECTIONS[0]]:
        metrics[name] = float(np.mean([summary[way][name] for way in DIRECTIONS]))
    return metrics


def seed_protocol(
    image_embeds: Embeddings, text_embeds: Embeddings, ids: Ids, trained: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """The course report's judging: one distance matrix -cos over all movies, accuracy of its arg-min.

    Trained movies and the others are counted apart, but each is still sought among all movies. A distance
    that ties with the smallest is a miss, so accuracy is the share of rank 1.

    Embeddings are (n, dim), one poster and one plot a movie in the same order; `trained` is (n,) bool.
    Returns under "all", "trained" and "others": count, image_to_text (arg-min along rows), text_to_image
    (along columns); a group without movies is left out. Raises ValueError as `ranks`, and where `trained` is
    not one bool a movie.

    Example:
        >>> seed_protocol(np.eye(3), np.eye(3), [1, 2, 3], np.array([True, True, False]))["others"]
        {'count': 1, 'image_to_text': 1.0, 'text_to_image': 1.0}
    """
    if trained.dtype != np.bool_ or trained.shape != (len(ids),):
        raise ValueError(f"trained must be {len(ids)} bools, got shape {trained.shape} of {trained.dtype}")
    result = evaluate_pool(image_embeds, text_embeds, ids, ids)
    groups = {"all": np.ones_like(trained), "trained": trained, "others": ~trained}
    return {
        name: {
            "count": int(rows.sum()),
            "image_to_text": float(np.mean(result.image_to_text[rows] == 1)),
            "text_to_image": float(np.mean(result.text_to_image[rows] == 1)),
        }
        for name, rows in groups.items()
        if rows.any()
    }


def score_blocks(
    queries: Embeddings, candidates: Embeddings, block_size: int = 256
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield (rows, scores of these rows against all candidates), scores (rows, n_candidates), exact in float64.

    Embeddings and errors are as in `ranks`. Scores are multiples of 2**-52 and do not depend on the blocks.
    """
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    left, right = normalised(queries, "queries"), normalised(candidates, "candidates")
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"queries have {left.shape[1]} dimensions, candidates {right.shape[1]}")
    for start in range(0, len(left), block_size):
        rows = slice(start, min(start + block_size, len(left)))
        yield rows, left[rows] @ right.T


def normalised(embeds: Embeddings, name: str) -> NDArray[np.float64]:
    """The embeddings on the grid of `on_grid`; ValueError, with their name, unless they are as in `ranks`."""
    array = np.asarray(embeds, dtype=np.float64)
    if array.ndim != 2 or len(array) == 0:
        raise ValueError(f"{name} must be (rows, dimensions) with at least one row, got shape {array.shape}")
    norms = np.linalg.norm(array, axis=1)
    stray = np.flatnonzero(~(np.abs(norms - 1) <= 0.01))  # this way round NaN is stray too
    if stray.size:
        first = f"row {stray[0]}, norm {norms[stray[0]]:.4g}"
        raise ValueError(f"{stray.size} of {len(array)} {name} are not L2-normalised; first: {first}")
    return on_grid(array)


def on_grid(numbers: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers of unit vectors rounded to multiples of 2**-26, so that the vectors' products are exact.

    BLAS sums in an order that depends on a row's place: in float32 equal vectors score up to 1e-7 apart, and
    ties are lost. On the grid products are multiples of 2**-52 and, with unit norms, every partial sum is
    below 2, so float64 holds them all without rounding, in any order. A number moves by 2**-27 at most, which
    is less than a float32 dot product loses.
    """
    return np.rint(numbers.astype(np.float64) * GRID) / GRID


def id_codes(query_ids: Ids, candidate_ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Both sides' ids as small integers, equal where the ids are equal."""
    sides = np.asarray(query_ids), np.asarray(candidate_ids)
    kinds = [side.dtype.kind for side in sides]
    if kinds[0] != kinds[1] or kinds[0] not in "iuU" or any(side.ndim != 1 for side in sides):
        described = " and ".join(f"{side.dtype} of shape {side.shape}" for side in sides)
        raise ValueError(f"ids must be two lists of integers or two lists of strings, got {described}")
    codes = np.unique(np.concatenate(sides), return_inverse=True)[1]
    return codes[: len(sides[0])], codes[len(sides[0]) :]


def _right_counts(query_codes: NDArray[np.intp], candidate_codes: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.bincount(candidate_codes, minlength=query_codes.max() + 1)[query_codes]
