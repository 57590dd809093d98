"""Ranks of all right answers from the embeddings of two sides, in both directions at once.

Everywhere, similarity is the dot product of L2-normalised embeddings, an answer is right when it has
the query's id, and a tie counts against the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .hybrid_vectors import Candidates, Embeddings, HybridVectors

Ids = NDArray[Any] | Sequence[int] | Sequence[str]
Ranks = NDArray[np.int64]

DIRECTIONS = ("image_to_text", "text_to_image")
BLOCK = 2**21  # scores at a time
ROWS = (256, 2**15)  # of a block, fewest and most
NONE = np.empty(0, dtype=np.int64)


class RightRanks(NamedTuple):
    """Ranks of the right answers of n queries, 1 is best.

    The j-th best right answer of a query has rank j + the number of wrong answers that score at least as high, so all
    ranks of a query differ.

    Args:
        best: (n,) int64, of each query's best right answer.
        further: (m,) int64, of all other right answers; none where each query has one.
        queries: (m,), the query of each of those, 0..n-1.

    Example:
        >>> RightRanks(best=np.array([1, 7]), further=np.array([4]), queries=np.array([0])).counts().tolist()
        [2, 1]
    """

    best: Ranks
    further: Ranks = NONE
    queries: NDArray[np.int64] = NONE

    def counts(self) -> NDArray[np.int64]:
        """Returns the number of right answers of each query, (n,)."""
        return 1 + np.bincount(self.queries, minlength=len(self.best))


def right_ranks(lists: Sequence[Sequence[int]], pool_size: int | None = None) -> RightRanks:
    """Returns `RightRanks` from the ranks of each query, which may be in any order.

    Raises:
        ValueError: there is no query, or a query has no ranks, the same rank twice, or one that is not an integer in
            1..pool_size.

    Example:
        >>> right_ranks([[4, 1], [7]], pool_size=10).best.tolist()
        [1, 7]
    """
    ordered = []
    for row, ranks in enumerate(lists):
        whole = not isinstance(ranks, str) and len(ranks) > 0 and all(map(is_whole, ranks))
        if not whole or len(set(ranks)) < len(ranks) or min(ranks) < 1 or max(ranks) > (pool_size or max(ranks)):
            upper = f"in 1..{pool_size} (the pool)" if pool_size else "from 1 on"
            raise ValueError(f"query {row} has the ranks {ranks}: need at least one, whole numbers {upper}, each once")
        ordered.append(sorted(ranks))
    if not ordered:
        raise ValueError("need the ranks of at least one query")
    rows = np.repeat(np.arange(len(ordered)), [len(ranks) - 1 for ranks in ordered])
    further = np.array([rank for ranks in ordered for rank in ranks[1:]], dtype=np.int64)
    return RightRanks(np.array([ranks[0] for ranks in ordered], dtype=np.int64), further, rows)


def is_whole(value: Any) -> bool:
    """Returns whether a value is an integer, of Python or NumPy."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def pair_ranks(
    image_embeds: Embeddings, text_embeds: Embeddings, image_ids: Ids, text_ids: Ids
) -> dict[str, RightRanks]:
    """Returns the ranks of all right answers: of each image among all texts, and of each text among all images.

    Each score is computed once, for both directions, in blocks. Besides a float64 copy of the texts' embeddings, memory
    is linear in the number of right pairs. Each further right answer of a query costs one more comparison of its
    scores.

    Args:
        image_embeds, text_embeds: (n_images, dim) and (n_texts, dim), L2-normalised; norms may be off by 1 %, as in
            half precision, and are not corrected. Arrays, or both `HybridVectors`, whose zeros cost nothing.
        image_ids, text_ids: one id for each row, integers or strings; ids may repeat on both sides.

    Returns:
        By direction.

    Raises:
        ValueError: a side is empty, an embedding has NaN, inf or a norm that is not 1, shapes or types of ids do not
            fit, or an id is on one side only.

    Example:
        >>> found = pair_ranks(np.eye(3), np.eye(3)[[0, 2, 1]], [7, 8, 9], [7, 8, 9])  # texts swapped; 0 ties with 0
        >>> found["image_to_text"].best
        array([1, 3, 3])
    """
    sides = (("image", image_embeds, image_ids), ("text", text_embeds, text_ids))
    for name, embeds, ids in sides:
        if embeds is None or ids is None:
            raise ValueError(f"need {name}_embeds and {name}_ids")
        if len(embeds) != len(ids) or len(ids) == 0:
            raise ValueError(f"{len(embeds)} {name}_embeds with {len(ids)} {name}_ids: need one each, and at least one")
    codes = id_codes(image_ids, text_ids)
    counts = [np.bincount(side, minlength=max(map(np.max, codes)) + 1) for side in codes]
    for (name, _, ids), own, others in zip(sides, codes, reversed(counts), strict=True):
        if (orphans := np.flatnonzero(others[own] == 0)).size:
            other = "text" if name == "image" else "image"
            first = f"row {orphans[0]}, id {ids[orphans[0]]}"
            raise ValueError(f"{orphans.size} of {len(ids)} {name}_ids have no {other} of that id; first: {first}")
    images, texts = as_vectors(image_embeds, "image_embeds"), as_vectors(text_embeds, "text_embeds")
    check_dimensions(images, texts, "image_embeds", "text_embeds")

    by_id = np.argsort(codes[1], kind="stable")
    right = counts[1][codes[0]]
    rows = np.repeat(np.arange(len(images)), right)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(right) - right, right)
    columns = by_id[(np.cumsum(counts[1]) - counts[1])[codes[0][rows]] + place]
    scores = np.empty(len(rows))
    for part in blocks(len(rows), images.shape[1]):
        scores[part] = np.sum(images[rows[part]].on_grid().dots(texts[columns[part]].on_grid()), axis=0)
    down, across = _Direction(rows, scores), _Direction(columns, scores)
    images, candidates = images[down.order], Candidates(texts[across.order].on_grid())
    for part in blocks(len(images), len(candidates)):
        _count(candidates.scores(images[part].on_grid()), part, down, across)
    return dict(zip(DIRECTIONS, (down.ranks(), across.ranks()), strict=True))


