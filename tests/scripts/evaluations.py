"""Evaluations by the script, and catalogues changed for them."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts import evaluate


def results_of(model: str, catalogue: Path, *flags: str) -> dict:
    """The results of an evaluation, without its page, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        evaluate.main([model, "--catalogue", str(catalogue), "--page", "False", "--output", folder, *flags])
        return json.loads((Path(folder) / "results.json").read_text())


def change_rows(catalogue: Path, change: Callable[[dict], dict]) -> list[dict]:
    """Writes the rows of a catalogue anew, each changed by a function of it."""
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows = [row | change(row) for row in rows]
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return rows
