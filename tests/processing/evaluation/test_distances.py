import numpy as np
import pyarrow.parquet as pq
import pytest

from processing.evaluation.distances import write_distances

IDS = [f"movie {number}" for number in range(300)]  # more than a block


@pytest.fixture
def embeds():
    vectors = np.random.default_rng(0).standard_normal((2, len(IDS), 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_both_formats_hold_minus_the_cosine_of_every_poster_and_plot(embeds, tmp_path):
    expected = -(embeds[0].astype(np.float64) @ embeds[1].astype(np.float64).T)
    for name in ("new/distances.npy", "distances.parquet"):
        write_distances(tmp_path / name, *embeds, IDS)
    matrix = np.load(tmp_path / "new" / "distances.npy")
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    table = pq.read_table(tmp_path / "distances.parquet")
    assert table["id"].to_pylist() == IDS
    assert np.array_equal(np.array(table["distances"].to_pylist(), np.float32), matrix)


def test_nothing_is_left_of_a_matrix_that_cannot_be_made(embeds, tmp_path):
    embeds[1, 7] = np.nan
    for name in ("distances.npy", "distances.parquet"):
        with pytest.raises(ValueError, match="row 7"):
            write_distances(tmp_path / name, *embeds, IDS)
    assert not list(tmp_path.iterdir())


def test_another_format_is_named(embeds, tmp_path):
    with pytest.raises(ValueError, match=r"distances\.csv cannot be written.*\.npy or \.parquet"):
        write_distances(tmp_path / "distances.csv", *embeds, IDS)
