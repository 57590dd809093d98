"""A callback that stops a run whose loss is not finite."""

from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

MOST_STEPS = 64  # that are kept until they are checked


class FiniteLosses(TrainerCallback):
    """A callback that stops a run whose loss is not finite, before its weights are evaluated or saved.

    It checks the losses of several steps at once, because a check waits for an accelerator: before each log,
    evaluation and checkpoint, and at the end of an epoch.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[int, Tensor, Tensor, list[Any] | Tensor]] = []

    def add(self, step: int, loss: Tensor, images: Tensor, texts: Tensor, ids: list[Any] | Tensor) -> None:
        """Keeps what is needed to check a step.

        Args:
            step: its number.
            loss: scalar.
            images: (pairs, dimensions), embeddings.
            texts: (pairs, dimensions).
            ids: (pairs,), what the message names the pairs by.
        """
        self.steps.append((step, loss.detach(), images.detach().sum(1) + texts.detach().sum(1), ids))

    def check(self) -> None:
        """Raises FloatingPointError for the first step whose loss is not finite; it names the step and its rows."""
        steps, self.steps = self.steps, []
        if not steps or torch.stack([loss for _, loss, _, _ in steps]).isfinite().all():
            return
        step, loss, sums, ids = next(kept for kept in steps if not kept[1].isfinite())
        names = [str(name) for name in (ids.tolist() if isinstance(ids, Tensor) else ids)]
        bad = [name for name, is_finite in zip(names, sums.isfinite().tolist(), strict=True) if not is_finite]
        which = "Rows whose embeddings are not finite" if bad else "Rows of the batch"
        rows = ", ".join(bad or names)
        raise FloatingPointError(f"The loss of step {step} is {loss.item()}. {which}: {rows}")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Checks what was kept if the run is about to use it, or if it is much."""
        if control.should_log or control.should_evaluate or control.should_save or len(self.steps) >= MOST_STEPS:
            self.check()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Checks what was kept."""
        self.check()
