import numpy as np

from processing.matching.confidence import Probabilities
from processing.matching.matches import one_to_one, statuses


def pairs(scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = np.indices(np.shape(scores))
    return rows.ravel(), columns.ravel(), np.ravel(scores).astype(float)


def left(scores) -> list[list[bool]]:
    return one_to_one(*pairs(scores)).reshape(np.shape(scores)).tolist()


def test_a_movie_goes_to_the_poster_that_it_fits_best():
    assert left([[4, 1], [5, -3]]) == [[False, True], [True, False]]


def test_a_wrong_pair_takes_no_movie_from_a_likely_one():
    assert left([[2, 1], [-5, -10]]) == [[True, False], [False, False]] or left([[2, 1], [-5, -10]])[0][0]


def test_more_posters_than_movies_leave_posters_unmatched():
    assert left([[3], [5], [1]]) == [[False], [True], [False]]


def test_a_movie_that_nobody_takes_stays_a_candidate():
    assert left([[4, 1, -2]]) == [[True, True, True]]


def test_no_pairs_at_all():
    assert one_to_one(*pairs(np.zeros((0, 0)))).tolist() == []


def test_the_certain_are_accepted_the_absent_named_and_the_rest_reviewed():
    probabilities = Probabilities(np.array([0.99, 0.5, 0.01]), np.array([1.0, 0.7, 0.02]), 0.6)
    assert statuses(probabilities, np.ones(3, bool), 0.95) == ["accepted", "review", "not in the table"]


def test_a_poster_without_a_candidate_is_never_accepted():
    probabilities = Probabilities(np.array([0.99]), np.array([1.0]), 0.9)
    assert statuses(probabilities, np.zeros(1, bool), 0.95) == ["review"]


def test_a_doubtful_poster_is_not_accepted_because_the_others_are_certain():
    probabilities = Probabilities(np.array([1.0] * 40 + [0.2]), np.array([1.0] * 41), 0.9)
    assert statuses(probabilities, np.ones(41, bool), 0.95)[-1] == "review"
    assert statuses(probabilities, np.arange(41) < 40, 0.95)[-1] == "review"


def test_a_poster_that_may_be_there_is_not_called_absent_because_the_others_are():
    probabilities = Probabilities(np.zeros(41), np.array([0.0] * 40 + [0.8]), 0.9)
    assert statuses(probabilities, np.ones(41, bool), 0.95)[-1] == "review"


def test_without_confidence_all_is_for_review():
    assert statuses(None, np.ones(2, bool), 0.95) == ["review", "review"]
