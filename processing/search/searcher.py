"""Exact search in embeddings that have a dense and a sparse part."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from processing.evaluation.retrieval import best_of
from processing.pair_retrieval.ranking import normalised, on_grid

from .hybrid_embeddings import HybridEmbeddings

BLOCK = 2**23  # scores at a time

Answers = tuple[NDArray[np.int64], NDArray[np.float64]]


class Searcher:
    """Finds the candidates that score best with a query, exactly.

    A float32 product with the dense part picks the rows that can be among the best; these are scored again in float64.
    The n-gram part is kept by column, and only the columns that a query has are read.

    Args:
        candidates: L2-normalised embeddings of posters or plots.

    Raises:
        ValueError: there is no candidate.

    Example:
        >>> candidates = HybridEmbeddings.from_array(np.eye(3, dtype=np.float32)[[1, 0, 0]], dense_dim=2)
        >>> rows, scores = Searcher(candidates).search(np.eye(3)[:1], k=2)
        >>> rows.tolist(), scores.tolist()
        ([[1, 2]], [[1.0, 1.0]])
    """

    def __init__(self, candidates: HybridEmbeddings) -> None:
        if not len(candidates):
            raise ValueError("There is no candidate to search in.")
        self.dense, self.ngrams = candidates.dense, csc_array(candidates.ngrams)

    def __len__(self) -> int:
        """Returns the number of candidates."""
        return self.dense.shape[0]

    def search(self, queries: NDArray[np.floating[Any]], k: int) -> Answers:
        """Returns what `processing.evaluation.retrieval.top_answers` returns for the same embeddings, to the bit.

        Args:
            queries: (queries, dense_dim + ngram_dim), L2-normalised.
            k: answers a query, 1 to the number of candidates.

        Returns:
            Indices of candidates and their cosine similarities, both of shape (queries, k), best first. Among equal
            scores the lower index comes first.

        Raises:
            ValueError: k is out of range, or the queries are not L2-normalised or have another dimension.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"k must lie in 1..{len(self)}, the number of candidates, not {k}")
        exact, dense_dim = normalised(queries, "queries"), self.dense.shape[1]
        if exact.shape[1] != dense_dim + self.ngrams.shape[1]:
            raise ValueError(f"queries have {exact.shape[1]} dimensions, not {dense_dim} + {self.ngrams.shape[1]}")
        answers, height = [], max(1, BLOCK // len(self))
        for start in range(0, len(exact), height):
            block = exact[start : start + height]
            scores = block[:, :dense_dim].astype(np.float32) @ self.dense.T
            answers += [self._best(query, line, k) for query, line in zip(block, scores, strict=True)]
        rows, best = zip(*answers, strict=True)
        return np.stack(rows), np.stack(best)

    def _best(
        self, query: NDArray[np.float64], dense_scores: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        dense_dim = self.dense.shape[1]
        columns = np.flatnonzero(query[dense_dim:])
        shared = self.ngrams[:, columns].astype(np.float64)
        on_grid(shared.data)
        ngram_scores = shared @ query[dense_dim:][columns]
        rough = dense_scores + ngram_scores
        error = dense_dim * 2.0**-23  # of a float32 product of unit vectors, at most
        rows = np.flatnonzero(rough >= np.partition(rough, -k)[-k] - 2 * error)
        dense = on_grid(self.dense[rows].astype(np.float64))
        found, best = best_of((dense @ query[:dense_dim] + ngram_scores[rows])[None], k)
        return rows[found[0]], best[0]
