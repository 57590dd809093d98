import json
from importlib.util import find_spec

import pytest

from scripts.benchmarks import poster_text
from scripts.benchmarks.measure import table
from scripts.benchmarks.poster_text import found_share


def lines(*texts):
    return [{"text": text, "score": 0.9, "box": None} for text in texts]


@pytest.mark.parametrize(
    ("title", "printed", "share"),
    [
        ("Exorcist, The", lines("The Exor", "CIST"), 1),
        ("Jaws 2", lines("JAWS"), 2 / 3),
        ("Up", lines("UP"), 1),
        ("Jaws", [{"text": "JAWS", "score": 0.3, "box": None}], 0),
        ("Jaws", [], 0),
    ],
)
def test_the_share_of_a_title_that_is_found(title, printed, share):
    assert found_share(title, printed) == pytest.approx(share)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
def test_what_is_printed_is_what_the_file_holds(catalogue, tmp_path, capsys):
    out = tmp_path / "out.json"
    poster_text.main(["--catalogue", str(catalogue), "--posters", "1", "--output", str(out)])
    section = json.loads(out.read_text())["sections"]["poster_text"]
    assert table(section) in capsys.readouterr().out
    assert len(section["rows"]) == 3 and section["rows"][0]["times as fast"] == 1


def test_a_split_without_titles_is_named(catalogue):
    with pytest.raises(SystemExit, match="extra"):
        poster_text.main(["--catalogue", str(catalogue), "--split", "extra"])
