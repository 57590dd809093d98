import numpy as np
import pytest

from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.reporting.charts.embedding_map import to_plane
from tests.processing.evaluation.test_retrieval import unit


def parts(embeds):
    return HybridVectors.from_array(embeds, dense_dim=2)


def test_a_collapsed_model_is_one_point_on_the_map():
    assert not to_plane(parts(np.ones((40, 4)) / 2)).any()


@pytest.mark.parametrize("rows", [4, 40])
def test_the_map_has_a_place_for_each_and_the_same_each_time(rows):
    embeds = parts(unit(np.random.default_rng(2), rows, 8))
    places = to_plane(embeds)
    assert places.shape == (rows, 2) and np.isfinite(places).all()
    assert places.tobytes() == to_plane(embeds).tobytes()
