import json
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from scripts.benchmarks import retrieval
from scripts.benchmarks.measure import table
from scripts.benchmarks.retrieval import EVALUATORS, planted


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


@pytest.fixture
def here(monkeypatch):
    """Evaluators in this process, without the one that may not be installed."""

    class Here:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, run, *arguments):
            self.result = lambda: run(*arguments)
            return self

    monkeypatch.setattr(retrieval, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(retrieval, "version", lambda _: "6.2.0")
    monkeypatch.delitem(EVALUATORS, "sentence-transformers")


def test_what_is_printed_is_what_the_file_holds(here, tmp_path, capsys):
    file = tmp_path / "out.json"
    retrieval.main(["--sizes", "60", "--matrix_sizes", "30", "--output", str(file)])
    section = json.loads(file.read_text())["sections"]["retrieval"]
    assert table(section) in capsys.readouterr().out
    evaluators = [(row["evaluator"], row["movies"]) for row in section["rows"]]
    assert evaluators == [("this project", 30), ("full matrix", 30), ("this project", 60)]


def test_evaluators_that_disagree_are_refused(here, tmp_path, monkeypatch):
    worse = {way: [0.0, 0.0, 0.0] for way in retrieval.DIRECTIONS}
    monkeypatch.setitem(EVALUATORS, "full matrix", lambda *_: worse)
    with pytest.raises(SystemExit, match="full matrix and this project disagree at 30 movies"):
        retrieval.main(["--sizes", "30", "--matrix_sizes", "30", "--output", str(tmp_path / "out.json")])


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--sizes", "5"], "5 movies are too few"), (["--output", "."], r"\. cannot be written"), ([], "is missing: pip")],
)
def test_a_wrong_argument_stops_before_anything_is_measured(flags, message, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(retrieval, "version", missing)
    monkeypatch.setattr(retrieval, "retrieval", lambda *_: pytest.fail("measured"))
    with pytest.raises(SystemExit, match=message):
        retrieval.main(flags)
