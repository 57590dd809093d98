import numpy as np
import pytest

from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.reporting.charts.evaluation_charts import CELLS, block_means, distance_matrix, rank_bins
from tests.processing.evaluation.test_retrieval import unit


def parts(embeds):
    return HybridVectors.from_array(embeds, dense_dim=2)


@pytest.mark.parametrize("rows", [12, 13])
def test_a_cell_of_a_binned_matrix_is_the_mean_of_its_block(rows):
    rng = np.random.default_rng(0)
    images, texts = unit(rng, rows, 6), unit(rng, rows, 6)
    binned, cosines = block_means(parts(images), 4) @ block_means(parts(texts), 4).T, images @ texts.T
    for i, j in np.ndindex(binned.shape):
        assert binned[i, j] == pytest.approx(cosines[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean())


@pytest.mark.parametrize("rows", [30, 2 * CELLS + 1])
def test_the_matrix_shows_distances_in_cells_that_a_page_can_show(rows):
    images = unit(np.random.default_rng(1), rows, 4)
    shown = distance_matrix(parts(images), parts(images)).axes[0].images[0].get_array()
    assert len(shown) == -(-rows // -(-rows // CELLS)) <= CELLS
    if rows <= CELLS:
        np.testing.assert_allclose(shown, -images @ images.T, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 10, 48, 1067])
def test_rank_bins_hold_each_rank_once(size):
    ranks = [rank for first, last in rank_bins(size) for rank in range(first, last + 1)]
    assert ranks == list(range(1, size + 1))