class _Direction:
    """The right answers of each query, and how many answers, right or wrong, score at least as high as each."""

    def __init__(self, queries: NDArray[np.intp], scores: NDArray[np.float64]) -> None:
        order = np.lexsort((-scores, queries))
        self.queries, self.scores = queries[order], scores[order]
        counts = np.bincount(queries)
        self.first = np.cumsum(counts) - counts
        # The queries with most right answers come first: those that have another one are then a slice.
        self.order = np.argsort(-counts, kind="stable")
        holders = [self.order[: np.count_nonzero(counts > place)] for place in range(counts.max())]
        self.index = [self.first[queries] + place for place, queries in enumerate(holders)]
        self.thresholds = [self.scores[index] for index in self.index]
        self.reached = [np.zeros(len(index), dtype=np.int64) for index in self.index]

    def ranks(self) -> RightRanks:
        """Returns the ranks that follow from the counts."""
        reached = np.concatenate(self.reached)[np.argsort(np.concatenate(self.index))]
        place = np.arange(len(self.queries)) - self.first[self.queries]
        starts = (place == 0) | (np.diff(self.scores, prepend=np.nan) != 0)  # of right answers with equal scores
        ends = np.append(np.flatnonzero(starts)[1:], len(starts))[np.cumsum(starts) - 1]
        right = ends - self.first[self.queries]
        ranks = place + 1 + reached - right
        return RightRanks(ranks[place == 0], ranks[place > 0], self.queries[place > 0])


