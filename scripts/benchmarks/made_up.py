"""Made-up embeddings of the shape that the preset gives: a random dense part, and n-grams as frequent as real ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from processing.pair_retrieval.hybrid_vectors import HybridVectors

NGRAM_NORM = 1.2  # beside a dense part of norm 1
# The share of 6,206 real plots and posters that have the most frequent of 4,096 n-gram columns, the 2nd, 4th, 8th ...
PLOT_NGRAMS = (0.811, 0.743, 0.643, 0.492, 0.321, 0.226, 0.165, 0.119, 0.083, 0.056, 0.033, 0.014, 0.0)
POSTER_NGRAMS = (0.435, 0.378, 0.185, 0.111, 0.092, 0.069, 0.055, 0.044, 0.034, 0.025, 0.017, 0.010, 0.0)
BLOCK = 1000  # rows that are drawn at a time


def unit_rows(count: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Returns random vectors of norm 1, (count, dim)."""
    dense = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return dense / np.linalg.norm(dense, axis=1, keepdims=True)


def with_ngrams(dense: NDArray[np.float32], ngram_dim: int, shares: Sequence[float], seed: int) -> HybridVectors:
    """Returns embeddings of norm 1 out of dense parts of norm 1 and made-up n-grams.

    Args:
        dense: (rows, dense_dim).
        ngram_dim: columns of the n-grams; 0 for none.
        shares: of the rows that have the columns 1, 2, 4, 8 ...; of those between, interpolated.
        seed: of the draws.

    Example:
        >>> embeds = with_ngrams(unit_rows(500, 16, seed=0), 4096, PLOT_NGRAMS, seed=0)
        >>> bool(np.allclose(embeds.norms(), 1, atol=1e-5)), round(embeds.sparse.nnz / 500)
        (True, 115)
    """
    if not ngram_dim:
        return HybridVectors(dense, csr_array((len(dense), 0), dtype=np.float32))
    random = np.random.default_rng(seed)
    share = np.interp(np.log2(np.arange(1, ngram_dim + 1)), np.arange(len(shares)), shares).astype(np.float32)
    parts = []
    for start in range(0, len(dense), BLOCK):
        drawn = random.random((min(BLOCK, len(dense) - start), ngram_dim), dtype=np.float32) < share
        parts.append(csr_array(drawn, dtype=np.float32))
    sparse = csr_array(vstack(parts, format="csr"))
    # The rarer an n-gram, the greater its weight.
    sparse.data = (random.choice([-1, 1], sparse.nnz) * -np.log(share[sparse.indices])).astype(np.float32)
    norms = np.sqrt(sparse.multiply(sparse).sum(axis=1)).clip(1e-6)
    whole = np.where(norms > 1e-6, 1 + NGRAM_NORM**2, 1.0) ** 0.5
    sparse.data *= np.repeat(NGRAM_NORM / norms / whole, np.diff(sparse.indptr)).astype(np.float32)
    return HybridVectors((dense / whole[:, None]).astype(np.float32), sparse)
