"""Embeddings of posters and plots as an index keeps them: nothing is lost, and zeros are not kept.

An embedding is a meaning, `projection_dim` numbers, and after it in some models a hashed bag of characters,
`char_ngram_dim` numbers of which a hundred or so are not zero. Of posters, a column `poster_embedding` holds meanings;
`poster_places` and `poster_values` say where bags are not zero, and what they are there. Of plots likewise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value
from numpy.typing import NDArray
from scipy.sparse import csr_array

SIDES = ("poster", "plot")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of one side, in memory: 4 bytes for a number of a meaning, 8 for a number of a bag that is not zero.

    Args:
        meanings: (rows, dense) float32.
        bags: (rows, sparse) float32, of scipy's sparse matrices by row; (rows, 0) for a model without bags.

    Example:
        >>> rows = np.array([[0.6, 0.0, 0.8, 0.0, 0.0]], dtype=np.float32)
        >>> kept = Embeddings.of_array(rows, dense=2)
        >>> kept.bags.indices.tolist(), kept.to_array().tolist() == rows.tolist()
        ([0], True)
    """

    meanings: NDArray[np.float32]
    bags: csr_array

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.meanings)

    def __getitem__(self, rows: slice | NDArray[np.integer[Any]]) -> "Embeddings":
        """Some of the rows."""
        return Embeddings(self.meanings[rows], self.bags[rows])

    @classmethod
    def of_array(cls, embeds: NDArray[np.float32], dense: int) -> "Embeddings":
        """Of (rows, dense + sparse)."""
        return cls(embeds[:, :dense], csr_array(embeds[:, dense:]))

    def to_array(self) -> NDArray[np.float32]:
        """(rows, dense + sparse)."""
        return np.hstack([self.meanings, self.bags.toarray()])

    @classmethod
    def of_dataset(cls, movies: Dataset, side: str, sparse: int) -> "Embeddings":
        """Of the columns of a side, "poster" or "plot", of a dataset; `sparse` are the places of a bag."""
        table = movies.with_format("arrow")[:]

        def numbers(name: str) -> NDArray[Any]:
            return np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks])

        meanings = numbers(f"{side}_embedding").reshape(len(table), -1)
        if not sparse:
            return cls(meanings, csr_array((len(table), 0), dtype=np.float32))
        counts = np.concatenate([chunk.value_lengths().to_numpy() for chunk in table[f"{side}_places"].chunks])
        starts = np.concatenate([[0], np.cumsum(counts)])
        parts = (numbers(f"{side}_values"), numbers(f"{side}_places"), starts)
        return cls(meanings, csr_array(parts, shape=(len(table), sparse)))

    def to_columns(self, side: str) -> dict[str, list[Any]]:
        """The columns of a side."""
        columns: dict[str, list[Any]] = {f"{side}_embedding": list(self.meanings)}
        if self.bags.shape[1]:
            cuts = self.bags.indptr[1:-1]
            columns[f"{side}_places"] = np.split(self.bags.indices.astype(np.int32), cuts)
            columns[f"{side}_values"] = np.split(self.bags.data, cuts)
        return columns


def column_features(dense: int, sparse: int) -> Features:
    """The columns of both sides.

    Args:
        dense: numbers of a meaning.
        sparse: places of a bag; 0 for a model without bags.

    Example:
        >>> list(column_features(384, 0))
        ['poster_embedding', 'plot_embedding']
    """
    columns: dict[str, Any] = {}
    for side in SIDES:
        columns[f"{side}_embedding"] = List(Value("float32"), length=dense)
        if sparse:
            columns[f"{side}_places"] = List(Value("int32"))
            columns[f"{side}_values"] = List(Value("float32"))
    return Features(columns)
