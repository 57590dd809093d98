import itertools
import json
import tracemalloc

import numpy as np
import pytest
from scipy.stats import hypergeom

from processing import estimates
from processing.estimates import bootstrap_intervals, pool_size_metrics
from processing.retrieval import NAMES, PoolResult, chance, retrieval_metrics


def pool_of(image_ranks, text_ranks, image_ids=None, text_ids=None):
    image_ids = np.arange(len(image_ranks)) if image_ids is None else image_ids
    text_ids = np.arange(len(text_ranks)) if text_ids is None else text_ids
    return PoolResult(image_ids, text_ids, np.asarray(image_ranks), np.asarray(text_ranks))


def test_a_draw_gives_the_metrics_of_the_queries_that_it_holds():
    rng = np.random.default_rng(0)
    ranks, movies = rng.integers(1, 41, 40), rng.integers(0, 30, 40)
    for draws in (rng.integers(30, size=29), rng.integers(30, size=30)):
        weights = np.bincount(draws, minlength=30)
        held = np.concatenate([ranks[movies == movie] for movie in draws])
        found = dict(zip(NAMES, estimates._weighted_metrics(ranks, movies, weights[None])[0], strict=True))
        assert found == pytest.approx(retrieval_metrics(held, 40))


def test_intervals_are_those_of_a_plain_bootstrap_and_of_the_seed():
    rng = np.random.default_rng(1)
    pool = pool_of(rng.integers(1, 201, 200), rng.integers(1, 21, 200))
    found = bootstrap_intervals(pool)
    plain = [retrieval_metrics(rng.choice(pool.image_to_text, 200), 200) for _ in range(4000)]
    for name, interval in found["image_to_text"].items():
        wanted = np.quantile([metrics[name] for metrics in plain], [0.025, 0.975])
        assert interval == pytest.approx(wanted, abs=0.15 * (wanted[1] - wanted[0]) + 1e-9), name
    assert json.loads(json.dumps(found)) == bootstrap_intervals(pool) != bootstrap_intervals(pool, seed=1)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_intervals(pool_of(*(1 + (rng.random((2, 100)) > 0.3))))["image_to_text"]["R@1"]
        covered += low <= 0.3 <= high
    assert 180 <= covered <= 199


def test_both_directions_of_a_movie_are_drawn_together():
    ranks = np.arange(1, 31)
    found = bootstrap_intervals(pool_of(ranks, ranks[::-1], text_ids=np.arange(30)[::-1]))
    assert found["image_to_text"] == found["text_to_image"]


def test_plots_of_one_movie_are_drawn_together():
    once = bootstrap_intervals(pool_of(np.arange(1, 31), np.arange(1, 31)))
    twice = bootstrap_intervals(pool_of(np.arange(1, 31), np.arange(1, 31).repeat(2), text_ids=np.arange(30).repeat(2)))
    assert twice["text_to_image"]["R@10"] == pytest.approx(once["text_to_image"]["R@10"])


def test_blocks_do_not_change_the_intervals(monkeypatch):
    pool = pool_of(np.arange(1, 31), np.arange(1, 31))
    whole = bootstrap_intervals(pool)
    monkeypatch.setattr(estimates, "BLOCK", 100)
    for direction, intervals in bootstrap_intervals(pool).items():
        for name, interval in intervals.items():
            assert interval == pytest.approx(whole[direction][name], rel=1e-12), name


@pytest.mark.slow
def test_a_large_pool_takes_bounded_memory():
    ranks = np.random.default_rng(3).integers(1, 50_001, 50_000)
    tracemalloc.start()
    bootstrap_intervals(pool_of(ranks, ranks))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # all draws at once would take 400e6 for the indices alone


def test_expected_recalls_are_the_mean_over_all_smaller_pools():
    better = [0, 3, 5, 11]  # of 12 candidates
    found = pool_size_metrics(np.array(better) + 1, 12, [1, 6, 8])
    assert list(found) == ["1", "6", "8", "12"]
    for size, metrics in found.items():
        pools = list(itertools.combinations(range(11), int(size) - 1))  # the other candidates, best first
        for k in (1, 5, 10):
            hits = [sum(other < count for other in pool) < k for count in better for pool in pools]
            assert metrics[f"R@{k}"] == pytest.approx(np.mean(hits)), (size, k)


def test_the_whole_pool_comes_last_with_its_own_recalls_and_chance():
    ranks = np.random.default_rng(4).integers(1, 501, 500)
    found = pool_size_metrics(ranks, 500, [300, 100])
    assert list(found) == ["100", "300", "500"]
    for k in (1, 5, 10):
        assert found["500"][f"R@{k}"] == pytest.approx(retrieval_metrics(ranks, 500)[f"R@{k}"])
        assert found["100"]["chance"][f"R@{k}"] == pytest.approx(k / 100)
    assert pool_size_metrics(np.arange(1, 501), 500, [100])["100"]["R@5"] == pytest.approx(chance(100)["R@5"])


def test_expected_recalls_of_a_large_pool_are_scipys():
    ranks = np.array([1, 7, 300, 20_000, 50_000])
    found = pool_size_metrics(ranks, 50_000, [1000])["1000"]
    for k in (1, 5, 10):
        assert found[f"R@{k}"] == pytest.approx(np.mean(hypergeom.cdf(k - 1, 49_999, ranks - 1, 999)), rel=1e-9)


@pytest.mark.parametrize(
    ("ranks", "sizes", "message"),
    [
        ([1], [4], r"pool_sizes must lie in 1\.\.3 \(the pool\), got 4"),
        ([1], [2, 0], "got 0"),
        ([4], [2], r"all in 1\.\.3"),
        ([], [2], "at least one rank"),
    ],
)
def test_impossible_sizes_and_ranks_are_refused(ranks, sizes, message):
    with pytest.raises(ValueError, match=message):
        pool_size_metrics(np.array(ranks, dtype=int), 3, sizes)
