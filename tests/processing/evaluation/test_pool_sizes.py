import itertools

import numpy as np
import pytest
from scipy.stats import hypergeom

from processing.evaluation.pool_sizes import pool_size_metrics
from processing.pair_retrieval.measures import chance, retrieval_metrics
from processing.pair_retrieval.ranking import RightRanks


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
