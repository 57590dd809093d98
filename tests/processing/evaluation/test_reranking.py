import numpy as np
import pytest

from processing.evaluation.reranking import reranked
from processing.evaluation.retrieval import evaluate_pool
from processing.pair_retrieval.ranking import DIRECTIONS, RightRanks
from tests.processing.evaluation.test_retrieval import unit


def whole(first, candidates, second):
    """Scores in which the candidates, ordered by the second score, come before all others."""
    scores = first - 10
    np.put_along_axis(scores, candidates, np.take_along_axis(second, candidates, 1) + 10, 1)
    return scores


def lists(ranks: RightRanks) -> list[list[int]]:
    found = [[best] for best in ranks.best.tolist()]
    for query, rank in zip(ranks.queries.tolist(), ranks.further.tolist(), strict=True):
        found[query].append(rank)
    return [sorted(of) for of in found]


@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize("ties", [False, True])
def test_ranks_are_those_of_the_whole_matrix_in_the_new_order(count, ties):
    """A matrix of all scores, ranked by hand; some movies have several posters."""
    rng = np.random.default_rng(count)
    posters, movies = unit(rng, 60, 6), unit(rng, 40, 6)
    ids, text_ids = np.append(np.arange(40), rng.integers(0, 40, 20)), np.arange(40)
    first = evaluate_pool(posters, movies, ids, text_ids).right_ranks()
    similarities = posters.astype(np.float64) @ movies.T.astype(np.float64)
    second = rng.integers(0, 4, (60, 40)).astype(float) if ties else rng.normal(size=(60, 40))
    for direction, turned in zip(DIRECTIONS, (False, True), strict=True):
        scores, other = (similarities.T, second.T) if turned else (similarities, second)
        own, others = (text_ids, ids) if turned else (ids, text_ids)
        candidates = np.argsort(-scores, axis=1)[:, :count]
        rows = np.repeat(np.arange(len(scores)), candidates.shape[1])
        columns = candidates.ravel()
        found = reranked(first[direction], rows, other[rows, columns], own[rows] == others[columns], count, len(others))
        expected = []
        for row, line in enumerate(whole(scores, candidates, other)):
            right = own[row] == others
            wrong = line[~right]
            best = sorted(line[right], reverse=True)
            expected.append([j + 1 + int((wrong >= score).sum()) for j, score in enumerate(best)])
        assert lists(found) == expected


def test_a_right_answer_beyond_the_candidates_never_comes_before_them():
    queries, wrong = np.zeros(3, np.intp), np.zeros(3, bool)
    assert reranked(RightRanks(np.array([2])), queries, np.zeros(3), wrong, 3, 100).best.tolist() == [4]


def test_candidates_that_another_search_gave_come_before_a_right_answer_beyond_them():
    queries, wrong = np.zeros(5, np.intp), np.zeros(5, bool)  # the best three, and two others
    assert reranked(RightRanks(np.array([70])), queries, np.zeros(5), wrong, 3, 100).best.tolist() == [72]


def test_no_rank_is_beyond_the_pool_and_right_answers_keep_ranks_of_their_own():
    first = RightRanks(np.array([98]), np.array([99, 100]), np.zeros(2, np.intp))
    found = reranked(first, np.zeros(5, np.intp), np.zeros(5), np.zeros(5, bool), 3, 100)
    assert lists(found) == [[98, 99, 100]]
