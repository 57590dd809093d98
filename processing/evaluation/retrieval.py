"""A pool of posters and plots: ranks both ways, the metrics made of them, the best answers.

What holds for any pairs of images and texts lies in `pair_retrieval`: an answer is right when it has the query's movie
id, and a tie counts against the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processing.pair_retrieval.hybrid_vectors import Embeddings
from processing.pair_retrieval.measures import metric_names, summarise
from processing.pair_retrieval.ranking import (
    DIRECTIONS,
    Ids,
    Ranks,
    RightRanks,
    pair_ranks,
    right_ranks,
    score_blocks,
)

# What `trainer_metrics` reports: each metric by direction, and under its bare name the mean of both.
METRICS = (*metric_names(), *(f"{way}_{name}" for way in DIRECTIONS for name in metric_names()))


def top_answers(queries: Embeddings, candidates: Embeddings, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the k best candidates of each query, best first; among equal scores the lower index comes first.

    Embeddings are as in `pair_ranks`. Returns indices into candidates and their scores, both of shape
    (n_queries, min(k, n_candidates)). Raises ValueError for k below 1 and embeddings that `pair_ranks` refuses.

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
    """Returns the k best of (n_queries, n_candidates) scores, best first, in the form of `top_answers`.

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


@dataclass(frozen=True, eq=False)
class PoolResult:
    """Ranks of a pool in both directions, whole; `summary` is for tables.

    Args:
        image_ids, text_ids: movie ids of the posters, (n_images,), and of the plots, (n_texts,).
        image_to_text, text_to_image: the rank of each query's best right answer, (n_images,) and (n_texts,) int64.
        further: by direction (ranks, queries) of all other right answers, (m,) each, as in `RightRanks`; needed
            where a movie has several posters or plots.
    """

    image_ids: Ids
    text_ids: Ids
    image_to_text: Ranks
    text_to_image: Ranks
    further: Mapping[str, tuple[Ranks, NDArray[np.int64]]] = field(default_factory=dict)

    @classmethod
    def of(cls, image_ids: Ids, text_ids: Ids, ranks: Mapping[str, RightRanks]) -> PoolResult:
        """Returns the result that has these ranks, by direction."""
        images, texts = (ranks[name] for name in DIRECTIONS)
        further = {name: (found.further, found.queries) for name, found in ranks.items()}
        return cls(image_ids, text_ids, images.best, texts.best, further)

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> PoolResult:
        """Returns the result of which `rows` are."""
        queries = {name: [row for row in rows if row["direction"] == name] for name in DIRECTIONS}
        image_ids, text_ids = ([row["id"] for row in of] for of in queries.values())
        return cls.of(image_ids, text_ids, {n: right_ranks([row["ranks"] for row in of]) for n, of in queries.items()})

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for each query: its `direction`, its movie's `id`, and the `ranks` of all its right answers.

        Example:
            >>> pool = evaluate_pool(np.eye(2)[[0, 1, 1]], np.eye(2), ["a", "b", "b"], ["a", "b"])
            >>> pool.rows()[-1]
            {'direction': 'text_to_image', 'id': 'b', 'ranks': [1, 2]}
            >>> PoolResult.from_rows(pool.rows()).rows() == pool.rows()
            True
        """
        rows: list[dict[str, Any]] = []
        for (direction, found), ids in zip(self.right_ranks().items(), (self.image_ids, self.text_ids), strict=True):
            ranks = [[best] for best in found.best.tolist()]
            for query, rank in zip(found.queries.tolist(), found.further.tolist(), strict=True):
                ranks[query].append(rank)
            rows += [{"direction": direction, "id": id, "ranks": of} for id, of in zip(ids, ranks, strict=True)]
        return rows

    def right_ranks(self) -> dict[str, RightRanks]:
        """Ranks of all right answers, by direction."""
        return {name: RightRanks(getattr(self, name), *self.further.get(name, ())) for name in DIRECTIONS}

    def summary(self) -> dict[str, Any]:
        """JSON-ready: `pool` and `chance` by direction, the metrics under each direction's own name."""
        pool = dict(zip(DIRECTIONS, (len(self.text_ids), len(self.image_ids)), strict=True))
        return summarise(self.right_ranks(), pool)


