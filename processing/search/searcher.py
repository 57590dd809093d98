"""Exact search in embeddings that have a dense and a sparse part."""

import numpy as np
from numpy.typing import NDArray

from processing.evaluation.retrieval import best_of
from processing.pair_retrieval.hybrid_vectors import Candidates, HybridVectors
from processing.pair_retrieval.ranking import as_vectors, blocks, check_dimensions

Answers = tuple[NDArray[np.int64], NDArray[np.float64]]


class Searcher:
    """Finds the candidates that score best with a query, exactly.

    Scores in float32 pick the rows that can be among the best; these are scored again in float64.

    Args:
        embeds: L2-normalised embeddings of the candidates, posters or plots.

    Raises:
        ValueError: there is no candidate.

    Example:
        >>> embeds = HybridVectors.from_array(np.eye(3, dtype=np.float32)[[1, 0, 0]], dense_dim=2)
        >>> rows, scores = Searcher(embeds).search(embeds[1:2], k=2)
        >>> rows.tolist(), scores.tolist()
        ([[1, 2]], [[1.0, 1.0]])
    """

    def __init__(self, embeds: HybridVectors) -> None:
        if not len(embeds):
            raise ValueError("There is no candidate to search in.")
        self.embeds, self.candidates = embeds, Candidates(embeds)

    def __len__(self) -> int:
        """Returns the number of candidates."""
        return len(self.embeds)

    def search(self, queries: HybridVectors, k: int) -> Answers:
        """Returns what `processing.evaluation.retrieval.top_answers` returns for the same embeddings, to the bit.

        Args:
            queries: embeddings like those of the candidates, L2-normalised.
            k: answers a query, 1 to the number of candidates.

        Returns:
            Indices of candidates and their cosine similarities, both of shape (queries, k), best first. Among equal
            scores the lower index comes first.

        Raises:
            ValueError: k is out of range, or the queries are not L2-normalised or have another dimension.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"k must lie in 1..{len(self)}, the number of candidates, not {k}")
        queries = as_vectors(queries, "queries")
        check_dimensions(queries, self.embeds, "queries", "the candidates")
        answers = []
        for part in blocks(len(queries), len(self)):
            block = queries[part]
            lines = enumerate(self.candidates.scores(block))
            answers += [self._best(block[[row]].on_grid(), line, k) for row, line in lines]
        rows, best = zip(*answers, strict=True)
        return np.stack(rows), np.stack(best)

    def _best(
        self, query: HybridVectors, rough: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # Of a float32 product of unit vectors, at most; few numbers of the sparse part meet.
        error = (self.embeds.dense.shape[1] + query.sparse.nnz) * 2.0**-23
        rows = np.flatnonzero(rough >= np.partition(rough, -k)[-k] - 2 * error)
        exact = Candidates(self.embeds[rows].on_grid()).scores(query)
        found, best = best_of(exact, k)
        return rows[found[0]], best[0]
