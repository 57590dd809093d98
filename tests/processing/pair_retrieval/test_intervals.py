import json
import tracemalloc

import numpy as np
import pytest
from scipy.stats import binomtest

from processing.pair_retrieval import intervals as module
from processing.pair_retrieval.intervals import QueryRanks, differences, intervals
from processing.pair_retrieval.measures import RECALL_AT, metric_names, retrieval_metrics
from processing.pair_retrieval.ranking import RightRanks, right_ranks


def judged(**directions):
    """One right answer a query, and as many movies as queries."""
    return {name: QueryRanks(RightRanks(np.asarray(best)), np.arange(len(best))) for name, best in directions.items()}


def some_lists(rng, queries):
    """Ranks of one to three right answers each."""
    return [rng.choice(np.arange(1, 41), size, replace=False).tolist() for size in rng.integers(1, 4, queries)]


def test_a_draw_gives_the_metrics_of_the_queries_that_it_holds():
    rng = np.random.default_rng(0)
    lists, movies = some_lists(rng, 40), rng.integers(0, 30, 40)
    for draws in (rng.integers(30, size=29), rng.integers(30, size=30)):
        weights = np.bincount(draws, minlength=30)[None]
        held = [lists[query] for movie in draws for query in np.flatnonzero(movies == movie)]
        found = module._weighted_metrics(right_ranks(lists), movies, weights, RECALL_AT)[0]
        assert dict(zip(metric_names(), found, strict=True)) == pytest.approx(retrieval_metrics(right_ranks(held), 40))


@pytest.mark.slow
def test_intervals_are_those_of_a_plain_bootstrap_and_of_the_seed():
    rng = np.random.default_rng(1)
    lists = some_lists(rng, 200)
    given = {"one": QueryRanks(right_ranks(lists), np.arange(200))}
    found = intervals(given)
    plain = [
        retrieval_metrics(right_ranks([lists[row] for row in rng.integers(200, size=200)]), 40) for _ in range(1500)
    ]
    for name, interval in found["one"].items():
        wanted = np.quantile([metrics[name] for metrics in plain], [0.025, 0.975])
        assert interval == pytest.approx(wanted, abs=0.2 * (wanted[1] - wanted[0]) + 1e-9), name
    assert json.loads(json.dumps(found)) == intervals(given) != intervals(given, seed=1)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        low, high = intervals(judged(one=1 + (rng.random(100) > 0.3)), ks=(1,))["one"]["R@1"]
        covered += low <= 0.3 <= high
    assert 180 <= covered <= 199


@pytest.mark.parametrize(("rank", "interval"), [(2, (0, 0.0370)), (1, (0.9630, 1))])
def test_a_share_of_none_or_all_has_wilsons_interval(rank, interval):
    found = intervals(judged(one=np.full(100, rank)), ks=(1,))["one"]
    assert found["R@1"] == found["recall@1"] == pytest.approx(interval, abs=1e-4)
    assert binomtest(int(rank == 1) * 100, 100).proportion_ci(method="wilson") == pytest.approx(interval, abs=1e-4)


def test_blocks_do_not_change_the_intervals(monkeypatch):
    given = judged(one=np.arange(1, 31))
    whole = intervals(given)["one"]
    monkeypatch.setattr(module, "BLOCK", 100)
    for name, interval in intervals(given)["one"].items():
        assert interval == pytest.approx(whole[name], rel=1e-12), name


@pytest.mark.slow
def test_a_large_pool_takes_bounded_memory():
    ranks = np.random.default_rng(3).integers(1, 50_001, 50_000)
    tracemalloc.start()
    intervals(judged(one=ranks, other=ranks))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # all draws at once would take 400e6 for the indices alone


def test_a_difference_is_that_of_the_metrics_and_its_interval_that_of_joint_draws():
    rng = np.random.default_rng(4)
    lists = [some_lists(rng, 60) for _ in range(2)]
    metrics = [retrieval_metrics(right_ranks(of), 40) for of in lists]
    found = differences(*({"one": QueryRanks(right_ranks(of), np.arange(60))} for of in lists))["one"]
    for name, of in found.items():
        assert of["difference"] == pytest.approx(metrics[1][name] - metrics[0][name])
    values = [np.array([min(ranks) for ranks in of]) for of in lists]
    rows = rng.integers(60, size=(4000, 60))
    wanted = np.quantile((values[1] - values[0])[rows].mean(axis=1), [0.025, 0.975])
    assert found["mean_rank"]["interval"] == pytest.approx(wanted, abs=0.15 * (wanted[1] - wanted[0]))


def test_a_model_that_is_better_by_the_same_everywhere_is_so_in_every_draw():
    # Their own intervals overlap: paired draws see what separate ones cannot.
    before, after = judged(one=np.arange(11, 61)), judged(one=np.arange(10, 60))
    assert differences(before, after)["one"]["mean_rank"]["interval"] == pytest.approx([-1.0, -1.0])
    assert intervals(before)["one"]["mean_rank"][0] < intervals(after)["one"]["mean_rank"][1]
