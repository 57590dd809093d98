import numpy as np
import pytest
from datasets import Dataset

from processing.evaluation.groups import decades, group_metrics, recall_by_group
from processing.evaluation.retrieval import evaluate_pool
from tests.processing.evaluations import evaluation


def test_a_movie_counts_once_in_each_of_its_groups():
    labels = [["War", "Drama", "War"], ["Drama"], ["War"], [], ["Drama"]]
    found = recall_by_group(np.array([1, 10, 11, 500, 12]), labels)
    counted = [(label, group["count"], round(group["R@10"] * group["count"])) for label, group in found.items()]
    assert counted == [("Drama", 3, 2), ("War", 2, 1), ("unknown", 1, 0)]


@pytest.mark.parametrize(("hits", "interval"), [(8, [0.4902, 0.9433]), (0, [0.0, 0.2775]), (10, [0.7225, 1.0])])
def test_intervals_are_wilsons(hits, interval):
    """(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), for ten movies, by hand."""
    ranks = np.array([1] * hits + [99] * (10 - hits))
    assert recall_by_group(ranks, [["War"]] * 10)["War"]["interval"] == pytest.approx(interval, abs=5e-5)


def test_decades_come_in_their_order_and_the_unknown_last():
    rows, _, _, pool, _ = evaluation()
    found = group_metrics(pool, rows)["decade"]["text_to_image"]
    assert {label: group["count"] for label, group in found.items()} == {"1980s": 10, "1990s": 9, "unknown": 1}
    assert list(found) == ["1980s", "1990s", "unknown"]


def test_a_movie_with_two_posters_counts_twice_as_poster_and_once_as_plot():
    movies = Dataset.from_dict({"id": ["a", "b", "a"], "genres": [["War"], ["Drama"], ["War"]], "year": [1980] * 3})
    pool = evaluate_pool(np.eye(3)[[0, 1, 0]], np.eye(3)[:2], ["a", "b", "a"], ["a", "b"])
    found = group_metrics(pool, movies)["genre"]
    counts = {way: {label: group["count"] for label, group in groups.items()} for way, groups in found.items()}
    assert counts == {"image_to_text": {"War": 2, "Drama": 1}, "text_to_image": {"War": 1, "Drama": 1}}


def test_early_decades_are_one_group_where_there_are_many():
    years = [*range(1801, 1950, 10), -700, None]
    labels = decades(years)
    assert labels[:4] == [["before 1830"]] * 3 + [["1830s"]]
    assert labels[-2:] == [["before 1830"], []]


def test_labels_must_be_those_of_the_ranks():
    with pytest.raises(ValueError, match="2 ranks with labels of 1 queries"):
        recall_by_group(np.array([1, 2]), [["War"]])
