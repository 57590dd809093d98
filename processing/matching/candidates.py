"""The first stage of matching: embeddings of posters and movies, and the candidates that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processing.pair_retrieval.hybrid_vectors import Candidates, HybridVectors
from processing.pair_retrieval.ranking import blocks

from .pair_text import MovieText, PosterText

Dense = NDArray[np.float32]
Rows = NDArray[np.intp]

CANDIDATES = 30  # movies of a poster that the second stage looks at


@dataclass
class Posters:
    """The posters' side of a match: embeddings, and the texts that are printed on them."""

    embeddings: HybridVectors
    texts: Sequence[PosterText]

    def select(self, rows: Rows) -> Posters:
        """Returns some of the posters."""
        return Posters(self.embeddings[rows], [self.texts[row] for row in rows])


@dataclass
class Movies:
    """The movies' side of a match: embeddings of everything, of the titles alone and of the plots alone, and titles."""

    embeddings: HybridVectors
    titles: HybridVectors
    plots: HybridVectors
    texts: Sequence[MovieText]

    def select(self, rows: Rows) -> Movies:
        """Returns some of the movies."""
        embeddings, titles, plots = (part[rows] for part in (self.embeddings, self.titles, self.plots))
        return Movies(embeddings, titles, plots, [self.texts[row] for row in rows])


def most_similar(queries: HybridVectors, pool: HybridVectors, count: int = CANDIDATES) -> Rows:
    """Returns the most similar rows of the pool for each query, best first, (queries, count or less).

    Queries go in blocks, so memory grows with the pool, not with its product with the queries.
    """
    count = min(count, len(pool))
    found, candidates = np.empty((len(queries), count), np.intp), Candidates(pool)
    for part in blocks(len(queries), len(pool)):
        scores = candidates.scores(queries[part])
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        best.sort(axis=1)
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        found[part] = np.take_along_axis(best, order, 1)
    return found


def pair_dots(queries: HybridVectors, rows: Rows, pool: HybridVectors, columns: Rows) -> tuple[Dense, Dense]:
    """Returns the dot products of pairs of rows, of the dense parts and of the n-gram parts, (pairs,) each."""
    dense, ngrams = np.empty((2, len(rows)), np.float32)
    for part in blocks(len(rows), pool.dense.shape[1]):
        dense[part], ngrams[part] = queries[rows[part]].dots(pool[columns[part]])
    return dense, ngrams
