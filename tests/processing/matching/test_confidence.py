import numpy as np
import pytest

from processing.matching.confidence import Answers, Confidence, most_certain


def simulated(count: int, share: float, seed: int) -> Answers:
    """Scores of which a movie in the table gives higher ones and wider margins; one in ten such answers is wrong."""
    random = np.random.default_rng(seed)
    present = random.random(count) < share
    right = present & (random.random(count) < 0.9)
    second = random.normal(-6, 1, count)
    return Answers(
        np.where(right, random.normal(2, 2, count), second + random.exponential(1, count)), second, right, present
    )


@pytest.fixture(scope="module")
def confidence() -> Confidence:
    return Confidence.fit(simulated(3000, 1.0, 0), simulated(3000, 0.5, 1))


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.2])
def test_probabilities_are_calibrated_whatever_share_of_movies_is_in_the_table(confidence, share):
    answers = simulated(2000, share, 2)
    found = confidence.probabilities(answers.first, answers.second)
    assert found.share_in_table == pytest.approx(answers.in_table.mean(), abs=0.12)
    assert found.right.mean() == pytest.approx(answers.right.mean(), abs=0.03)
    assert answers.right[found.right > 0.9].mean() > 0.9


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_what_is_accepted_reaches_the_precision(confidence, share):
    answers = simulated(2000, share, 3)
    accepted = most_certain(confidence.probabilities(answers.first, answers.second).right, 0.95)
    assert accepted.sum() > 0.7 * answers.right.sum()
    assert answers.right[accepted].mean() >= 0.935


def test_a_wider_margin_makes_an_answer_more_certain(confidence):
    found = confidence.probabilities([1.0, 1.0], [-6.0, 0.9])
    assert found.right[0] > found.right[1]


def test_pools_in_which_every_answer_is_right_can_be_calibrated_on():
    easy = Answers(np.full(200, 5.0), np.full(200, -9.0), np.ones(200, bool), np.ones(200, bool))
    halved = Answers(
        np.tile([5.0, -9.0], 100), np.full(200, -9.5), np.tile([True, False], 100), np.tile([True, False], 100)
    )
    found = Confidence.fit(easy, halved).probabilities([5.0, -9.0], [-9.0, -9.5])
    assert found.right[0] > 0.9 > 0.1 > found.right[1]


def test_it_survives_json(confidence):
    assert Confidence.from_dict(confidence.to_dict()) == confidence


def test_the_largest_set_that_reaches_a_precision():
    assert most_certain([0.5, 0.99, 0.8], 0.85).tolist() == [False, True, True]
    assert most_certain([0.5, 0.6], 0.95).tolist() == [False, False]
    assert most_certain([], 0.95).tolist() == []


def test_of_equal_probabilities_all_are_taken_or_none():
    assert most_certain([1.0, 0.8, 0.8], 0.9).tolist() == [True, False, False]
