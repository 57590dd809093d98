import numpy as np
import pytest

from processing.evaluation.selective import calibration, coverage, risk_coverage, risk_coverage_curve, share


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


def test_an_interval_has_a_width_also_where_all_answers_are_right_or_none_is():
    for right, expected in ((True, 1), (False, 0)):
        point = risk_coverage(np.linspace(0, 1, 40), np.full(40, right))["0.95"]
        low, high = point["interval"]
        assert point["coverage"] == expected and low <= expected <= high and high - low > 0.05


def test_the_curve_ends_with_all_answers_and_stays_short():
    random = np.random.default_rng(1)
    confidences, right = random.random(1000), random.random(1000) < 0.7
    curve = risk_coverage_curve(confidences, right)
    assert curve[-1] == {"coverage": 1.0, "precision": right.mean()} and len(curve) == 100
    shares = [point["coverage"] for point in curve]
    assert shares == sorted(shares)
    for point in curve:
        assert coverage(confidences, right, point["precision"]) >= point["coverage"]


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
