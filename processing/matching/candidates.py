"""The first stage of matching: embeddings of posters and movies, and the candidates that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .pair_text import MovieText, PosterText

Dense = NDArray[np.float32]
Rows = NDArray[np.intp]

CANDIDATES = 30  # movies of a poster that the second stage looks at
POSTERS_AT_A_TIME = 256
PAIRS_AT_A_TIME = 20_000


@dataclass
class SplitEmbeddings:
    """Embeddings in their two parts, so that many of them fit in memory: n-gram embeddings are mostly zeros.

    Args:
        dense: (rows, projection_dim).
        ngrams: (rows, char_ngram_dim), sparse.
    """

    dense: Dense
    ngrams: sparse.csr_matrix

    @classmethod
    def split(cls, embeds: Dense, projection_dim: int) -> SplitEmbeddings:
        """Returns the parts of embeddings, (rows, projection_dim + char_ngram_dim)."""
        return cls(embeds[:, :projection_dim].copy(), sparse.csr_matrix(embeds[:, projection_dim:]))

    @classmethod
    def joined(cls, blocks: Sequence[SplitEmbeddings]) -> SplitEmbeddings:
        """Returns the rows of several blocks as one."""
        dense = np.concatenate([block.dense for block in blocks])
        return cls(dense, sparse.vstack([block.ngrams for block in blocks]).tocsr())

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.dense)

    def select(self, rows: Rows) -> SplitEmbeddings:
        """Returns some of the rows."""
        return SplitEmbeddings(self.dense[rows], self.ngrams[rows])

    def dots(self, rows: Rows, others: SplitEmbeddings, other_rows: Rows) -> tuple[Dense, Dense]:
        """Returns the dot products of pairs of rows, of the dense parts and of the n-gram parts, (pairs,) each."""
        dense = np.empty(len(rows), np.float32)
        ngrams = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), PAIRS_AT_A_TIME):
            part = slice(start, start + PAIRS_AT_A_TIME)
            mine, theirs = rows[part], other_rows[part]
            dense[part] = np.einsum("ij,ij->i", self.dense[mine], others.dense[theirs])
            ngrams[part] = np.asarray(self.ngrams[mine].multiply(others.ngrams[theirs]).sum(1)).ravel()
        return dense, ngrams


@dataclass
class Posters:
    """The posters' side of a match: embeddings, and the texts that are printed on them."""

    embeddings: SplitEmbeddings
    texts: Sequence[PosterText]

    def select(self, rows: Rows) -> Posters:
        """Returns some of the posters."""
        return Posters(self.embeddings.select(rows), [self.texts[row] for row in rows])


@dataclass
class Movies:
    """The movies' side of a match: embeddings of everything, of the titles alone and of the plots alone, and titles."""

    embeddings: SplitEmbeddings
    titles: SplitEmbeddings
    plots: SplitEmbeddings
    texts: Sequence[MovieText]

    def select(self, rows: Rows) -> Movies:
        """Returns some of the movies."""
        embeddings, titles, plots = (part.select(rows) for part in (self.embeddings, self.titles, self.plots))
        return Movies(embeddings, titles, plots, [self.texts[row] for row in rows])


def most_similar(queries: SplitEmbeddings, pool: SplitEmbeddings, count: int = CANDIDATES) -> Rows:
    """Returns the most similar rows of the pool for each query, best first, (queries, count or less).

    Queries go in blocks, so memory grows with the pool, not with its product with the queries.
    """
    count = min(count, len(pool))
    found = np.empty((len(queries), count), np.intp)
    transposed = pool.ngrams.T.tocsr()
    for start in range(0, len(queries), POSTERS_AT_A_TIME):
        part = slice(start, start + POSTERS_AT_A_TIME)
        scores = queries.dense[part] @ pool.dense.T
        scores += (queries.ngrams[part] @ transposed).toarray()
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        best.sort(axis=1)
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        found[part] = np.take_along_axis(best, order, 1)
    return found
