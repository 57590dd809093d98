import numpy as np
import pytest
from scipy.sparse import random_array

from processing.evaluation.retrieval import top_answers
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.search.searcher import Searcher

DENSE = 24


def made_up(count: int, ngram_dim: int, seed: int = 0) -> np.ndarray:
    """Unit vectors whose n-gram part is sparse."""
    random = np.random.default_rng(seed)
    dense = random.standard_normal((count, DENSE))
    ngrams = random_array((count, ngram_dim), density=0.05, rng=random).toarray() if ngram_dim else dense[:, :0]
    embeds = np.hstack([dense, 3 * ngrams])
    return (embeds / np.linalg.norm(embeds, axis=1, keepdims=True)).astype(np.float32)


def parts(array: np.ndarray, dense_dim: int = DENSE) -> HybridVectors:
    return HybridVectors.from_array(array.astype(np.float32), dense_dim)


@pytest.mark.parametrize("ngram_dim", [512, 0])
@pytest.mark.parametrize("k", [1, 20, 800])
def test_answers_are_those_of_brute_force_to_the_bit_ties_included(ngram_dim, k):
    rows, queries = made_up(500, ngram_dim), made_up(9, ngram_dim, seed=1)
    twice = rows[np.r_[np.arange(500), np.arange(300)]]  # 300 of them tie with their doubles
    found, scores = Searcher(parts(twice)).search(parts(queries), k)
    expected, expected_scores = top_answers(queries, twice, k)
    assert np.array_equal(found, expected) and np.array_equal(scores, expected_scores)


def test_candidates_that_differ_by_less_than_float32_can_tell_are_ordered_exactly():
    query = made_up(1, 0)
    near = query + 2.0**-26 * np.random.default_rng(0).integers(-3, 4, (400, DENSE))
    candidates = near.astype(np.float32)
    found, _ = Searcher(parts(candidates)).search(parts(query), 30)
    assert np.array_equal(found, top_answers(query, candidates, 30)[0])


def test_a_query_without_ngrams_is_answered_by_the_dense_part():
    rows, query = made_up(50, 64), np.zeros((1, DENSE + 64), dtype=np.float32)
    query[0, 3] = 1
    found, _ = Searcher(parts(rows)).search(parts(query), 1)
    assert found.tolist() == [[int(rows[:, 3].argmax())]]


@pytest.mark.parametrize(
    ("queries", "k", "words"),
    [
        (np.eye(5)[:1], 0, r"k must lie in 1\.\.3, the number of candidates, not 0"),
        (np.eye(5)[:1], 4, r"k must lie in 1\.\.3"),
        (np.eye(4)[:1], 1, r"queries have 2 \+ 2 dimensions, the candidates 2 \+ 3"),
        (2 * np.eye(5)[:1], 1, "not L2-normalised"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(queries, k, words):
    with pytest.raises(ValueError, match=words):
        Searcher(parts(np.eye(5)[:3], 2)).search(parts(queries, 2), k)


def test_a_searcher_without_candidates_is_refused():
    with pytest.raises(ValueError, match="no candidate"):
        Searcher(parts(np.empty((0, 5)), 2))
