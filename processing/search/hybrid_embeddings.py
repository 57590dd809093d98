"""Embeddings in two parts, dense and sparse, in memory and as columns of a table.

An embedding of a model with character n-grams has `char_ngram_dim` numbers for them, of which a hundred or so are not
zero. Both parts are kept without loss, and the zeros of the second are left out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray
from scipy.sparse import csr_array

SIDES = ("poster", "plot")


@dataclass(frozen=True, eq=False)
class HybridEmbeddings:
    """Embeddings of posters or of plots, the dense part and the character n-grams apart.

    Args:
        dense: (rows, dense_dim) float32.
        ngrams: (rows, ngram_dim) float32, sparse by row; (rows, 0) for a model without n-grams.

    Example:
        >>> rows = np.array([[0.6, 0.0, 0.8, 0.0, 0.0]], dtype=np.float32)
        >>> embeds = HybridEmbeddings.from_array(rows, dense_dim=2)
        >>> embeds.ngrams.indices.tolist(), embeds.to_array().tolist() == rows.tolist()
        ([0], True)
    """

    dense: NDArray[np.float32]
    ngrams: csr_array

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.dense)

    def __getitem__(self, rows: slice | NDArray[np.integer[Any]]) -> "HybridEmbeddings":
        """Returns some of the rows."""
        return HybridEmbeddings(self.dense[rows], self.ngrams[rows])

    @classmethod
    def from_array(cls, embeds: NDArray[np.float32], dense_dim: int) -> "HybridEmbeddings":
        """Splits embeddings of shape (rows, dense_dim + ngram_dim)."""
        return cls(embeds[:, :dense_dim], csr_array(embeds[:, dense_dim:]))

    def to_array(self) -> NDArray[np.float32]:
        """Returns both parts side by side, (rows, dense_dim + ngram_dim)."""
        return np.hstack([self.dense, self.ngrams.toarray()])

    @classmethod
    def from_dataset(cls, movies: Dataset, side: str, ngram_dim: int) -> "HybridEmbeddings":
        """Reads the columns of a side, "poster" or "plot", that `to_columns` made."""
        table = movies.with_format("arrow")[:]

        def numbers(name: str) -> NDArray[Any]:
            return np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks])

        dense = numbers(f"{side}_dense").reshape(len(table), -1)
        if not ngram_dim:
            return cls(dense, csr_array((len(table), 0), dtype=np.float32))
        counts = np.concatenate([chunk.value_lengths().to_numpy() for chunk in table[f"{side}_ngram_indices"].chunks])
        starts = np.concatenate([[0], np.cumsum(counts)])
        parts = (numbers(f"{side}_ngram_values"), numbers(f"{side}_ngram_indices"), starts)
        return cls(dense, csr_array(parts, shape=(len(table), ngram_dim)))

    def to_columns(self, side: str) -> dict[str, list[Any]]:
        """Returns the columns of a side, "poster" or "plot"."""
        columns: dict[str, list[Any]] = {f"{side}_dense": list(self.dense)}
        if self.ngrams.shape[1]:
            cuts = self.ngrams.indptr[1:-1]
            columns[f"{side}_ngram_indices"] = np.split(self.ngrams.indices.astype(np.int32), cuts)
            columns[f"{side}_ngram_values"] = np.split(self.ngrams.data, cuts)
        return columns


def column_features(dense_dim: int, ngram_dim: int) -> Features:
    """Returns the types of the columns of both sides.

    Args:
        dense_dim: numbers of the dense part.
        ngram_dim: numbers of the n-gram part; 0 for a model without n-grams.

    Example:
        >>> list(column_features(384, 0))
        ['poster_dense', 'plot_dense']
    """
    columns: dict[str, Any] = {}
    for side in SIDES:
        columns[f"{side}_dense"] = List(Value("float32"), length=dense_dim)
        if ngram_dim:
            columns[f"{side}_ngram_indices"] = List(Value("int32"))
            columns[f"{side}_ngram_values"] = List(Value("float32"))
    return Features(columns)
