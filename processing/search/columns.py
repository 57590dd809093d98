"""Embeddings as columns of a table: a dense part, and the n-grams that are not zero. Both are kept without loss."""

from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray
from scipy.sparse import csr_array, get_index_dtype

from processing.pair_retrieval.hybrid_vectors import HybridVectors

SIDES = ("poster", "plot")


def to_columns(embeds: HybridVectors, side: str) -> dict[str, list[Any]]:
    """Returns the columns of a side, "poster" or "plot".

    Example:
        >>> to_columns(HybridVectors.from_array(np.eye(2)[:1], dense_dim=2), "plot")
        {'plot_dense': [array([1., 0.])]}
    """
    columns: dict[str, list[Any]] = {f"{side}_dense": list(embeds.dense)}
    if embeds.sparse.shape[1]:
        cuts = embeds.sparse.indptr[1:-1]
        columns[f"{side}_ngram_indices"] = np.split(embeds.sparse.indices.astype(np.int32), cuts)
        columns[f"{side}_ngram_values"] = np.split(embeds.sparse.data, cuts)
    return columns


def from_columns(movies: Dataset, side: str, ngram_dim: int) -> HybridVectors:
    """Returns the embeddings of a side, "poster" or "plot", whose columns `to_columns` made."""
    table = movies.with_format("arrow")[:]

    def numbers(name: str) -> NDArray[Any]:
        return np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks])

    dense = numbers(f"{side}_dense").reshape(len(table), -1)
    if not ngram_dim:
        return HybridVectors(dense, csr_array((len(table), 0), dtype=np.float32))
    counts = np.concatenate([chunk.value_lengths().to_numpy() for chunk in table[f"{side}_ngram_indices"].chunks])
    starts = np.concatenate([[0], np.cumsum(counts)])
    starts = starts.astype(get_index_dtype(maxval=int(starts[-1])))  # scipy gives indices the larger type of both
    parts = (numbers(f"{side}_ngram_values"), numbers(f"{side}_ngram_indices"), starts)
    return HybridVectors(dense, csr_array(parts, shape=(len(table), ngram_dim)))


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
