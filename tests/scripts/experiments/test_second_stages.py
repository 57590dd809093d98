import numpy as np

from scripts.experiments.second_stages import measured


def test_a_poster_is_right_where_its_movie_has_the_best_score_and_a_tie_is_wrong():
    rows, columns = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 2, 0, 1])
    found = measured(rows, columns, lambda: np.array([2.0, 1.0, 3.0, 1.0, 1.0, 1.0, 5.0]))
    assert found["R@1"]["share"] == 0.25 and found["seconds_per_1000_posters"] >= 0
