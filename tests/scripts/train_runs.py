"""Flags of short trainings, and what they leave."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

QUICK = ["--num_train_epochs", "2", "--per_device_train_batch_size", "4", "--use_cpu", "True", "--disable_tqdm", "True"]
BEST = ["--eval_strategy", "epoch", "--save_strategy", "epoch", "--load_best_model_at_end", "True"]
OCR_TEXT = ["--use_poster_text", "True", "--char_ngram_dim", "64"]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def log(folder: Path) -> list[list[float]]:
    """The losses of training and those of evaluation."""
    entries = record(folder)["log"]
    return [[entry[name] for entry in entries if name in entry] for name in ("train_loss", "eval_loss")]
