import dataclasses
import json
from pathlib import Path

import pytest

from processing.reporting.results import read_evaluations
from processing.reporting.tables import ablation_rows, format_table
from scripts.experiments import ablations


@pytest.fixture
def settings(printed, encoders, tmp_path, monkeypatch) -> list[str]:
    """Flags of ablations among tiny models; each movie has an `intro` and an `overview`, four are `extra`."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    rows = [json.loads(line) for line in (printed / "metadata.jsonl").read_text().splitlines()]
    for i, row in enumerate(rows):
        row |= {"intro": row.pop("plot_short"), "overview": row.pop("plot_long"), "title": row["title"] + " abc"}
        row["split"] = "extra" if i < 4 else row["split"]
    (printed / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    folders = ["--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "results")]
    return ["--catalogue", str(printed), *encoders[:4], *folders]


@pytest.mark.slow
def test_a_row_is_a_file_of_results_and_a_line_of_the_table(settings, tmp_path, capsys, monkeypatch):
    best = dataclasses.replace(ablations.ROWS["best"], evaluate={"pool_sizes": [2]})  # of six movies
    monkeypatch.setitem(ablations.ROWS, "best", best)
    ablations.main([*settings, "--rows", "text-untrained", "best", "masked"])
    files = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert files == ["best.json", "masked.json", "text-untrained.json"]
    masked = json.loads((tmp_path / "results" / "masked.json").read_text())
    assert masked["mask_titles"] and Path(masked["model"]).name == "best"
    assert not (tmp_path / "runs" / "masked").exists()
    record = json.loads((tmp_path / "runs" / "best" / "training.json").read_text())
    assert record["train_splits"] == ["train", "extra"] and record["config"]["use_poster_text"]
    table = format_table(ablation_rows(read_evaluations(ablations.result_files(tmp_path / "results"))))
    assert len(table.splitlines()) == 5 and table in capsys.readouterr().out


@pytest.mark.parametrize(("flags", "named"), [(["--rows", "best", "worst"], "worst"), (["--rows", "mpnet"], "--mpnet")])
def test_a_row_that_cannot_be_run_is_named_before_any_is(flags, named, settings, tmp_path):
    with pytest.raises(SystemExit, match=named):
        ablations.main([*settings, *flags])
    assert not (tmp_path / "runs").exists()
