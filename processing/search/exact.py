"""The best answers out of many: exactly, or by two indexes and then exactly among what they find.

What stands high does so by what it means or by how it is spelled, so each has an index of candidates. Meanings have one
of FAISS (Douze et al. 2024, arXiv:2401.08281). Bags have champion lists (Manning, Raghavan & Schuetze 2008, section
7.1.3): of each place, the rows in which it weighs most. Neither alone would do: of a million bags hashed to what
FAISS could bear, or of a million meanings without bags, the ten best are not among the first thousands.
"""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from scipy.sparse import csc_array, load_npz, save_npz

from processing.evaluation.retrieval import best_of
from processing.pair_retrieval.ranking import normalised, on_grid

from .storage import Embeddings

BLOCK = 16_384  # rows scored at a time
FACTORY = "HNSW16,SQ8"  # a navigable graph (Malkov & Yashunin 2018, arXiv:1603.09320) of meanings, a byte a number
BUILD_WIDTH = 80  # of the graph's beam as it is built; as it is searched the beam is as wide as there are candidates
CANDIDATES = 1200  # that each of the two indexes finds
CHAMPIONS = 0.02  # of the rows, that a place of a bag keeps
SORTED_OUT = 5  # times k rows are left after a first look in float32, and 50 at least
GROUP = 16

Answers = tuple[NDArray[np.int64], NDArray[np.float64]]


def scores(queries: NDArray[np.floating[Any]], rows: Embeddings) -> NDArray[np.float64]:
    """Similarities, (queries, rows): those of `processing.evaluation.retrieval` to the bit, without the work for zeros.

    Args:
        queries: (queries, dense + sparse), L2-normalised.
        rows: to compare them with.

    Raises:
        ValueError: what `processing.evaluation.retrieval.ranks` would refuse of the queries.
    """
    exact, dense = normalised(queries, "queries"), rows.meanings.shape[1]
    bags = rows.bags.astype(np.float64)
    on_grid(bags.data)
    return exact[:, :dense] @ on_grid(rows.meanings.astype(np.float64)).T + (bags @ exact[:, dense:].T).T


def exact_answers(queries: NDArray[np.floating[Any]], rows: Embeddings, k: int) -> Answers:
    """What `processing.evaluation.retrieval.top_answers` says of the same embeddings, in bounded memory.

    Args:
        queries: (queries, dense + sparse), L2-normalised.
        rows: the candidates.
        k: how many answers, 1 to the number of rows.

    Returns the rows' indices and their scores, (queries, k) both, best first; among equals the lower index.

    Example:
        >>> found, scored = exact_answers(np.eye(3)[:1], Embeddings.of_array(np.eye(3)[[1, 0, 0]], dense=2), k=2)
        >>> found.tolist(), scored.tolist()
        ([[1, 2]], [[1.0, 1.0]])
    """
    found = np.empty((len(queries), 0), dtype=np.int64)
    best = np.empty((len(queries), 0))
    for start in range(0, len(rows), BLOCK):
        block = scores(queries, rows[start : start + BLOCK])
        indices = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        among, best = best_of(np.hstack([best, block]), k)
        found = np.take_along_axis(np.hstack([found, indices]), among, axis=1)
    return found, best


