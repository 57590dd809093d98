import json
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from processing.retrieval import (
    METRICS,
    chance,
    evaluate_pool,
    ranks,
    retrieval_metrics,
    seed_protocol,
    top_answers,
    trainer_metrics,
)


def unit(rng, rows, dim):
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def coarse(rng, rows):
    """Unit vectors with entries of -1/2 and 1/2: their products are exact, and ties are everywhere."""
    return rng.choice(np.array([-0.5, 0.5], np.float32), (rows, 4))


def ranks_by_hand(queries, candidates, query_ids, candidate_ids):
    result = []
    for query, query_id in zip(queries, query_ids, strict=True):
        scores = [sum(float(a) * float(b) for a, b in zip(query, row, strict=True)) for row in candidates]
        right = [name == query_id for name in candidate_ids]
        best = max(score for score, is_right in zip(scores, right, strict=True) if is_right)
        rivals = zip(scores, right, strict=True)
        result.append(1 + sum(score >= best and not is_right for score, is_right in rivals))
    return result


def many_to_many(rng, queries, candidates, movies):
    """Ids with repeats on both sides; every query's movie is among the candidates."""
    candidate_ids = np.concatenate([np.arange(movies), rng.integers(0, movies, candidates - movies)])
    return rng.integers(0, movies, queries), rng.permutation(candidate_ids)


@pytest.mark.parametrize("block_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("kind", ["random", "ties"])
def test_ranks_are_those_of_a_loop(kind, block_size):
    rng = np.random.default_rng(0)
    make = coarse if kind == "ties" else lambda rng, rows: unit(rng, rows, 16)
    queries, candidates = make(rng, 65), make(rng, 90)
    query_ids, candidate_ids = many_to_many(rng, 65, 90, movies=30)
    expected = ranks_by_hand(queries, candidates, query_ids, candidate_ids)
    result = ranks(queries, candidates, query_ids, candidate_ids, block_size=block_size)
    assert result.dtype == np.int64
    assert result.tolist() == expected
    names = [f"tt{number}" for number in query_ids], [f"tt{number}" for number in candidate_ids]
    assert ranks(queries, candidates, *names, block_size=block_size).tolist() == expected


@pytest.mark.parametrize("n_queries", [1, 17, 64])
@pytest.mark.parametrize("dim", [7, 64, 384])
def test_equal_candidates_tie_wherever_they_stand(n_queries, dim):
    # In float32, BLAS scores equal rows up to 1e-7 apart, by their place in the matrix.
    rng = np.random.default_rng(1)
    queries = unit(rng, n_queries, dim)
    candidates = np.repeat(unit(rng, 1, dim), 333, axis=0)
    ids = np.arange(333)
    assert ranks(queries, candidates, ids[:n_queries], ids).tolist() == [333] * n_queries
    assert top_answers(queries, candidates, 5)[0].tolist() == [[0, 1, 2, 3, 4]] * n_queries


def test_a_model_that_says_the_same_to_everything_comes_last():
    same = np.repeat(unit(np.random.default_rng(2), 1, 8), 50, axis=0)
    result = evaluate_pool(same, same, np.arange(50), np.arange(50))
    assert set(result.image_to_text) == set(result.text_to_image) == {50}


def test_candidates_of_the_right_movie_are_no_rivals():
    candidates = np.eye(3)[[0, 0, 0, 1]]
    assert ranks(np.eye(3)[:1], candidates, [5], [5, 5, 6, 7]).tolist() == [2]


@pytest.mark.parametrize("k", [1, 3, 40, 100])
def test_top_answers_are_a_stable_sort(k):
    rng = np.random.default_rng(3)
    queries, candidates = coarse(rng, 300), coarse(rng, 40)
    scores = queries @ candidates.T
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    indices, best = top_answers(queries, candidates, k)
    assert np.array_equal(indices, expected)
    assert np.array_equal(best, np.take_along_axis(scores, expected, axis=1))


def test_top_answers_refuses_no_answers():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        top_answers(np.eye(2), np.eye(2), 0)


def broken(row, value):
    vectors = np.eye(3)
    vectors[row] = value
    return vectors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": broken(1, np.nan)}, "1 of 3 queries are not L2-normalised; first: row 1, norm nan"),
        ({"candidates": broken(2, np.inf)}, "1 of 3 candidates .* row 2, norm inf"),
        ({"candidates": broken(0, 0.0)}, "1 of 3 candidates .* row 0, norm 0"),
        ({"queries": 3 * np.eye(3)}, "3 of 3 queries .* row 0, norm 3"),
        ({"candidates": np.eye(4)[:3]}, "queries have 3 dimensions, candidates 4"),
        ({"queries": np.ones(3)}, r"queries must be \(rows, dimensions\).* got shape \(3,\)"),
        ({"queries": np.empty((0, 3)), "query_ids": []}, "0 queries with 0 ids"),
        ({"candidates": np.empty((0, 3)), "candidate_ids": []}, "0 candidates with 0 ids"),
        ({"query_ids": [1, 2]}, "3 queries with 2 ids"),
        ({"query_ids": [1, 8, 9]}, "2 of 3 queries have no right candidate; first: row 1, id 8"),
        ({"query_ids": ["1", "2", "3"]}, "two lists of integers or two lists of strings"),
        ({"query_ids": [1.0, 2.0, 3.0]}, "two lists of integers .* float64"),
        ({"query_ids": [[1], [2], [3]]}, r"got int64 of shape \(3, 1\)"),
        ({"block_size": 0}, "block_size must be at least 1, got 0"),
    ],
)
def test_bad_input(change, message):
    good = {"queries": np.eye(3), "candidates": np.eye(3), "query_ids": [1, 2, 3], "candidate_ids": [1, 2, 3]}
    with pytest.raises(ValueError, match=message):
        ranks(**{**good, **change})


