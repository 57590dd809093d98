import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modeling import PosterCLIPModel
from tests.modeling.resume_run import EPOCHS, STEPS_PER_EPOCH, run, tiny_movies
from tests.tiny import TEXT, VISION

ROOT = Path(__file__).parents[2]
# Every encoder of the matrix once on its side.
PAIRS = [(vision, list(TEXT)[i % len(TEXT)]) for i, vision in enumerate(VISION)]


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / f"checkpoint-{EPOCHS * STEPS_PER_EPOCH}" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("vision", "text"), PAIRS)
def test_a_run_killed_within_an_epoch_ends_with_the_same_weights(vision, text, tmp_path):
    killed_at = STEPS_PER_EPOCH + 3  # the last checkpoint is one step older and lies within the second epoch
    command = [sys.executable, "-m", "tests.modeling.resume_run", vision, text, str(tmp_path / "killed"), str(killed_at)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == -9
    assert not (tmp_path / "killed" / f"checkpoint-{EPOCHS * STEPS_PER_EPOCH}").exists()

    whole = run(vision, text, tmp_path / "whole")
    resumed = run(vision, text, tmp_path / "killed")

    expected, got = final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed")
    assert expected.keys() == got.keys() == whole.model.state_dict().keys()
    for name, weight in expected.items():
        assert torch.equal(weight, got[name]), name
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize(("vision", "text"), PAIRS)
def test_the_best_model_is_loaded_whole_at_the_end(vision, text, tmp_path):
    trainer = run(vision, text, tmp_path)
    best = PosterCLIPModel.from_pretrained(trainer.state.best_model_checkpoint).state_dict()
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(weight, best[name]), name
