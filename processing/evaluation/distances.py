"""The whole matrix of distances between posters and plots, for who wants it: written in blocks, never held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from processing.pair_retrieval.hybrid_vectors import Embeddings
from processing.pair_retrieval.ranking import score_blocks

FORMATS = (".npy", ".parquet")


def check_format(path: Path) -> None:
    """ValueError, naming it, for a file that `write_distances` does not know how to write."""
    if path.suffix not in FORMATS or path.is_dir():
        raise ValueError(f"{path} cannot be written: name a file that ends in {' or '.join(FORMATS)}.")


def write_distances(path: Path, image_embeds: Embeddings, text_embeds: Embeddings, ids: Sequence[str]) -> None:
    """Write the distances -cosine of every poster (row) to every plot (column), float32, whole or not at all.

    Args:
        path: a `.npy` of shape (movies, movies), in the order of the embeddings; or a `.parquet` with a row a poster:
            its `id`, and `distances`, a list over the plots. The plots' ids are the column `id`, in that order.
        image_embeds, text_embeds: a row for each movie, L2-normalised.
        ids: of the movies.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "distances.npy"
        >>> write_distances(path, np.eye(2), np.eye(2)[[1, 0]], ["a", "b"])
        >>> np.load(path).tolist()
        [[-0.0, -1.0], [-1.0, -0.0]]
    """
    check_format(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        blocks = score_blocks(image_embeds, text_embeds)
        if path.suffix == ".npy":
            matrix = open_memmap(partial, mode="w+", dtype=np.float32, shape=(len(ids), len(ids)))
            for rows, scores in blocks:
                matrix[rows] = -scores
            matrix.flush()
        else:
            schema = pa.schema({"id": pa.string(), "distances": pa.list_(pa.float32(), len(ids))})
            with pq.ParquetWriter(partial, schema) as writer:
                for rows, scores in blocks:
                    distances = pa.FixedSizeListArray.from_arrays(
                        pa.array(-scores.astype(np.float32).ravel()), len(ids)
                    )
                    writer.write_batch(pa.record_batch([pa.array(ids[rows]), distances], schema=schema))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
