import json

import numpy as np
import pytest

from processing.matching.candidates import candidate_pairs
from processing.matching.second_stage import LabelledPool, SecondStage
from tests.processing.matching.sides import titled_pool

pytestmark = pytest.mark.slow


def labelled(count: int, unreadable: float = 0.2, seed: int = 0) -> LabelledPool:
    return LabelledPool.of(*titled_pool(count, unreadable, seed), np.arange(count))


@pytest.fixture(scope="module")
def stage() -> SecondStage:
    return SecondStage.fit([labelled(150, seed=0)], [labelled(150, seed=1)])


def test_it_finds_the_titles_that_embeddings_do_not(stage):
    posters, movies = titled_pool(80, unreadable=0, seed=2)
    rows, columns = candidate_pairs(posters, movies)
    scores = stage.scores(posters, movies, rows, columns)
    in_pool = {row for row, column in zip(rows, columns, strict=True) if row == column}
    best = [columns[rows == row][scores[rows == row].argmax()] for row in in_pool]
    assert len(in_pool) == 80
    assert best == list(in_pool)


def test_a_poster_that_cannot_be_read_is_less_certain(stage):
    pool = labelled(80, unreadable=0.5, seed=3)
    answers = pool.best_two(stage.scorer.log_odds(pool.features))
    found = stage.confidence.probabilities(answers.first, answers.second).right
    assert found[answers.right].mean() > found[~answers.right].mean() + 0.3


def test_the_same_pools_and_seed_give_the_same(stage):
    assert SecondStage.fit([labelled(150, seed=0)], [labelled(150, seed=1)]) == stage


def test_too_few_posters_give_a_scorer_without_confidence():
    assert SecondStage.fit([labelled(150)], [labelled(20)]).confidence is None


def test_it_survives_json(stage):
    assert SecondStage.from_dict(json.loads(json.dumps(stage.to_dict()))) == stage


def test_other_features_than_those_of_this_version_are_refused(stage):
    saved = stage.to_dict()
    saved["scorer"]["weights"].pop("similarity")
    with pytest.raises(ValueError, match="train the model again"):
        SecondStage.from_dict(saved)


def test_of_equal_scores_the_wrong_answer_comes_first():
    pool = LabelledPool(np.array([0, 0]), np.array([0, 1]), np.zeros((2, 0)), np.array([0]), 2)
    assert not pool.best_two(np.array([1.0, 1.0])).right[0]


def test_a_movie_that_is_not_in_the_table_is_no_candidate():
    pool = LabelledPool(np.array([0, 0, 1]), np.array([0, 1, 0]), np.zeros((3, 0)), np.array([0, 0]), 2)
    answers = pool.best_two(np.array([3.0, 1.0, 2.0]), np.array([False, True]))
    assert (answers.first[0], answers.right[0], answers.in_table[0]) == (1.0, False, False)
    assert answers.first[1] == answers.second[1]  # no candidate is left


def test_a_poster_that_lost_its_movie_to_another_answers_with_what_is_left():
    pool = LabelledPool(np.array([0, 0, 1]), np.array([0, 1, 0]), np.zeros((3, 0)), np.array([1, 0]), 2)
    scores = np.array([2.0, 1.0, 4.0])
    assert pool.best_two(scores).right.tolist() == [False, True]
    assert pool.best_two(scores, exclusive=True).right.tolist() == [True, True]


def test_a_tie_counts_against_the_model_also_where_a_movie_has_one_poster_at_most():
    rows, columns = np.repeat([0, 1, 2], 3), np.tile([0, 1, 2], 3)
    pool = LabelledPool(rows, columns, np.zeros((9, 0)), np.array([0, 1, 2]), 3)
    assert not pool.best_two(np.ones(9), exclusive=True).right.any()


def test_only_the_posters_that_are_asked_compete():
    pool = LabelledPool(np.array([0, 1]), np.array([0, 0]), np.zeros((2, 0)), np.array([0, 0]), 1)
    answers = pool.best_two(np.array([2.0, 4.0]), asked=np.array([True, False]), exclusive=True)
    assert answers.first.tolist() == [2.0]
