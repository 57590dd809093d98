import json
import shutil

import pytest

from scripts import audit
from tests.processing.catalogues import poster


def test_a_clean_catalogue_passes(catalogue, capsys):
    audit.main(["--catalogue", str(catalogue), "--fail_on_leak", "True"])
    assert "| pairs with nearly the same poster          |     0 |" in capsys.readouterr().out


def test_leaks_are_printed_and_written_and_end_the_command_if_asked(catalogue, tmp_path, capsys):
    shutil.copy(catalogue / "0.png", catalogue / "17.png")
    output = tmp_path / "found" / "leaks.json"
    command = ["--catalogue", str(catalogue), "--output", str(output)]
    audit.main(command)
    assert "posters: 0 (train, Movie a) and 17 (test, Movie r), likeness 1.00" in capsys.readouterr().out
    found = json.loads(output.read_text())
    pair = {"ids": ["0", "17"], "splits": ["train", "test"], "likeness": 1.0}
    assert found["posters"]["leaks"] == {"count": 1, "held_out_movies": 1, "examples": [pair]}
    assert found["catalogue"]["rows"] == {"train": 8, "validation": 4, "test": 6} and "Movie" not in output.read_text()
    output.unlink()
    with pytest.raises(SystemExit, match=r"^error: .*catalogue: 1 leak into validation or test$"):
        audit.main([*command, "--fail_on_leak", "True"])
    assert output.is_file()


def test_bad_input_is_one_line(catalogue, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: .* name a file that ends in \.json\.$"):
        audit.main(["--catalogue", str(catalogue), "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"metadata\.jsonl"):
        audit.main(["--catalogue", "nowhere", "--output", str(catalogue / "metadata.jsonl" / "leaks.json")])


def test_what_was_understood_is_printed_and_written(tmp_path, capsys):
    rows = [{"file_name": f"{n}.jpg", "Movie_Title": f"Film {'abc'[n]}", "overview": "A plot."} for n in range(3)]
    rows[1] |= {"overview": "No overview found."}
    rows[2] |= {"overview": "word " * 200, "genre_names": '[{"id": 18, "name": "Drama"}]', "runtime": 90}
    for row in rows:
        poster(tmp_path / row["file_name"])
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row | {"split": "TRAIN"}) for row in rows))
    source = str(tmp_path)
    audit.main(["--catalogue", source, "--output", str(tmp_path / "audit.json")])
    found = json.loads((tmp_path / "audit.json").read_text())["catalogue"]
    cut = "1 of 2 plots is cut at 128 tokens (about 51 % of all tokens are cut off, by a rule of thumb)"
    assert found["columns"] == {
        **{"id": "the name of the poster's file", "title": "Movie_Title", "plots": "overview"},
        **{"genres": "genre_names", "split": "split", "image": "file_name"},
    }
    assert found["splits"] == {"train": ["0", "2"]} and found["genres"] == {"Drama": 1}
    assert found["bad_rows"] == {"count": 1, "lines": ["metadata.jsonl row 2 (id 1), 1.jpg: no plot"]}
    assert found["warnings"] == ["columns that were not understood: runtime", cut]
    printed = capsys.readouterr().out
    for line in (
        "rows: train 2",
        "title from Movie_Title",
        "genres: Drama 1",
        "bad rows left out: 1",
        f"warning: {cut}",
    ):
        assert line in printed
    with pytest.raises(SystemExit, match=r"bad rows \(1\):\n  metadata.jsonl row 2"):
        audit.main(["--catalogue", source, "--on_bad_rows", "error"])