def evaluate_pool(image_embeds: Embeddings, text_embeds: Embeddings, image_ids: Ids, text_ids: Ids) -> PoolResult:
    """Returns the ranks in both directions: every poster against all plots, every plot against all posters.

    Shapes and errors are those of `pair_ranks`; a movie may have several plots, and then has several right ones.

    Example:
        >>> result = evaluate_pool(np.eye(4), np.eye(4), [1, 2, 3, 4], [1, 2, 3, 4])
        >>> result.summary()["image_to_text"]["R@1"]
        1.0
    """
    return PoolResult.of(image_ids, text_ids, pair_ranks(image_embeds, text_embeds, image_ids, text_ids))


def movie_rows(ids: Ids) -> NDArray[np.intp]:
    """Returns the first row of each movie, in the order of the rows, where a movie has a row for each of its posters.

    Example:
        >>> movie_rows(["7", "9", "7", "8"]).tolist()
        [0, 1, 3]
    """
    return np.sort(np.unique(np.asarray(ids), return_index=True)[1])


def movie_places(ids: Ids) -> NDArray[np.intp]:
    """Returns the place of each row's movie in `movie_rows`.

    Example:
        >>> movie_places(["7", "9", "7", "8"]).tolist()
        [0, 1, 0, 2]
    """
    _, first, codes = np.unique(np.asarray(ids), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes]


def trainer_metrics(prediction: Any) -> dict[str, float]:
    """For `Trainer(compute_metrics=...)`: a pool's metrics by direction, and under their bare names the mean of both.

    `prediction` holds `predictions`, the embeddings of posters and of plots, and `label_ids`, their movie ids. A movie
    with several posters has a row for each; its plot is in the pool once.
    """
    (images, texts), ids = prediction.predictions, prediction.label_ids
    movies = movie_rows(ids)
    summary = evaluate_pool(images, texts[movies], ids, ids[movies]).summary()
    metrics = {f"{way}_{name}": value for way in DIRECTIONS for name, value in summary[way].items()}
    for name in summary[DIRECTIONS[0]]:
        metrics[name] = float(np.mean([summary[way][name] for way in DIRECTIONS]))
    return metrics


def legacy_protocol(pool: PoolResult, trained: Ids) -> dict[str, dict[str, float]]:
    """Returns the course report's evaluation: the accuracy of the arg-min of one distance matrix over all movies.

    Trained movies and the others are counted apart, but each is searched for among all movies. A distance
    that ties with the smallest is a miss, so accuracy is the share of rank 1.

    Args:
        pool: all movies.
        trained: ids of those that the model was trained on.

    Returns:
        Under "all", "trained" and "others": count of posters, image_to_text (arg-min along rows), text_to_image (along
        columns); a group without movies is left out.

    Example:
        >>> pool = evaluate_pool(np.eye(3), np.eye(3), [1, 2, 3], [1, 2, 3])
        >>> legacy_protocol(pool, trained=[1, 2])["others"]
        {'count': 1, 'image_to_text': 1.0, 'text_to_image': 1.0}
    """
    posters, movies = (np.isin(ids, trained) for ids in (pool.image_ids, pool.text_ids))
    groups = {
        "all": (np.ones_like(posters), np.ones_like(movies)),
        "trained": (posters, movies),
        "others": (~posters, ~movies),
    }
    return {
        name: {
            "count": int(images.sum()),
            "image_to_text": float(np.mean(pool.image_to_text[images] == 1)),
            "text_to_image": float(np.mean(pool.text_to_image[texts] == 1)),
        }
        for name, (images, texts) in groups.items()
        if images.any()
    }
