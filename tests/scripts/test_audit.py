import json
import shutil

import pytest

from scripts import audit


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
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    (catalogue / "metadata.jsonl").write_text("\n".join(json.dumps(row | {"split": "train"}) for row in rows))
    with pytest.raises(SystemExit, match=r"^error: nothing to compare in .* but train$"):
        audit.main(["--catalogue", str(catalogue)])
