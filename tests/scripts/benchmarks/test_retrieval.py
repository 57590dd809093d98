import json
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from scripts.benchmarks import retrieval
from scripts.benchmarks.measure import table
from scripts.benchmarks.retrieval import DENSE, DIRECTIONS, EVALUATORS, OURS, Measured, compared, planted


def found_by(evaluator, *sides):
    evaluate, form = EVALUATORS[evaluator]
    return evaluate(*map(form, sides))


def test_planted_embeddings_are_found_but_not_all_at_once():
    posters, plots = planted(500)
    assert plots.norms() == pytest.approx(np.ones(500), abs=1e-6)
    assert 0.2 < found_by(OURS, posters, plots)["image_to_text"][0] < 1
    assert 40 < posters.sparse.nnz / 500 < 70 and 100 < plots.sparse.nnz / 500 < 130


@pytest.mark.parametrize("evaluator", ["sentence-transformers", "full matrix"])
def test_all_evaluators_find_the_same(evaluator):
    if evaluator == "sentence-transformers":
        pytest.importorskip("sentence_transformers")
    sides = planted(300, dense_dim=64)
    assert found_by(evaluator, *sides) == found_by(OURS, *sides) != found_by(DENSE, *sides)


@pytest.mark.slow
def test_what_is_printed_is_what_the_file_holds(tmp_path, capsys):
    pytest.importorskip("sentence_transformers")
    file = tmp_path / "out.json"
    retrieval.main(["--sizes", "60", "--sentence_sizes", "30", "--matrix_sizes", "30", "--output", str(file)])
    section = json.loads(file.read_text())["sections"]["retrieval"]
    assert table(section) in capsys.readouterr().out
    evaluators = [(row["evaluator"], row["movies"]) for row in section["rows"]]
    assert evaluators == [*((name, 30) for name in EVALUATORS), (OURS, 60), (DENSE, 60)]


def test_evaluators_stand_beside_this_project():
    rates = {way: [0.1, 0.5, 0.7] for way in DIRECTIONS}
    near = {**rates, DIRECTIONS[1]: [0.1, 0.5, 0.70005]}
    found = {OURS: Measured(2.0, 3.0, 10**6, rates), "full matrix": Measured(6.0, 12.0, 10**7, near)}
    ours, other = compared(30, found)
    assert (ours["times our CPU seconds"], other["times our CPU seconds"]) == (1, 4)
    assert (ours["MB beyond the embeddings"], other["MB beyond the embeddings"]) == (1, 10)
    assert other["R@5, %"] == 50 and other["R@k apart from ours"] == pytest.approx(5e-5)


def test_evaluators_that_disagree_are_refused():
    rates, worse = ({way: [rate] * 3 for way in DIRECTIONS} for rate in (0.5, 0.0))
    with pytest.raises(RuntimeError, match="full matrix and this project disagree at 30 movies"):
        compared(30, {OURS: Measured(1.0, 1.0, 1, rates), "full matrix": Measured(1.0, 1.0, 1, worse)})


@pytest.mark.parametrize(
    ("flags", "message"), [(["--sizes", "5"], "5 movies are too few"), (["--output", "."], r"\. cannot be written")]
)
def test_a_wrong_argument_stops_before_anything_is_measured(flags, message, capsys):
    with pytest.raises(SystemExit, match=message):
        retrieval.main(flags)
    assert not capsys.readouterr().out


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(retrieval, "version", missing)
    with pytest.raises(SystemExit, match="sentence-transformers is missing: pip"):
        retrieval.main([])
