import numpy as np

from processing.matching.candidates import candidate_pairs, most_similar, most_similar_strings, pair_dots
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from tests.processing.matching.sides import titled_pool


def random_embeddings(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    sparse = random.normal(size=(count, 20)) * (random.random((count, 20)) < 0.2)
    return np.concatenate([random.normal(size=(count, 6)), sparse], axis=1).astype(np.float32)


def test_the_most_similar_are_those_of_a_full_matrix_best_first():
    posters, movies = random_embeddings(300, 0), random_embeddings(50, 1)
    found = most_similar(HybridVectors.from_array(posters, 6), HybridVectors.from_array(movies, 6), count=7)
    np.testing.assert_array_equal(found, np.argsort(-(posters @ movies.T), axis=1)[:, :7])


def test_a_small_pool_gives_all_that_it_has():
    embeddings = HybridVectors.from_array(random_embeddings(3, 0), 6)
    assert most_similar(embeddings, embeddings, count=30).shape == (3, 3)


def test_a_title_that_ocr_misread_or_broke_is_found_by_edit_distance():
    posters = [["jacknicholson", "thebigsl", "leep", "thebigslleep"], ["395teds"], []]
    movies = [["thebigchill"], ["thebigsleep", "lasuenolargo"], ["the39steps"], []]
    assert most_similar_strings(posters, movies, count=1) == [[1], [2], []]
    assert most_similar_strings(movies, posters, count=1)[1:] == [[0], [1], []]


def test_candidates_are_those_of_embeddings_and_of_titles_each_once():
    posters, movies = titled_pool(60, unreadable=0.3)
    for queries, pool in ((posters, movies), (movies, posters)):
        rows, columns = candidate_pairs(queries, pool)
        assert sorted(set(rows)) == list(range(60)) and len(set(zip(rows, columns, strict=True))) == len(rows)
        by_embedding, by_title = (
            most_similar(queries.embeddings, pool.embeddings),
            most_similar_strings(queries.strings, pool.strings),
        )
        for row in range(60):
            assert set(columns[rows == row]) == {*by_embedding[row], *by_title[row]}


def test_dot_products_of_pairs_come_in_two_parts():
    posters, movies = random_embeddings(5, 0), random_embeddings(4, 1)
    rows, columns = np.array([0, 4, 4]), np.array([3, 0, 1])
    queries, pool = (HybridVectors.from_array(side, 6) for side in (posters, movies))
    dense, ngrams = pair_dots(queries, rows, pool, columns)
    np.testing.assert_allclose(dense, np.sum(posters[rows, :6] * movies[columns, :6], axis=1), rtol=1e-5)
    np.testing.assert_allclose(ngrams, np.sum(posters[rows, 6:] * movies[columns, 6:], axis=1), rtol=1e-5, atol=1e-6)