class FastSearch:
    """Answers by candidates, for as many rows as make `exact_answers` slow.

    Args:
        movies: a dataset to which an index of FAISS was added under `name`, of the rows' meanings.
        name: of that index.
        rows: the embeddings.
        champions: of the rows' bags, from `champion_lists`.
    """

    def __init__(self, movies: Dataset, name: str, rows: Embeddings, champions: csc_array) -> None:
        self.movies, self.name, self.rows, self.champions = movies, name, rows, champions

    @classmethod
    def build(cls, movies: Dataset, name: str, rows: Embeddings) -> "FastSearch":
        """Index the rows.

        Raises:
            ImportError: faiss is not installed.
        """
        import faiss

        index: Any = faiss.index_factory(rows.meanings.shape[1], FACTORY, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = BUILD_WIDTH, CANDIDATES
        index.train(rows.meanings[:: max(len(rows) // BLOCK, 1)])  # the range of each number
        movies.add_faiss_index_from_external_arrays(rows.meanings, name, custom_index=index, batch_size=BLOCK)
        return cls(movies, name, rows, champion_lists(rows))

    def save(self, folder: Path) -> None:
        """Write both indexes, whole or not at all; the one of FAISS last, which says that both are there."""
        lists, graph = folder / f"{self.name}.partial.npz", folder / f"{self.name}.partial.faiss"
        save_npz(lists, self.champions, compressed=False)
        self.movies.save_faiss_index(self.name, graph)
        lists.replace(folder / f"{self.name}.npz")
        graph.replace(folder / f"{self.name}.faiss")

    @classmethod
    def load(cls, movies: Dataset, name: str, rows: Embeddings, folder: Path) -> "FastSearch":
        """Read what `save` wrote."""
        movies.load_faiss_index(name, folder / f"{name}.faiss")
        return cls(movies, name, rows, csc_array(load_npz(folder / f"{name}.npz")))

    def answers(self, queries: NDArray[np.floating[Any]], k: int) -> Answers:
        """As `exact_answers`, but for what is no candidate."""
        dense, count = self.rows.meanings.shape[1], max(CANDIDATES, 2 * k)
        if 2 * count > len(self.rows):
            return exact_answers(queries, self.rows, k)
        meanings = np.ascontiguousarray(queries[:, :dense], dtype=np.float32)
        by_meaning = self.movies.search_batch(self.name, meanings, count).total_indices
        answers = []
        for query, found in zip(queries, by_meaning, strict=True):
            found = np.union1d(found[found >= 0], self.by_spelling(query[dense:], count))
            answers.append(self._best(query, found, k))
        found, best = zip(*answers, strict=True)
        return np.concatenate(found), np.concatenate(best)

    def by_spelling(self, bag: NDArray[np.floating[Any]], count: int) -> NDArray[np.int64]:
        """The rows whose bags are likest, (count,) or none."""
        places = np.flatnonzero(bag)
        if not len(places):
            return np.empty(0, dtype=np.int64)
        return highest(self.champions[:, places] @ bag[places].astype(np.float32), count)

    def _best(self, query: NDArray[np.floating[Any]], found: NDArray[np.int64], k: int) -> Answers:
        if len(found) < k:
            return exact_answers(query[None], self.rows, k)
        rows, dense = self.rows[found], self.rows.meanings.shape[1]
        roughly = rows.meanings @ query[:dense].astype(np.float32) + rows.bags @ query[dense:].astype(np.float32)
        kept = np.sort(np.argsort(-roughly)[: max(SORTED_OUT * k, 50)])
        among, best = exact_answers(query[None], rows[kept], k)
        return found[kept][among], best


def champion_lists(rows: Embeddings) -> csc_array:
    """The rows' bags, (rows, sparse) by column, of which each column keeps its share `CHAMPIONS` of largest numbers.

    Example:
        >>> champion_lists(Embeddings.of_array(np.eye(4, dtype=np.float32), dense=2)).toarray()[2:].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    bags = csc_array(rows.bags)
    most = max(int(CHAMPIONS * len(rows)), CANDIDATES)
    kept = []
    for start, end in zip(bags.indptr, bags.indptr[1:], strict=False):
        champions = np.arange(start, end)
        if len(champions) > most:
            champions = start + np.sort(np.argpartition(-np.abs(bags.data[start:end]), most)[:most])
        kept.append(champions)
    starts = np.cumsum([0, *map(len, kept)])
    chosen = np.concatenate([np.empty(0, dtype=np.int64), *kept])
    return csc_array((bags.data[chosen], bags.indices[chosen], starts), shape=bags.shape)


def highest(numbers: NDArray[np.floating[Any]], count: int) -> NDArray[np.int64]:
    """Where the `count` largest numbers lie, in any order.

    They lie in the `count` groups whose largest numbers are the largest; a partition of all would be a dozen times
    as slow.

    Example:
        >>> sorted(highest(np.array([0.1, 0.5, 0.2, 0.4]), 2).tolist())
        [1, 3]
    """
    if count * GROUP < len(numbers):
        whole = len(numbers) // GROUP * GROUP
        groups = _partition(numbers[:whole].reshape(-1, GROUP).max(axis=1), count)
        places = np.append(groups[:, None] * GROUP + np.arange(GROUP), np.arange(whole, len(numbers)))
        return places[_partition(numbers[places], count)]
    return _partition(numbers, count)


def _partition(numbers: NDArray[np.floating[Any]], count: int) -> NDArray[np.int64]:
    return np.argpartition(numbers, -count)[-count:]