def test_embeddings_in_half_precision_are_near_enough_to_unit_norm():
    vectors = unit(np.random.default_rng(4), 20, 128).astype(np.float16)
    assert set(ranks(vectors, vectors, range(20), range(20))) == {1}


@pytest.mark.slow
def test_memory_grows_with_n_not_with_its_square():
    rng = np.random.default_rng(5)
    queries, candidates, ids = unit(rng, 20_000, 64), unit(rng, 20_000, 64), np.arange(20_000)
    tracemalloc.start()
    ranks(queries, candidates, ids, ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # the whole matrix of scores would take 3200e6


def test_metrics_by_hand():
    metrics = retrieval_metrics(np.array([1, 2, 4, 8, 20]), pool_size=20)
    assert metrics == {
        "R@1": 0.2,
        "R@5": 0.6,
        "R@10": 0.8,
        "median_rank": 4.0,
        "mean_rank": 7.0,
        "MRR": pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 8 + 1 / 20) / 5),
    }


@pytest.mark.parametrize("wrong", [[], [0, 1], [1, 4]])
def test_metrics_refuse_ranks_outside_the_pool(wrong):
    with pytest.raises(ValueError, match=r"all in 1\.\.3"):
        retrieval_metrics(np.array(wrong, dtype=np.int64), pool_size=3)


@pytest.mark.parametrize("pool_size", [1, 2, 7, 10, 1067])
def test_chance_with_one_right_answer_has_a_formula(pool_size):
    expected = {f"R@{k}": min(k, pool_size) / pool_size for k in (1, 5, 10)}
    expected |= {"median_rank": (pool_size + 1) / 2, "mean_rank": (pool_size + 1) / 2}
    expected |= {"MRR": sum(1 / rank for rank in range(1, pool_size + 1)) / pool_size}
    assert chance(pool_size) == pytest.approx(expected)


def test_chance_with_several_right_answers_agrees_with_random_orders():
    rng = np.random.default_rng(6)
    right_counts = [1, 1, 3, 6]
    first = [min(rng.permutation(40)[:count]) + 1 for count in right_counts for _ in range(5000)]
    simulated = retrieval_metrics(np.array(first), 40)
    assert chance(40, right_counts) == pytest.approx(simulated, rel=0.05, abs=0.01)


@pytest.mark.parametrize("right_counts", [0, 6, [], [1, 0]])
def test_chance_refuses_impossible_counts(right_counts):
    with pytest.raises(ValueError, match=r"right answers must number 1\.\.5"):
        chance(5, right_counts)


def test_a_pool_with_two_plots_a_movie():
    images, texts = np.eye(4), np.repeat(np.eye(4), 2, axis=0)
    result = evaluate_pool(images, texts, list("abcd"), list("aabbccdd"))
    assert result.image_to_text.shape == (4,) and result.text_to_image.shape == (8,)
    summary = json.loads(json.dumps(result.summary()))
    assert summary["pool"] == {"image_to_text": 8, "text_to_image": 4}
    assert summary["image_to_text"] == summary["text_to_image"] == retrieval_metrics(np.ones(4, int), 4)
    assert summary["chance"]["image_to_text"]["R@1"] == pytest.approx(1 / 4)
    assert summary["chance"]["text_to_image"] == pytest.approx(chance(4))


def test_seed_protocol_on_a_toy():
    # Scores, posters down and plots across; movies 0 and 1 are trained.
    #   1.0  0.0  0.6
    #   0.0  1.0  0.8
    #   0.0  1.0  0.8     the third poster is a copy of the second
    images = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    texts = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert seed_protocol(images, texts, [10, 11, 12], np.array([True, True, False])) == {
        "all": {"count": 3, "image_to_text": 2 / 3, "text_to_image": 1 / 3},
        "trained": {"count": 2, "image_to_text": 1.0, "text_to_image": 0.5},  # plot 1 ties with the copy
        "others": {"count": 1, "image_to_text": 0.0, "text_to_image": 0.0},
    }


def test_seed_protocol_leaves_out_an_empty_group():
    assert list(seed_protocol(np.eye(2), np.eye(2), [1, 2], np.array([True, True]))) == ["all", "trained"]


@pytest.mark.parametrize("trained", [np.array([1, 0]), np.array([True])])
def test_seed_protocol_wants_one_bool_a_movie(trained):
    with pytest.raises(ValueError, match="trained must be 2 bools"):
        seed_protocol(np.eye(2), np.eye(2), [1, 2], trained)


def test_the_trainer_is_told_each_direction_and_their_mean() -> None:
    images, texts = np.eye(3), np.eye(3)[[0, 2, 1]]
    metrics = trainer_metrics(SimpleNamespace(predictions=(images, texts), label_ids=np.arange(3)))
    assert metrics.keys() == set(METRICS)
    assert metrics["image_to_text_R@1"] == metrics["text_to_image_R@1"] == metrics["R@1"] == pytest.approx(1 / 3)
    assert metrics["MRR"] == pytest.approx((metrics["image_to_text_MRR"] + metrics["text_to_image_MRR"]) / 2)