def _count(scores: NDArray[np.float64], rows: slice, down: _Direction, across: _Direction) -> None:
    """Compares the scores of some rows with the thresholds of rows and columns, and counts those that reach them."""
    for thresholds, reached in zip(down.thresholds, down.reached, strict=True):
        # Line by line: over a whole axis it is many times slower.
        lines = zip(scores, thresholds[rows], strict=False)
        reached[rows] += np.array([np.count_nonzero(line >= limit) for line, limit in lines], dtype=np.int64)
    for thresholds, reached in zip(across.thresholds, across.reached, strict=True):
        hits = scores[:, : len(thresholds)] >= thresholds
        reached += np.add.reduce(hits.view(np.uint8), axis=0, dtype=np.uint16)


def score_blocks(queries: Embeddings, candidates: Embeddings) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yields (rows, scores of these rows against all candidates), scores (rows, n_candidates), exact in float64.

    Embeddings and errors are as in `pair_ranks`. Scores are multiples of 2**-52 and do not depend on the blocks.
    """
    left, right = as_vectors(queries, "queries"), as_vectors(candidates, "candidates")
    check_dimensions(left, right, "queries", "candidates")
    exact = Candidates(right.on_grid())
    for rows in blocks(len(left), len(exact)):
        yield rows, exact.scores(left[rows].on_grid())


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yields parts of the rows of a matrix with about `BLOCK` numbers each."""
    height = min(max(BLOCK // max(columns, 1), ROWS[0]), ROWS[1])
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


def as_vectors(embeds: Embeddings, name: str) -> HybridVectors:
    """Returns embeddings as `HybridVectors`, an array with an empty sparse part.

    Raises:
        ValueError: `pair_ranks` refuses them; it gives their name.
    """
    vectors = embeds if isinstance(embeds, HybridVectors) else _from_array(embeds, name)
    norms = vectors.norms()
    stray = np.flatnonzero(~(np.abs(norms - 1) <= 0.01))  # this way round NaN is stray too
    if stray.size:
        first = f"row {stray[0]}, norm {norms[stray[0]]:.4g}"
        raise ValueError(f"{stray.size} of {len(vectors)} {name} are not L2-normalised; first: {first}")
    return vectors


def _from_array(embeds: Any, name: str) -> HybridVectors:
    try:
        array = np.asarray(embeds)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{name} must be (rows, dimensions) of numbers: {error}") from None
    if array.ndim != 2 or len(array) == 0 or array.dtype.kind not in "fiu":
        got = f"shape {array.shape} of {array.dtype}"
        raise ValueError(f"{name} must be (rows, dimensions) of real numbers with at least one row, got {got}")
    return HybridVectors(array, csr_array((len(array), 0)))


def check_dimensions(left: HybridVectors, right: HybridVectors, left_name: str, right_name: str) -> None:
    """Raises ValueError if two sides have different dimensions."""
    sizes = [(side.dense.shape[1], side.sparse.shape[1]) for side in (left, right)]
    if sizes[0] != sizes[1]:
        said = [f"{dense} + {sparse}" if sparse else str(dense) for dense, sparse in sizes]
        raise ValueError(f"{left_name} have {said[0]} dimensions, {right_name} {said[1]}")


def id_codes(query_ids: Ids, candidate_ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the ids of both sides as small integers, equal where the ids are equal."""
    for ids in (query_ids, candidate_ids):
        if not isinstance(ids, np.ndarray) and len(kinds_of := {type(each) for each in ids}) > 1:
            named = " and ".join(sorted(kind.__name__ for kind in kinds_of))
            raise ValueError(f"ids must be of one kind, integers or strings, got {named}")
    sides = np.asarray(query_ids), np.asarray(candidate_ids)
    kinds = [side.dtype.kind for side in sides]
    if kinds[0] != kinds[1] or kinds[0] not in "iuU" or any(side.ndim != 1 for side in sides):
        described = " and ".join(f"{side.dtype} of shape {side.shape}" for side in sides)
        raise ValueError(f"ids must be two lists of integers or two lists of strings, got {described}")
    codes = np.unique(np.concatenate(sides), return_inverse=True)[1]
    return codes[: len(sides[0])], codes[len(sides[0]) :]
