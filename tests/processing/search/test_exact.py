import numpy as np
import pytest
from datasets import Dataset

from processing.evaluation.retrieval import top_answers
from processing.search import exact
from processing.search.exact import FastSearch, champion_lists, exact_answers, highest
from processing.search.storage import Embeddings, column_features
from scripts.benchmarks.measure_search import MadeUp, exact_numpy, exact_sparse, recall


def made_up(count: int, queries: int, dense: int = 24, sparse: int = 512) -> tuple[Embeddings, np.ndarray]:
    source = MadeUp(dense, sparse)
    return source.plots(count), source.posters(queries)


@pytest.mark.parametrize("sparse", [512, 0])
def test_exact_answers_are_those_of_brute_force_to_the_bit_ties_included(sparse, monkeypatch):
    monkeypatch.setattr(exact, "BLOCK", 70)
    rows, queries = made_up(500, 9, sparse=sparse)
    twice = rows[np.r_[np.arange(500), np.arange(300)]]  # 300 of them tie with their doubles
    found, best = exact_answers(queries, twice, 20)
    right, scores = top_answers(queries, twice.to_array(), 20)
    assert np.array_equal(found, right) and np.array_equal(best, scores)


@pytest.mark.parametrize("sparse", [512, 0])
def test_embeddings_come_back_from_parquet_as_they_were(sparse, tmp_path):
    rows, _ = made_up(50, 2, sparse=sparse)
    columns = {name: column for side in ("poster", "plot") for name, column in rows.to_columns(side).items()}
    Dataset.from_dict(columns, column_features(24, sparse)).to_parquet(tmp_path / "rows.parquet", batch_size=7)
    movies = Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache"))
    for movies_there, expected in ((movies, rows), (movies.select(range(9, 30)), rows[9:30])):
        for side in ("poster", "plot"):
            back = Embeddings.of_dataset(movies_there, side, sparse)
            assert np.array_equal(back.to_array(), expected.to_array())


COUNT = 20_000


@pytest.fixture(scope="module", params=[512, 0], ids=["bags", "meanings"])
def case(request):
    pytest.importorskip("faiss")
    rows, queries = made_up(COUNT, 60, sparse=request.param)
    return rows, queries, FastSearch.build(Dataset.from_dict({"row": range(COUNT)}), "plot", rows)


def test_fast_search_finds_nearly_all_among_a_hundredth(case, monkeypatch):
    rows, queries, fast = case
    monkeypatch.setattr(exact, "CANDIDATES", COUNT // 100)
    found, scores = fast.answers(queries, 10)
    right, best = exact_answers(queries, rows, 10)
    assert recall(found, right) > 0.97
    same = (found == right).all(axis=1)
    assert same.any() and np.array_equal(scores[same], best[same])  # what is found has its exact score
    assert np.all(np.diff(scores) <= 0)


def test_fast_search_is_the_same_from_files(case, tmp_path):
    rows, queries, fast = case
    fast.save(tmp_path)
    again = FastSearch.load(Dataset.from_dict({"row": range(COUNT)}), "plot", rows, tmp_path)
    assert all(np.array_equal(*pair) for pair in zip(again.answers(queries, 5), fast.answers(queries, 5), strict=True))


def test_in_fast_search_a_query_without_words_is_answered_by_its_meaning(case):
    rows, queries, fast = case
    alone = np.zeros_like(queries[:3])
    alone[:, :24] = queries[:3, :24] / np.linalg.norm(queries[:3, :24], axis=1, keepdims=True)
    assert recall(fast.answers(alone, 10)[0], exact_answers(alone, rows, 10)[0]) > 0.95


def test_in_fast_search_more_answers_than_candidates_are_all_exact(case):
    rows, queries, fast = case
    found, right = fast.answers(queries[:1], COUNT)[0], exact_answers(queries[:1], rows, COUNT)[0]
    assert np.array_equal(found, right)


def test_champions_of_a_place_are_the_rows_in_which_it_weighs_most(monkeypatch):
    monkeypatch.setattr(exact, "CANDIDATES", 3)
    rows, _ = made_up(100, 2)
    bags, lists = rows.bags.toarray(), champion_lists(rows).toarray()
    for place, there in enumerate(np.count_nonzero(bags, axis=0)):
        kept = np.flatnonzero(lists[:, place])
        assert len(kept) == min(there, 3) and np.array_equal(lists[kept, place], bags[kept, place])
        assert np.abs(lists[:, place]).max() == np.abs(bags[:, place]).max()


@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_highest_are_found_wherever_they_lie(count):
    numbers = np.random.default_rng(0).permutation(1003)
    for turned in (numbers, np.sort(numbers), -np.sort(-numbers)):
        assert sorted(turned[highest(turned, count)]) == list(range(1003 - count, 1003))


def test_the_benchmarks_exact_searches_agree_with_brute_force():
    rows, queries = made_up(5000, 20)
    right = top_answers(queries, rows.to_array(), 10)[0]
    assert np.array_equal(exact_numpy(queries, rows, 10), right)
    assert np.array_equal(exact_sparse(queries, rows, rows.bags.tocsc(), 10), right)


def test_made_up_embeddings_are_near_their_own_and_the_same_each_time():
    source = MadeUp(384, 4096)
    (plots, posters), again = source.pairs(200, part=3), MadeUp(384, 4096).pairs(200, part=3)
    own = (plots.to_array() * posters.to_array()).sum(axis=1)
    assert 0.08 < own.mean() < 0.2 and 80 < np.diff(plots.bags.indptr).mean() < 110
    assert all(
        np.array_equal(one.to_array(), other.to_array()) for one, other in zip((plots, posters), again, strict=True)
    )
