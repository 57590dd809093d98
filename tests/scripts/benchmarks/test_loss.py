import json

import pytest
import torch

from scripts.benchmarks import loss
from scripts.benchmarks.loss import OURS, WAYS, Measured, exponent, loss_rows
from scripts.benchmarks.measure import table


@pytest.mark.parametrize("name", WAYS)
def test_all_ways_have_the_same_loss_and_gradients(name):
    sides = torch.nn.functional.normalize(torch.randn(2, 40, 16), dim=-1)
    found = {}
    for way, run in WAYS[name].items():
        images, texts = (side.clone().requires_grad_() for side in sides)
        value = run(images, texts)
        found[way] = [value, *torch.autograd.grad(value, (images, texts))]
    for values in found.values():
        torch.testing.assert_close(values, found[OURS], atol=1e-5, rtol=1e-4)


def test_a_matrix_that_does_not_fit_is_not_tried(monkeypatch):
    monkeypatch.setattr(loss, "available_memory", lambda: 4 * 8 * 100**2 / 0.5)
    monkeypatch.setattr(loss, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(loss, "measured", lambda name, way, pairs, dim: Measured(1.0, pairs**2 * 1e-6, 10**6 * pairs))
    rows = loss_rows("sigmoid", [50, 100, 200], 8)
    cells = {(row["pairs"], row["way"]): row["MB beyond the embeddings"] for row in rows}
    assert cells[100, "full matrix"] == 100 and cells[200, "full matrix"] == "does not fit" and cells[200, OURS] == 200
    assert [row["times the full matrix's"] for row in rows] == [1, 1, 1, 1, "-", "-"]
    assert exponent(rows, OURS, "CPU seconds") == "2.00"


class InThisProcess:
    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        self.value = function(*arguments)
        return self

    def result(self):
        return self.value


def test_ways_that_disagree_are_refused(monkeypatch):
    monkeypatch.setattr(loss, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(loss, "measured", lambda name, way, pairs, dim: Measured(float(way == OURS) + 1, 1.0, 1))
    with pytest.raises(RuntimeError, match="full matrix and in tiles disagree at 50 pairs"):
        loss_rows("sigmoid", [50], 8)


@pytest.mark.slow
def test_what_is_printed_is_what_the_file_holds(tmp_path, capsys):
    file = tmp_path / "out.json"
    loss.main(["--sizes", "32", "64", "--sigmoid_sizes", "32", "--dim", "8", "--output", str(file)])
    section = json.loads(file.read_text())["sections"]["loss"]
    assert table(section) in capsys.readouterr().out
    assert len(section["rows"]) == 2 * len(WAYS["contrastive"]) + len(WAYS["sigmoid"])


@pytest.mark.parametrize(
    ("flags", "message"), [(["--sizes", "1"], "1 is too few"), (["--output", "."], r"\. cannot be written")]
)
def test_a_wrong_argument_stops_before_anything_is_measured(flags, message):
    with pytest.raises(SystemExit, match=message):
        loss.main(flags)
