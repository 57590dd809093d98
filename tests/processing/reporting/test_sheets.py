import numpy as np

from processing.evaluation.retrieval import evaluate_pool
from processing.reporting.sheets import best_rows, shown_answers, spread_rows, worst_rows
from tests.processing.evaluation.test_retrieval import unit
from tests.processing.evaluations import movies


def test_the_worst_rows_are_those_whose_right_answer_came_last():
    ranks = np.random.default_rng(8).permutation(100) + 1
    assert ranks[worst_rows(ranks)].tolist() == list(range(100, 88, -1))


def test_spread_rows_reach_from_the_first_to_the_last():
    rows = spread_rows(100)
    assert len(rows) == 12 and rows[[0, -1]].tolist() == [0, 99] and set(np.diff(rows)) == {9}


def test_the_best_rows_lead_with_the_widest_margin_among_those_found_first():
    rng = np.random.default_rng(9)
    posters = unit(rng, 40, 8)
    plots = posters + 0.5 * rng.normal(size=posters.shape)
    plots /= np.linalg.norm(plots, axis=1, keepdims=True)
    ids = np.arange(40)
    found = evaluate_pool(posters, plots, ids, ids).image_to_text
    scores = np.sort(posters @ plots.T, axis=1)
    lead = np.where(found == 1, scores[:, -1] - scores[:, -2], -1)
    assert best_rows((posters, plots), found).tolist() == np.argsort(-lead)[:12].tolist()


def test_the_right_answer_stands_where_its_rank_says_also_among_equal_scores():
    rows = movies().select(range(6))
    posters = plots = np.eye(6)[[0, 0, 0, 3, 3, 5]]  # three plots are equal, and two
    pool = evaluate_pool(posters, plots, range(6), range(6))
    assert pool.image_to_text.tolist() == [3, 3, 3, 2, 2, 1]
    right = [
        [answer.right for answer in answers] for answers in shown_answers(rows, (posters, plots), pool, np.arange(6))
    ]
    assert [of.index(True) + 1 for of in right] == [3, 3, 3, 2, 2, 1]
    pool = evaluate_pool(posters[[0] * 6], plots[[0] * 6], range(6), range(6))
    (answers,) = shown_answers(rows, (posters[[0] * 6], plots[[0] * 6]), pool, np.array([0]))
    assert len(answers) == 3 and not any(answer.right for answer in answers)
