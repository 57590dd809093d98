import itertools
import json

import numpy as np
import pytest

from processing.evaluation import one_to_one
from processing.evaluation.one_to_one import assignment, dual_softmax, match_one_to_one
from tests.processing.evaluation.test_retrieval import coarse, unit


def dual_softmax_by_hand(scores, scale):
    shares = [np.exp(scale * column) / sum(np.exp(scale * column)) for column in scores.T]
    return scores * np.transpose(shares)


def test_dual_softmax_is_the_papers_equation():
    scores = np.random.default_rng(0).random((5, 7))
    assert dual_softmax(scores, 20.0) == pytest.approx(dual_softmax_by_hand(scores, 20.0), rel=1e-12)


def test_dual_softmax_bears_the_largest_scale_a_model_learns():
    scores = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert dual_softmax(scores, 200.0).tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("lowest", [-0.1, np.nan])
def test_dual_softmax_refuses_scores_that_it_would_turn_round(lowest):
    with pytest.raises(ValueError, match="at or above 0, the lowest is"):
        dual_softmax(np.array([[lowest, 0.5]]), 1.0)


@pytest.mark.parametrize("kind", ["random", "ties"])
@pytest.mark.parametrize("seed", range(5))
def test_an_assignment_has_the_largest_sum_and_then_the_fewest_right_pairs(kind, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (6, 6)) / 2 if kind == "ties" else rng.random((6, 6))
    rounded = np.rint(scores * 2**24)
    sums = {order: rounded[range(6), order].sum() for order in itertools.permutations(range(6))}
    best = [order for order, total in sums.items() if total == max(sums.values())]
    found = tuple(assignment(scores))
    assert found in best
    assert matches(found) == min(map(matches, best))


def matches(order):
    return sum(i == j for i, j in enumerate(order))


def test_right_pairs_that_score_higher_are_kept_however_many_pay_the_toll():
    scores = np.full((2000, 2000), 0.5)
    scores[np.diag_indices(2000)] += 2.0**-24
    assert assignment(scores).tolist() == list(range(2000))


def test_a_model_that_says_the_same_to_everything_finds_nothing():
    same = np.repeat(unit(np.random.default_rng(2), 1, 8), 50, axis=0)
    found = match_one_to_one(same, same, np.arange(50), np.arange(50), scale=100.0)
    assert found["assignment"]["right_pairs"] == 0
    for direction in ("image_to_text", "text_to_image"):
        assert found["dual_softmax"][direction]["mean_rank"] == 50


def test_copies_of_a_movie_cannot_be_told_apart():
    rng = np.random.default_rng(3)
    embeds = unit(rng, 33, 16)[np.r_[np.arange(33), 0, 0, 0]]  # the first movie four times
    found = match_one_to_one(embeds, embeds, np.arange(36), np.arange(36), scale=50.0)
    assert found["assignment"]["right_pairs"] == 32 / 36
    assert found["dual_softmax"]["image_to_text"]["R@1"] == 32 / 36
    assert found["dual_softmax"]["text_to_image"]["R@1"] == 32 / 36


def test_a_plot_that_is_near_to_everything_is_taken_from_the_others():
    rng = np.random.default_rng(4)
    hub = np.eye(1, 16)
    posters = unit(rng, 40, 16) + 0.9 * hub
    posters /= np.linalg.norm(posters, axis=1, keepdims=True)
    plots = np.concatenate([hub, posters[1:] - 0.6 * hub])
    plots /= np.linalg.norm(plots, axis=1, keepdims=True)
    alone = np.mean((posters @ plots.T).argmax(axis=1) == np.arange(40))
    found = match_one_to_one(posters, plots, np.arange(40), np.arange(40), scale=20.0)
    assert alone < found["dual_softmax"]["image_to_text"]["R@1"] <= found["assignment"]["right_pairs"]


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(5)
    posters, plots, ids = coarse(rng, 30), coarse(rng, 30), np.array([f"tt{i}" for i in range(30)])
    mixed, other = rng.permutation(30), rng.permutation(30)
    found = match_one_to_one(posters[mixed], plots[other], ids[mixed], ids[other], scale=10.0)
    assert json.loads(json.dumps(found)) == match_one_to_one(posters, plots, ids, ids, scale=10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_ids": [1, 2, 2]}, "not one to one: 2 posters have the id 2"),
        ({"text_ids": [3, 3, 3]}, "not one to one: 3 plots have the id 3"),
        ({"text_ids": [1, 2, 4]}, "not one to one: 3 is the id of a poster or a plot alone"),
        ({"text_embeds": np.eye(2, 3), "text_ids": [1, 2]}, "not one to one: 3 posters and 2 plots"),
        ({"text_embeds": 2 * np.eye(3)}, "not L2-normalised"),
        ({"scale": 0.0}, "scale must be above 0, got 0.0"),
        ({"scale": np.nan}, "scale must be above 0, got nan"),
    ],
)
def test_bad_input(change, message):
    good = {"image_embeds": np.eye(3), "text_embeds": np.eye(3), "image_ids": [1, 2, 3], "text_ids": [1, 2, 3]}
    with pytest.raises(ValueError, match=message):
        match_one_to_one(**{**good, "scale": 10.0, **change})


def test_a_pool_whose_matrix_would_not_fit_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(one_to_one, "LARGEST", 2)
    with pytest.raises(ValueError, match="3 movies are too many to match as a whole, the limit is 2"):
        match_one_to_one(np.eye(3), np.eye(3), [1, 2, 3], [1, 2, 3], scale=10.0)
