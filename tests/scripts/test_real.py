"""A short run on real posters: `POSTERCLIP_MOVIES` names a folder with metadata.jsonl, in splits."""

import json
import os
from pathlib import Path

import pytest

from modeling.demo_towers import export_text_tower, export_vision_tower
from scripts import evaluate, train

SEED = Path(__file__).parents[2] / "scripts" / "configs" / "seed.yaml"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif("POSTERCLIP_MOVIES" not in os.environ, reason="POSTERCLIP_MOVIES names no real posters")
def test_the_seeds_recipe_remembers_its_movies_and_hardly_finds_others(tmp_path):
    movies = ["--catalogue", os.environ["POSTERCLIP_MOVIES"], "--plot_columns", "intro"]
    towers = [
        *("--vision", str(export_vision_tower(tmp_path / "vision"))),
        *("--text", str(export_text_tower(tmp_path / "text"))),
    ]
    out = tmp_path / "run"
    # The smallest split stands in for the training movies, so that the run is short.
    train.main([str(SEED), *movies, *towers, "--train_splits", "validation", "--output_dir", str(out)])
    judged = ["--trained_splits", "validation"]
    evaluate.main([str(out), *movies, *judged, "--split", "validation", "--output", str(out / "known.json")])
    evaluate.main([str(out), *movies, *judged, "--split", "test", "--output", str(out / "unknown.json")])
    known, unknown = (json.loads((out / name).read_text())["metrics"] for name in ("known.json", "unknown.json"))
    for direction in ("image_to_text", "text_to_image"):
        assert known[direction]["R@1"] > 0.9
        assert unknown[direction]["R@10"] < 0.1
