import tracemalloc

import numpy as np
import pytest

from processing.pair_retrieval import ranking
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.pair_retrieval.ranking import pair_ranks, right_ranks
from tests.processing.evaluation.test_retrieval import broken, coarse, unit


def ranks_by_hand(queries, candidates, query_ids, candidate_ids):
    """Of each query all right ranks: the j-th right score has rank j + the wrong ones at least as high."""
    result = []
    for query, query_id in zip(queries, query_ids, strict=True):
        scores = [sum(float(a) * float(b) for a, b in zip(query, row, strict=True)) for row in candidates]
        right = [name == query_id for name in candidate_ids]
        found = sorted((score for score, is_right in zip(scores, right, strict=True) if is_right), reverse=True)
        wrong = [score for score, is_right in zip(scores, right, strict=True) if not is_right]
        result.append([place + sum(score >= own for score in wrong) for place, own in enumerate(found, start=1)])
    return result


def sparse_unit(rng, rows):
    """Unit vectors of 8 numbers and 64 that are mostly zeros; some have no others."""
    vectors = unit(rng, rows, 72)
    vectors[:, 8:] *= rng.random((rows, 64)) < 0.1
    vectors[::7, 8:] = 0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def lists(ranks):
    """What `right_ranks` was made of."""
    return [[best, *ranks.further[ranks.queries == row]] for row, best in enumerate(ranks.best)]


def many_to_many(rng, rows, movies):
    """Ids with repeats; every movie is there."""
    return rng.permutation(np.concatenate([np.arange(movies), rng.integers(0, movies, rows - movies)]))


@pytest.mark.parametrize("height", [1, 7, 1000])
@pytest.mark.parametrize("kind", ["random", "ties"])
def test_all_right_ranks_are_those_of_a_loop_both_ways(kind, height, monkeypatch):
    monkeypatch.setattr(ranking, "ROWS", (height, height))
    rng = np.random.default_rng(0)
    make = coarse if kind == "ties" else lambda rng, rows: unit(rng, rows, 16)
    images, texts = make(rng, 65), make(rng, 90)
    image_ids, text_ids = many_to_many(rng, 65, 30), many_to_many(rng, 90, 30)
    text_ids[text_ids == 3] = 4  # one movie with one plot only, another with many
    text_ids[np.flatnonzero(text_ids == 4)[0]] = 3
    found = pair_ranks(images, texts, image_ids, text_ids)
    assert lists(found["image_to_text"]) == ranks_by_hand(images, texts, image_ids, text_ids)
    assert lists(found["text_to_image"]) == ranks_by_hand(texts, images, text_ids, image_ids)
    assert all(part.dtype == np.int64 for ranks in found.values() for part in ranks)
    named = pair_ranks(images, texts, *([f"tt{number}" for number in ids] for ids in (image_ids, text_ids)))
    assert all(lists(named[name]) == lists(ranks) for name, ranks in found.items())


@pytest.mark.parametrize("n_images", [1, 17, 64])
@pytest.mark.parametrize("dim", [7, 64, 4480])
def test_equal_texts_tie_wherever_they_stand(n_images, dim):
    # In float32, BLAS scores equal rows up to 1e-7 apart, by their place in the matrix.
    rng = np.random.default_rng(1)
    images, ids = unit(rng, n_images, dim), np.arange(333) % n_images
    texts = np.repeat(unit(rng, 1, dim), 333, axis=0)
    found = pair_ranks(images, texts, np.arange(n_images), ids)["image_to_text"]
    assert np.array_equal(found.best, 334 - np.bincount(ids))


@pytest.mark.parametrize("twins", [False, True])
def test_vectors_in_two_parts_have_the_ranks_of_the_whole_ones_ties_included(twins):
    rng = np.random.default_rng(6)
    images, texts = (sparse_unit(rng, rows) for rows in (40, 60))
    if twins:
        texts[30:] = texts[:30]
    image_ids, text_ids = many_to_many(rng, 40, 30), many_to_many(rng, 60, 30)
    parts = (HybridVectors.from_array(side, dense_dim=8) for side in (images, texts))
    found, expected = (pair_ranks(*sides, image_ids, text_ids) for sides in (parts, (images, texts)))
    assert {name: lists(ranks) for name, ranks in found.items()} == {name: lists(of) for name, of in expected.items()}


