import numpy as np
import pytest

from processing.pair_retrieval.hybrid_vectors import Candidates, HybridVectors

DENSE = 6


def mostly_zeros(rows: int, sparse_dim: int = 20, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    array = random.standard_normal((rows, DENSE + sparse_dim)).astype(np.float32)
    array[:, DENSE:] *= random.random((rows, sparse_dim)) < 0.2
    return array


@pytest.mark.parametrize("sparse_dim", [20, 0])
def test_rows_are_selected_and_joined_like_those_of_an_array(sparse_dim):
    array = mostly_zeros(9, sparse_dim)
    vectors = HybridVectors.from_array(array, DENSE)
    mask = np.arange(9) % 2 == 0
    for rows in (slice(2, 5), np.array([8, 0, 0]), [3], mask):
        assert np.array_equal(vectors[rows].to_array(), array[rows])
    assert np.array_equal(HybridVectors.joined([vectors[:4], vectors[4:4], vectors[4:]]).to_array(), array)
    assert vectors.shape == array.shape and len(vectors) == 9 and vectors.to_array().dtype == np.float32


def test_rows_are_read_and_added_like_those_of_an_array():
    one, other = mostly_zeros(5), mostly_zeros(5, seed=1)
    vectors = HybridVectors.from_array(one, DENSE)
    assert np.array_equal([vectors.row(row) for row in range(5)], one)
    assert np.array_equal((vectors + HybridVectors.from_array(other, DENSE)).to_array(), one + other)


def test_vectors_do_not_keep_the_array_that_they_were_made_of():
    array = mostly_zeros(5)
    vectors, before = HybridVectors.from_array(array, DENSE), array.copy()
    array[:] = 0
    assert np.array_equal(vectors.to_array(), before)


def test_norms_are_those_of_whole_vectors_and_show_what_is_not_finite():
    array = mostly_zeros(5)
    array[1, DENSE + 3], array[2, 0] = np.nan, np.inf
    norms = HybridVectors.from_array(array, DENSE).norms()
    assert np.isnan(norms[1]) and np.isinf(norms[2])
    assert norms[[0, 3, 4]] == pytest.approx(np.linalg.norm(array[[0, 3, 4]], axis=1), rel=1e-6)


def test_dot_products_of_rows_come_in_two_parts():
    one, other = mostly_zeros(8), mostly_zeros(8, seed=1)
    dense, sparse = HybridVectors.from_array(one, DENSE).dots(HybridVectors.from_array(other, DENSE))
    np.testing.assert_allclose(dense, np.sum(one[:, :DENSE] * other[:, :DENSE], axis=1), rtol=1e-5)
    np.testing.assert_allclose(sparse, np.sum(one[:, DENSE:] * other[:, DENSE:], axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sparse_dim", [20, 0])
def test_scores_are_those_of_a_product_of_matrices(sparse_dim):
    one, other = mostly_zeros(300, sparse_dim), mostly_zeros(40, sparse_dim, seed=1)
    one[7] = 0
    scores = Candidates(HybridVectors.from_array(other, DENSE)).scores(HybridVectors.from_array(one, DENSE))
    np.testing.assert_allclose(scores, one @ other.T, rtol=1e-4, atol=1e-5)
    assert scores.dtype == np.float32


def test_scores_on_the_grid_are_exact_in_any_order():
    arrays = [mostly_zeros(30, seed=seed) for seed in (0, 1)]
    units = [array / np.linalg.norm(array, axis=1, keepdims=True) for array in arrays]
    left, right = (HybridVectors.from_array(array, DENSE).on_grid() for array in units)
    backwards = left.to_array()[:, ::-1] @ right.to_array()[:, ::-1].T
    assert np.array_equal(Candidates(right).scores(left), backwards)
    assert np.abs(left.to_array() - units[0]).max() <= 2.0**-27
