import json

import pytest

from scripts.benchmarks import search
from scripts.benchmarks.training import table

SMALL = ["--rows", "3000", "--queries", "8", "--dense", "16", "--sparse", "64"]


def test_what_is_printed_is_what_the_file_holds(tmp_path, capsys):
    pytest.importorskip("faiss")
    search.main([*SMALL, "--output", str(tmp_path / "out.json")])
    results = json.loads((tmp_path / "out.json").read_text())
    section = results["sections"]["search"]
    assert table(section) in capsys.readouterr().out
    rows = section["rows"]
    assert [row["queries at a time"] for row in rows] == [1, 1, 1, 8, 8, 8]
    assert all(row["recall@10"] > 0.95 for row in rows) and rows[0]["times as fast"] == 1
    assert section["memory_mb"]["process at its peak"] > 0 and section["build_seconds"] > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--queries", "4000"], r"queries: 4000 is none of 2\.\.3000"),
        (["--dense", "0"], "no embedding has 0 \\+ 64 numbers"),
        (["--output", "."], "cannot be written"),
    ],
)
def test_a_wrong_argument_stops_before_anything_is_measured(wrong, words, monkeypatch):
    monkeypatch.setattr(search, "search", lambda *_: pytest.fail("measured"))
    with pytest.raises(SystemExit, match=words):
        search.main([*SMALL, *wrong])
