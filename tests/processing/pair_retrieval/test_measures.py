import math

import numpy as np
import pytest

from processing.pair_retrieval.measures import chance, metric_names, retrieval_metrics
from processing.pair_retrieval.ranking import right_ranks


def gain(ranks):
    return sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10)


def test_metrics_by_hand():
    ranks = [[1], [2, 3, 40], [4], [9, 7, 5, 6], [20]]
    metrics = retrieval_metrics(right_ranks(ranks), pool_size=40)
    ideal = {count: gain(range(1, count + 1)) for count in (1, 3, 4)}
    assert tuple(metrics) == metric_names()
    assert metrics == pytest.approx(
        {
            "R@1": 1 / 5,
            "R@5": 4 / 5,
            "R@10": 4 / 5,
            "recall@1": 1 / 5,
            "recall@5": (1 + 2 / 3 + 1 + 1 / 4 + 0) / 5,
            "recall@10": (1 + 2 / 3 + 1 + 1 + 0) / 5,
            "median_rank": 4,
            "mean_rank": (1 + 2 + 4 + 5 + 20) / 5,
            "MRR": (1 + 1 / 2 + 1 / 4 + 1 / 5 + 1 / 20) / 5,
            "nDCG@10": sum(gain(found) / ideal[len(found)] for found in ranks) / 5,
        }
    )


def test_with_one_right_answer_hit_rate_and_recall_are_the_same():
    metrics = retrieval_metrics(right_ranks([[1], [2], [4]]), 20, ks=(2, 3))
    assert metrics["R@2"] == metrics["recall@2"] == metrics["R@3"] == pytest.approx(2 / 3)


def test_a_dozen_right_answers_in_front_are_a_gain_of_one():
    assert retrieval_metrics(right_ranks([range(1, 13)]), 20)["nDCG@10"] == pytest.approx(1)


@pytest.mark.parametrize("wrong", [[[1], [4]], [[1, 4]]])
def test_metrics_refuse_ranks_outside_the_pool(wrong):
    with pytest.raises(ValueError, match=r"all in 1\.\.3"):
        retrieval_metrics(right_ranks(wrong), pool_size=3)


@pytest.mark.parametrize("pool_size", [1, 2, 7, 10, 1067])
def test_chance_with_one_right_answer_has_a_formula(pool_size):
    expected = {f"{name}@{k}": min(k, pool_size) / pool_size for name in ("R", "recall") for k in (1, 5, 10)}
    expected |= {"median_rank": (pool_size + 1) / 2, "mean_rank": (pool_size + 1) / 2}
    expected |= {"MRR": sum(1 / rank for rank in range(1, pool_size + 1)) / pool_size}
    expected |= {"nDCG@10": gain(range(1, pool_size + 1)) / pool_size}
    assert chance(pool_size) == pytest.approx(expected)


def test_chance_with_several_right_answers_agrees_with_random_orders():
    rng = np.random.default_rng(6)
    right_counts = [1, 1, 3, 12]
    drawn = [rng.permutation(40)[:count] + 1 for count in right_counts for _ in range(5000)]
    simulated = retrieval_metrics(right_ranks(drawn), 40)
    assert chance(40, right_counts) == pytest.approx(simulated, rel=0.05, abs=0.01)


@pytest.mark.parametrize("right_counts", [0, 6, [], [1, 0]])
def test_chance_refuses_impossible_counts(right_counts):
    with pytest.raises(ValueError, match=r"right answers must number 1\.\.5"):
        chance(5, right_counts)
