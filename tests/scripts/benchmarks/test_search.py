import json

import numpy as np
import pytest

from processing.search.searcher import Searcher
from scripts.benchmarks import search
from scripts.benchmarks.made_up import PLOT_NGRAMS, POSTER_NGRAMS, unit_rows, with_ngrams
from scripts.benchmarks.measure import table
from scripts.benchmarks.search import dense_scan

SMALL = ["--rows", "300", "--queries", "4", "--dense_dim", "16", "--ngram_dim", "64"]


def test_what_is_printed_is_what_the_file_holds(tmp_path, capsys):
    search.main([*SMALL, "--output", str(tmp_path / "out.json")])
    section = json.loads((tmp_path / "out.json").read_text())["sections"]["search"]
    assert table(section) in capsys.readouterr().out
    assert [(row["search"], row["queries at a time"]) for row in section["rows"]] == [
        ("NumPy, all numbers", 1),
        ("Searcher", 1),
        ("NumPy, all numbers", 4),
        ("Searcher", 4),
    ]
    assert all(row["ms a query"] > 0 for row in section["rows"])


def test_the_ways_that_are_compared_find_the_same():
    rows = with_ngrams(unit_rows(3000, 16, seed=0), 256, PLOT_NGRAMS, seed=0)
    queries = with_ngrams(unit_rows(9, 16, seed=1), 256, POSTER_NGRAMS, seed=1)
    assert np.array_equal(dense_scan(queries, rows), Searcher(rows).search(queries, 10)[0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--rows", "9"], "at least 10 plots and one poster"),
        (["--dense_dim", "0"], "no embedding has 0 \\+ 64 numbers"),
        (["--output", "."], "cannot be written"),
    ],
)
def test_a_wrong_argument_stops_before_anything_is_measured(wrong, words):
    with pytest.raises(SystemExit, match=words):
        search.main([*SMALL, *wrong])
