"""The lines that a training run prints: one for each evaluation, or for each log where nothing evaluates."""

from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from modeling.training.trainer import PosterCLIPTrainer


def show_progress(trainer: PosterCLIPTrainer) -> None:
    """Makes a trainer print short lines in place of the dictionaries that transformers prints."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if not trainer.args.disable_tqdm:
        trainer.add_callback(ProgressBars)
    trainer.add_callback(ProgressLines)


class ProgressBars(ProgressCallback):
    """The bars of transformers without its dictionaries."""

    def on_log(self, *args: Any, **kwargs: Any) -> None:
        """Prints nothing: `ProgressLines` does."""


class ProgressLines(TrainerCallback):
    """A callback that prints `progress_line`."""

    def __init__(self) -> None:
        self.train_loss: float | None = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Prints a line for an evaluation, or for a training loss where nothing evaluates."""
        logs = logs or {}
        self.train_loss = logs.get("loss", self.train_loss)
        if state.is_world_process_zero and ("eval_loss" in logs or ("loss" in logs and args.eval_strategy == "no")):
            tqdm.write(progress_line(state, self.train_loss, logs))


def progress_line(state: TrainerState, train_loss: float | None, logs: Mapping[str, Any]) -> str:
    """Returns the state of a run in one line; the metrics are means of both directions.

    Example:
        >>> state = TrainerState(epoch=2.0, global_step=40, max_steps=400)
        >>> progress_line(state, 2.5, {"eval_loss": 3.1, "eval_R@1": 0.2, "eval_R@10": 0.55, "eval_median_rank": 8.0})
        'epoch 2, step 40 of 400: loss 2.500, validation loss 3.100, R@1 20.0 %, R@10 55.0 %, median rank 8'
    """
    parts = [] if train_loss is None else [f"loss {train_loss:.3f}"]
    if "eval_loss" in logs:
        parts.append(f"validation loss {logs['eval_loss']:.3f}")
        parts += [f"{name} {100 * logs[f'eval_{name}']:.1f} %" for name in ("R@1", "R@10")]
        parts.append(f"median rank {logs['eval_median_rank']:g}")
    return f"epoch {state.epoch or 0:.3g}, step {state.global_step} of {state.max_steps}: {', '.join(parts)}"
