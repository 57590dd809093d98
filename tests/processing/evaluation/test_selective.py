import numpy as np
import pytest

from processing.evaluation.selective import calibration, coverage, risk_coverage, share


def test_coverage_is_that_of_the_longest_prefix_which_reaches_the_precision():
    confidences, right = [0.9, 0.8, 0.7, 0.6], [True, False, True, True]
    assert coverage(confidences, right, 0.75) == 1
    assert coverage(confidences, right, 0.8) == 0.25


def test_no_answer_reaches_a_precision_that_the_most_confident_misses():
    assert coverage([0.9, 0.1], [False, True], 0.9) == 0


def test_equally_confident_answers_are_given_together():
    assert coverage([0.5, 0.5], [True, False], 0.9) == 0


def test_intervals_hold_the_coverage():
    random = np.random.default_rng(0)
    confidences = random.random(400)
    found = risk_coverage(confidences, random.random(400) < confidences)
    for point in found.values():
        assert point["interval"][0] <= point["coverage"] <= point["interval"][1]


def test_calibrated_confidences_have_a_small_error_and_others_a_large_one():
    random = np.random.default_rng(0)
    confidences = random.random(5000)
    right = random.random(5000) < confidences
    assert calibration(confidences, right)["error"] < 0.03
    assert calibration(confidences**3, right)["error"] > 0.1
    assert sum(point["count"] for point in calibration(confidences, right)["curve"]) == 5000


def test_a_share_has_an_interval_also_where_all_are_hits():
    found = share([True] * 10)
    assert found["share"] == found["interval"][1] == pytest.approx(1)
    assert 0.6 < found["interval"][0] < 1


def test_a_share_of_nothing_is_unknown():
    assert share([])["share"] is None
