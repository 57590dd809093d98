import itertools
import json

import numpy as np
import pytest
from scipy.stats import hypergeom

from processing.evaluation.estimates import bootstrap_intervals, paired_differences, pool_size_metrics
from processing.evaluation.retrieval import PoolResult
from processing.pair_retrieval.measures import chance, retrieval_metrics
from processing.pair_retrieval.ranking import RightRanks


def pool_of(image_ranks, text_ranks, image_ids=None, text_ids=None):
    image_ids = np.arange(len(image_ranks)) if image_ids is None else image_ids
    text_ids = np.arange(len(text_ranks)) if text_ids is None else text_ids
    return PoolResult(image_ids, text_ids, np.asarray(image_ranks), np.asarray(text_ranks))


def test_both_directions_of_a_movie_are_drawn_together():
    ranks = np.arange(1, 31)
    found = bootstrap_intervals(pool_of(ranks, ranks[::-1], text_ids=np.arange(30)[::-1]))
    assert found["image_to_text"] == found["text_to_image"]


def test_plots_of_one_movie_are_drawn_together():
    once = bootstrap_intervals(pool_of(np.arange(1, 31), np.arange(1, 31)))
    twice = bootstrap_intervals(pool_of(np.arange(1, 31), np.arange(1, 31).repeat(2), text_ids=np.arange(30).repeat(2)))
    assert twice["text_to_image"]["R@10"] == pytest.approx(once["text_to_image"]["R@10"])


def test_two_models_are_compared_on_the_same_movies_in_any_order():
    before = pool_of([2, 2, 2, 9], [1, 1, 1, 1], image_ids=list("abcd"), text_ids=list("abcd"))
    after = pool_of([9, 1, 1, 1], [1, 1, 1, 1], image_ids=list("dcba"), text_ids=list("abcd"))
    found = paired_differences(before, after)
    assert json.loads(json.dumps(found)) == found == paired_differences(before, after, seed=0)
    assert found["image_to_text"]["R@1"]["difference"] == 0.75
    assert found["image_to_text"]["mean_rank"]["interval"][0] == -1.0
    assert found["text_to_image"]["MRR"] == {"difference": 0.0, "interval": [0.0, 0.0]}
    assert paired_differences(after, before)["image_to_text"]["R@1"]["difference"] == -0.75


@pytest.mark.parametrize(("ids", "message"), [([1, 2, 4], "2 differ, first: 3"), ([1, 2, 3, 3], "1 differ, first: 3")])
def test_pools_of_other_movies_are_not_compared(ids, message):
    ones, other = np.ones(3, int), np.ones(len(ids), int)
    a, b = pool_of(ones, ones, [1, 2, 3], [1, 2, 3]), pool_of(ones, other, [1, 2, 3], ids)
    with pytest.raises(ValueError, match=f"do not hold the same ids of text-to-image queries: {message}"):
        paired_differences(a, b)


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
        assert found["500"][f"R@{k}"] == pytest.approx(retrieval_metrics(RightRanks(ranks), 500)[f"R@{k}"])
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
