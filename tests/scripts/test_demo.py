"""The demo as `make demo` runs it, on the encoders that pip brings."""

import json
from pathlib import Path

import pytest
from PIL import Image

from modeling.demo_towers import TEXT_WEIGHTS, VISION_WEIGHTS, DemoWeightsError
from scripts import demo, evaluate, train

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_held_out_stories_are_found_at_least_twice_as_often_as_by_chance(tmp_path, monkeypatch):
    try:
        VISION_WEIGHTS.locate()
        TEXT_WEIGHTS.locate()
    except DemoWeightsError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    demo.main(["build/demo"])
    preset = [str(ROOT / "scripts/configs/posterclip.yaml"), "--catalogue", "build/demo/catalogue"]
    train.main([*preset, "--output_dir", "build/demo/model", "--disable_tqdm", "True"])
    evaluate.main(["build/demo/model", "--catalogue", "build/demo/catalogue", "--contact_sheet", "sheet.png"])

    metrics = json.loads(Path("build/demo/model/results-test.json").read_text())["metrics"]
    for direction in ("image_to_text", "text_to_image"):
        assert metrics["pool"][direction] >= 40
        assert metrics[direction]["R@5"] >= 2 * metrics["chance"][direction]["R@5"]
    assert Image.open("sheet.png").height > 1000
