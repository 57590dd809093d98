"""The demo as `make demo` runs it, on the encoders that pip brings.

`POSTERCLIP_DEMO` names a folder that `make demo` has just left: it is judged in place of a run of its own.
"""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from modeling.demo_encoders import TEXT_WEIGHTS, VISION_WEIGHTS, DemoWeightsError
from scripts import card, demo, evaluate, train

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What `make demo` leaves."""
    if made := os.environ.get("POSTERCLIP_DEMO"):
        return Path(made)
    try:
        VISION_WEIGHTS.locate()
        TEXT_WEIGHTS.locate()
    except DemoWeightsError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    demo.main(["build/demo"])
    preset = [str(ROOT / "scripts/configs/posterclip.yaml"), "--catalogue", "build/demo/catalogue"]
    train.main([*preset, "--output_dir", "build/demo/model", "--disable_tqdm", "True"])
    evaluate.main(["build/demo/model", "--catalogue", "build/demo/catalogue"])
    card.main(["build/demo/model/report-test"])
    return tmp_path / "build" / "demo"


@pytest.mark.slow
def test_held_out_stories_are_found_at_least_twice_as_often_as_by_chance(folder):
    metrics = json.loads((folder / "model" / "report-test" / "results.json").read_text())["metrics"]
    for direction in ("image_to_text", "text_to_image"):
        assert metrics["pool"][direction] >= 40
        assert metrics[direction]["R@5"] >= 2 * metrics["chance"][direction]["R@5"]
    assert Image.open(folder / "model" / "report-test" / "sheet-spread.png").height > 1000
    assert f"{metrics['image_to_text']['R@1']:.2%}" in (folder / "model" / "README.md").read_text(encoding="utf-8")
