import json
from types import SimpleNamespace

import numpy as np
import pytest

from processing.evaluation.retrieval import METRICS, evaluate_pool, legacy_protocol, top_answers, trainer_metrics
from processing.pair_retrieval.measures import chance


def unit(rng, rows, dim):
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def coarse(rng, rows):
    """Unit vectors with entries of -1/2 and 1/2: their products are exact, and ties are everywhere."""
    return rng.choice(np.array([-0.5, 0.5], np.float32), (rows, 4))


def test_a_model_that_says_the_same_to_everything_comes_last():
    same = np.repeat(unit(np.random.default_rng(2), 1, 8), 50, axis=0)
    result = evaluate_pool(same, same, np.arange(50), np.arange(50))
    assert set(result.image_to_text) == set(result.text_to_image) == {50}


def test_two_posters_of_a_movie_do_not_tie_with_each_other():
    plots = unit(np.random.default_rng(2), 50, 8)
    result = evaluate_pool(np.repeat(plots, 2, axis=0), plots, np.repeat(np.arange(50), 2), np.arange(50))
    summary = result.summary()
    assert summary["pool"] == {"image_to_text": 50, "text_to_image": 100}
    assert all(summary[way][name] == 1 for way in ("image_to_text", "text_to_image") for name in ("R@1", "MRR"))


@pytest.mark.parametrize("k", [1, 3, 40, 100])
def test_top_answers_are_a_stable_sort(k):
    rng = np.random.default_rng(3)
    queries, candidates = coarse(rng, 300), coarse(rng, 40)
    scores = queries @ candidates.T
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    indices, best = top_answers(queries, candidates, k)
    assert np.array_equal(indices, expected)
    assert np.array_equal(best, np.take_along_axis(scores, expected, axis=1))


def test_equal_answers_come_in_their_own_order():
    rng = np.random.default_rng(1)
    texts = np.repeat(unit(rng, 1, 384), 333, axis=0)
    assert top_answers(unit(rng, 17, 384), texts, 5)[0].tolist() == [[0, 1, 2, 3, 4]] * 17


def test_top_answers_refuses_no_answers():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        top_answers(np.eye(2), np.eye(2), 0)


def broken(row, value):
    vectors = np.eye(3)
    vectors[row] = value
    return vectors


def test_a_pool_with_two_plots_a_movie():
    images, texts = np.eye(4), np.repeat(np.eye(4), 2, axis=0)
    result = evaluate_pool(images, texts, list("abcd"), list("aabbccdd"))
    assert result.image_to_text.shape == (4,) and result.text_to_image.shape == (8,)
    summary = json.loads(json.dumps(result.summary()))
    assert summary["pool"] == {"image_to_text": 8, "text_to_image": 4}
    assert result.right_ranks()["image_to_text"].counts().tolist() == [2] * 4
    assert summary["image_to_text"]["R@1"] == summary["text_to_image"]["R@1"] == 1
    assert summary["image_to_text"]["recall@1"] == 0.5 and summary["image_to_text"]["nDCG@10"] == pytest.approx(1)
    assert summary["chance"]["image_to_text"] == chance(8, 2)
    assert summary["chance"]["text_to_image"] == chance(4)


def test_answers_far_down_a_pool_of_few_movies_count_as_found():
    assert evaluate_pool(-np.eye(3), np.eye(3), range(3), range(3)).summary()["text_to_image"]["R@5"] == 1


def test_seed_protocol_on_a_toy():
    # Scores, posters down and plots across; movies 0 and 1 are trained.
    #   1.0  0.0  0.6
    #   0.0  1.0  0.8
    #   0.0  1.0  0.8     the third poster is a copy of the second
    images = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    texts = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    pool = evaluate_pool(images, texts, [10, 11, 12], [10, 11, 12])
    assert legacy_protocol(pool, [10, 11]) == {
        "all": {"count": 3, "image_to_text": 2 / 3, "text_to_image": 1 / 3},
        "trained": {"count": 2, "image_to_text": 1.0, "text_to_image": 0.5},  # plot 1 ties with the copy
        "others": {"count": 1, "image_to_text": 0.0, "text_to_image": 0.0},
    }


def test_seed_protocol_leaves_out_an_empty_group():
    pool = evaluate_pool(np.eye(2), np.eye(2), [1, 2], [1, 2])
    assert list(legacy_protocol(pool, [1, 2])) == ["all", "trained"]


def test_the_trainer_is_told_each_direction_and_their_mean() -> None:
    images, texts = np.eye(3), np.eye(3)[[0, 2, 1]]
    metrics = trainer_metrics(SimpleNamespace(predictions=(images, texts), label_ids=np.arange(3)))
    assert metrics.keys() == set(METRICS)
    assert metrics["image_to_text_R@1"] == metrics["text_to_image_R@1"] == metrics["R@1"] == pytest.approx(1 / 3)
    assert metrics["MRR"] == pytest.approx((metrics["image_to_text_MRR"] + metrics["text_to_image_MRR"]) / 2)


def test_the_trainer_counts_a_plot_once_where_a_movie_has_several_posters():
    images, texts = np.eye(3)[[0, 0, 1]], np.eye(3)[[1, 1, 0]]  # each poster is nearest to the plot of the other movie
    metrics = trainer_metrics(SimpleNamespace(predictions=(images, texts), label_ids=np.array([7, 7, 9])))
    assert metrics["image_to_text_mean_rank"] == 2