def test_equal_vectors_in_two_parts_tie_wherever_they_stand():
    rng = np.random.default_rng(7)
    text = HybridVectors.from_array(np.repeat(sparse_unit(rng, 1), 333, axis=0), dense_dim=8)
    images = HybridVectors.from_array(sparse_unit(rng, 17), dense_dim=8)
    found = pair_ranks(images, text, np.arange(17), np.arange(333) % 17)["image_to_text"]
    assert np.array_equal(found.best, 334 - np.bincount(np.arange(333) % 17))


def test_right_answers_are_no_rivals():
    found = pair_ranks(np.eye(3)[[0, 2]], np.eye(3)[[0, 0, 1, 0]], [5, 6], [5, 5, 5, 6])
    assert lists(found["image_to_text"]) == [[2, 3, 4], [4]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_embeds": broken(1, np.nan)}, "1 of 3 image_embeds are not L2-normalised; first: row 1, norm nan"),
        ({"text_embeds": broken(2, np.inf)}, "1 of 3 text_embeds .* row 2, norm inf"),
        ({"text_embeds": broken(0, 0.0)}, "1 of 3 text_embeds .* row 0, norm 0"),
        ({"image_embeds": 3 * np.eye(3)}, "3 of 3 image_embeds .* row 0, norm 3"),
        ({"text_embeds": np.eye(4)[:3]}, "image_embeds have 3 dimensions, text_embeds 4"),
        (
            {"text_embeds": HybridVectors.from_array(np.eye(3), 2)},
            r"image_embeds have 3 dimensions, text_embeds 2 \+ 1",
        ),
        ({"text_embeds": HybridVectors.from_array(broken(2, np.nan), 2)}, "1 of 3 text_embeds .* row 2, norm nan"),
        ({"image_embeds": np.ones(3)}, r"image_embeds must be \(rows, dimensions\).* got shape \(3,\)"),
        ({"image_embeds": np.empty((0, 3)), "image_ids": []}, "0 image_embeds with 0 image_ids"),
        ({"text_embeds": np.empty((0, 3)), "text_ids": []}, "0 text_embeds with 0 text_ids"),
        ({"image_ids": [1, 2]}, "3 image_embeds with 2 image_ids"),
        ({"image_ids": [1, 8, 9]}, "2 of 3 image_ids have no text of that id; first: row 1, id 8"),
        ({"text_ids": [1, 2, 3, 7], "text_embeds": np.eye(3)[[0, 1, 2, 2]]}, "1 of 4 text_ids .* no image .* id 7"),
        ({"image_ids": ["1", "2", "3"]}, "two lists of integers or two lists of strings"),
        ({"image_ids": [1.0, 2.0, 3.0]}, "two lists of integers .* float64"),
        ({"image_ids": [[1], [2], [3]]}, r"got int64 of shape \(3, 1\)"),
    ],
)
def test_bad_input(change, message):
    good = {"image_embeds": np.eye(3), "text_embeds": np.eye(3), "image_ids": [1, 2, 3], "text_ids": [1, 2, 3]}
    with pytest.raises(ValueError, match=message):
        pair_ranks(**{**good, **change})


def test_embeddings_in_half_precision_are_near_enough_to_unit_norm():
    vectors = unit(np.random.default_rng(4), 20, 128).astype(np.float16)
    assert set(pair_ranks(vectors, vectors, range(20), range(20))["image_to_text"].best) == {1}


@pytest.mark.slow
def test_memory_grows_with_n_not_with_its_square():
    rng = np.random.default_rng(5)
    images, texts, ids = unit(rng, 10_000, 32), unit(rng, 10_000, 32), np.arange(10_000)
    tracemalloc.start()
    pair_ranks(images, texts, ids, ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # the whole matrix of scores would take 800e6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "at least one query"),
        ([[1], []], "query 1 has the ranks \\[\\]"),
        ([[2, 2]], "query 0 .* each once"),
        ([[0], [1]], "query 0 .* from 1 on"),
        ([[1.5]], "query 0 .* whole numbers"),
    ],
)
def test_ranks_that_cannot_be_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        right_ranks(given)
