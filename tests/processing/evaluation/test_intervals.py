import json

import numpy as np
import pytest

from processing.evaluation.intervals import bootstrap_intervals, paired_differences
from processing.evaluation.retrieval import PoolResult


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
