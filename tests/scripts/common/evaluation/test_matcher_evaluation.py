import numpy as np
import pytest

from processing.evaluation.retrieval import evaluate_pool
from processing.matching.candidates import Movies, Posters, candidate_pairs
from processing.matching.confidence import Confidence
from processing.matching.logistic import LogisticModel
from processing.matching.pair_features import PAIR_FEATURES
from processing.matching.second_stage import SecondStage
from scripts.common.evaluation.matcher_evaluation import BothStages
from tests.processing.matching.sides import titled_pool

COUNT = 60


def second_stage(confidence: bool = True, **weights: float) -> SecondStage:
    """A second stage with given weights, whose confidence grows with the score."""
    scorer = LogisticModel({**dict.fromkeys(PAIR_FEATURES, 0.0), **weights}, 0.0)
    certain = LogisticModel({"score": 3.0, "margin": 0.0}, 0.0)
    return SecondStage(scorer, *(Confidence(certain, certain, 100) if confidence else None for _ in range(2)))


def both_stages(stage: SecondStage, posters: Posters, movies: Movies, answers: np.ndarray) -> BothStages:
    embeds = posters.embeddings, movies.embeddings
    return BothStages.of(stage, posters, movies, answers, evaluate_pool(*embeds, answers, np.arange(COUNT)))


@pytest.fixture(scope="module")
def sides() -> tuple[Posters, Movies]:
    return titled_pool(COUNT, unreadable=0.2)


@pytest.fixture(scope="module")
def both(sides) -> BothStages:
    return both_stages(second_stage(similarity=5.0, title_as_lines=5.0), *sides, np.arange(COUNT))


def test_its_ranks_are_those_of_the_whole_matrix(both, sides):
    """A matrix in which the candidates stand above all others, ranked by hand; beyond them ranks are a bound."""
    posters, movies = sides
    similarities = posters.embeddings.to_array().astype(np.float64) @ movies.embeddings.to_array().T.astype(np.float64)
    rows, columns = (grid.ravel() for grid in np.indices(similarities.shape))
    scores = both.stage.scores(posters, movies, rows, columns).reshape(similarities.shape)
    for first, second, pairs, ranks in (
        (similarities, scores, candidate_pairs(posters, movies), both.ranks.image_to_text),
        (similarities.T, scores.T, candidate_pairs(movies, posters), both.ranks.text_to_image),
    ):
        order = first - 1000
        order[pairs] = second[pairs]
        expected = (order >= order.diagonal()[:, None]).sum(1)
        found = order.diagonal() > -900
        assert found.sum() > COUNT / 2
        assert ranks[found].tolist() == expected[found].tolist() and (ranks[~found] >= expected[~found]).all()


def test_the_best_movies_come_first(both):
    movies, scores = both.top_answers(4)
    assert movies.shape == scores.shape == (COUNT, 4) and (np.diff(scores, axis=1) <= 0).all()
    found = np.flatnonzero(both.ranks.image_to_text == 1)
    assert len(found) > COUNT / 2 and movies[found, 0].tolist() == found.tolist()


def test_its_metrics_say_how_many_are_accepted_and_how_many_of_these_are_right(both):
    metrics = both.metrics()
    right = both.ranks.image_to_text == 1
    assert metrics["right_among_candidates"]["count"] == COUNT
    complete = metrics["complete_table"]
    assert complete["curve"][-1] == {"coverage": 1.0, "precision": pytest.approx(right.mean())}
    for asked, accepted in complete["accepted"].items():
        assert accepted["precision"]["count"] == round(accepted["posters"]["share"] * COUNT), asked
        assert accepted["absent_accepted"]["count"] == 0
    halved = metrics["half_of_the_table"]["accepted"]["0.95"]["absent_accepted"]["count"]
    assert COUNT / 4 < halved < COUNT * 3 / 4
    assert metrics["one_to_one"]["right_pairs"]["share"] >= right.mean()
    assert both.metrics() == metrics and both.metrics(seed=1) != metrics


def test_without_a_confidence_the_found_are_counted_alone(sides):
    metrics = both_stages(second_stage(confidence=False), *sides, np.arange(COUNT)).metrics()
    assert metrics.keys() == {"right_among_candidates", "one_to_one"}
    assert metrics["one_to_one"].keys() == {"right_pairs"}


def test_where_a_movie_has_several_posters_they_are_not_matched_one_to_one(sides):
    posters, movies = sides
    rows = np.append(np.arange(COUNT), [7, 7])
    both = both_stages(second_stage(similarity=5.0), posters.select(rows), movies, rows)
    assert len(both.ranks.image_to_text) == COUNT + 2 and len(both.ranks.text_to_image) == COUNT
    assert len(both.ranks.right_ranks()["text_to_image"].further) == 2
    assert "one_to_one" not in both.metrics()
