"""Vectors in two parts, a dense and a sparse one, and their dot products."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

GRID = 2.0**26

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class HybridVectors:
    """Vectors, one a row, whose last numbers are mostly zeros: these are kept as a sparse matrix.

    Args:
        dense: (rows, dense_dim), the first numbers of each vector.
        sparse: (rows, sparse_dim), the other ones; (rows, 0) for vectors that are dense as a whole.

    Example:
        >>> vectors = HybridVectors.from_array(np.array([[0.6, 0.0, 0.8, 0.0], [1.0, 0.0, 0.0, 0.0]]), dense_dim=1)
        >>> vectors.shape, vectors.sparse.nnz, vectors[[0]].to_array().tolist()
        ((2, 4), 1, [[0.6, 0.0, 0.8, 0.0]])
    """

    dense: Floats
    sparse: csr_array

    @classmethod
    def from_array(cls, array: Floats, dense_dim: int) -> HybridVectors:
        """Returns the vectors of an array, (rows, dense_dim + sparse_dim), without keeping the array."""
        return cls(array[:, :dense_dim].copy(), csr_array(array[:, dense_dim:]))

    @classmethod
    def joined(cls, blocks: Sequence[HybridVectors]) -> HybridVectors:
        """Returns the rows of several blocks, at least one, as one."""
        dense = np.concatenate([block.dense for block in blocks])
        return cls(dense, csr_array(vstack([block.sparse for block in blocks], format="csr")))

    def to_array(self) -> Floats:
        """Returns the vectors as an array, (rows, dense_dim + sparse_dim)."""
        return np.hstack([self.dense, self.sparse.toarray()])

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and dimensions, those of both parts together."""
        return len(self.dense), self.dense.shape[1] + self.sparse.shape[1]

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.dense)

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> HybridVectors:
        """Returns some of the rows, by a slice, indices or a mask."""
        return HybridVectors(self.dense[rows], self.sparse[rows])

    def __add__(self, others: HybridVectors) -> HybridVectors:
        """Returns the sum of each row and the same row of others."""
        return HybridVectors(self.dense + others.dense, self.sparse + others.sparse)

    def row(self, index: int) -> Floats:
        """Returns one vector as an array, (dense_dim + sparse_dim,)."""
        vector = np.zeros(self.shape[1], self.dense.dtype)
        vector[: self.dense.shape[1]] = self.dense[index]
        numbers = slice(*self.sparse.indptr[index : index + 2])
        vector[self.dense.shape[1] + self.sparse.indices[numbers]] = self.sparse.data[numbers]
        return vector

    def norms(self) -> NDArray[np.float64]:
        """Returns the length of each vector, (rows,)."""
        squares = np.einsum("ij,ij->i", self.dense, self.dense, dtype=np.float64)
        squared = np.square(self.sparse.data, dtype=np.float64)
        return np.sqrt(squares + csr_array((squared, *_places(self.sparse)), self.sparse.shape).sum(axis=1))

    def dots(self, others: HybridVectors) -> tuple[Floats, Floats]:
        """Returns the dot product of each row with the same row of others: of the dense parts, and of the sparse."""
        sparse = self.sparse.multiply(others.sparse).sum(axis=1)
        return np.einsum("ij,ij->i", self.dense, others.dense), np.asarray(sparse)

    def on_grid(self) -> HybridVectors:
        """Returns unit vectors in float64, rounded to multiples of 2**-26, so that their dot products are exact.

        BLAS sums in an order that depends on the row's position: in float32, scores of equal vectors differ by up to
        1e-7, and ties are lost. Products of rounded numbers are multiples of 2**-52 and, with unit norms, every partial
        sum is below 2, so float64 represents them exactly in any order. A number changes by at most 2**-27, which is
        less than the rounding error of a float32 dot product.
        """
        sparse = csr_array((_rounded(self.sparse.data), *_places(self.sparse)), self.sparse.shape)
        return HybridVectors(_rounded(self.dense), sparse)


Embeddings = Floats | HybridVectors


class Candidates:
    """Vectors that queries are scored against.

    The sparse part is kept by column, as the inverted lists of text search
    ([Zobel and Moffat 2006](https://doi.org/10.1145/1132956.1132959)): a query reads those of its own columns alone.

    Args:
        vectors: the candidates.

    Example:
        >>> candidates = Candidates(HybridVectors.from_array(np.eye(3), dense_dim=2))
        >>> candidates.scores(HybridVectors.from_array(np.array([[0.6, 0.0, 0.8]]), dense_dim=2)).tolist()
        [[0.6, 0.0, 0.8]]
    """

    def __init__(self, vectors: HybridVectors) -> None:
        self.dense = vectors.dense.T
        self.lists = csr_array(vectors.sparse.T)

    def __len__(self) -> int:
        """Returns the number of candidates."""
        return self.dense.shape[1]

    def scores(self, queries: HybridVectors) -> NDArray[Any]:
        """Returns the dot product of each query with each candidate, (queries, candidates).

        In float64 and on the grid of `HybridVectors.on_grid`, scores are exact and do not depend on their block.
        """
        scores = queries.dense @ self.dense
        columns, values, ends = queries.sparse.indices, queries.sparse.data, queries.sparse.indptr

        def add_sparse(rows: NDArray[np.intp]) -> None:
            for row in rows:
                own = slice(ends[row], ends[row + 1])
                scores[row] += values[own] @ self.lists[columns[own]]

        if len(values):
            parts = np.array_split(np.flatnonzero(np.diff(ends)), cpu_count() or 1)
            with ThreadPoolExecutor(len(parts)) as threads:
                list(threads.map(add_sparse, parts))
        return scores


def _places(matrix: csr_array) -> tuple[NDArray[Any], NDArray[Any]]:
    return matrix.indices, matrix.indptr


def _rounded(numbers: Floats) -> NDArray[np.float64]:
    """Returns the multiples of 2**-26 that are nearest to numbers, in float64."""
    rounded = np.multiply(numbers, GRID, dtype=np.float64)
    np.rint(rounded, out=rounded)
    rounded /= GRID
    return rounded
