import json
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from scripts.benchmarks import retrieval
from scripts.benchmarks.measure import table
from scripts.benchmarks.retrieval import DIRECTIONS, EVALUATORS, OURS, compared, planted


def test_planted_embeddings_are_found_but_not_all_at_once():
    posters, plots = planted(2000)
    assert np.linalg.norm(plots, axis=1) == pytest.approx(np.ones(2000), abs=1e-6)
    assert 0.2 < EVALUATORS["this project"](posters, plots)["image_to_text"][0] < 0.98


@pytest.mark.parametrize("evaluator", ["sentence-transformers", "full matrix"])
def test_all_evaluators_find_the_same(evaluator):
    if evaluator == "sentence-transformers":
        pytest.importorskip("sentence_transformers")
    posters, plots = planted(300, dim=16)
    assert EVALUATORS[evaluator](posters, plots) == EVALUATORS["this project"](posters, plots)


@pytest.mark.slow
def test_what_is_printed_is_what_the_file_holds(tmp_path, capsys):
    pytest.importorskip("sentence_transformers")
    file = tmp_path / "out.json"
    retrieval.main(["--sizes", "60", "--matrix_sizes", "30", "--output", str(file)])
    section = json.loads(file.read_text())["sections"]["retrieval"]
    assert table(section) in capsys.readouterr().out
    others = ["this project", "sentence-transformers"]
    evaluators = [(row["evaluator"], row["movies"]) for row in section["rows"]]
    assert evaluators == [(name, 30) for name in [*others, "full matrix"]] + [(name, 60) for name in others]


def test_evaluators_stand_beside_this_project():
    rates = {way: [0.1, 0.5, 0.7] for way in DIRECTIONS}
    near = {**rates, DIRECTIONS[1]: [0.1, 0.5, 0.70005]}
    ours, other = compared(30, {OURS: (2.0, 10**6, rates), "full matrix": (6.0, 10**7, near)})
    assert (ours["times our seconds"], other["times our seconds"]) == (1, 3)
    assert (ours["MB beyond the embeddings"], other["MB beyond the embeddings"]) == (1, 10)
    assert other["R@5, %"] == 50 and other["R@k apart from ours"] == pytest.approx(5e-5)


def test_evaluators_that_disagree_are_refused():
    rates, worse = ({way: [rate] * 3 for way in DIRECTIONS} for rate in (0.5, 0.0))
    with pytest.raises(RuntimeError, match="full matrix and this project disagree at 30 movies"):
        compared(30, {OURS: (1.0, 1, rates), "full matrix": (1.0, 1, worse)})


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
