"""A callback that sets the epoch of the training data, and a sampler of batches of similar lengths."""

import random
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices


class EpochCallback(TrainerCallback):
    """A callback that sets the attribute `epoch` of the training data.

    Data loaders call a method `set_epoch` of their data, but not when a run resumes within an epoch, and in an
    evaluation with a count of their own. A resumed run would then differ from an uninterrupted one.
    """

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Sets the epoch, if the training data has one."""
        dataset = kwargs["train_dataloader"].dataset
        if hasattr(dataset, "epoch"):
            dataset.epoch = int(state.epoch or 0)


class Lengths(Protocol):
    """Training data with the lengths of the plots of its current epoch."""

    epoch: int

    def __len__(self) -> int:
        """Returns the number of items."""

    @property
    def lengths(self) -> list[int] | None:
        """The number of tokens of each item's plot, or None if it is unknown."""


class LengthGroupedSampler(Sampler[int]):
    """A sampler like transformers' sampler of this name: it shuffles, then sorts large groups by length.

    transformers' sampler uses the global random state. The order of this one is a function of seed, epoch and lengths,
    so it is the same in all processes and in a resumed run.

    Args:
        data: the training data. The sampler reads its `epoch` and `lengths` at the start of an epoch.
        batch_size: the number of items of an optimizer step, over processes and accumulation steps. A group is 50
            such batches, or a quarter of the data if that is less.
        seed: the seed of the orders.

    Raises:
        ValueError: the data has no lengths.

    Example:
        >>> from types import SimpleNamespace
        >>> data = SimpleNamespace(epoch=0, lengths=[9, 1, 8, 2] * 4)
        >>> [data.lengths[index] for index in LengthGroupedSampler(data, batch_size=2, seed=0)][:4]
        [9, 8, 2, 1]
    """

    def __init__(self, data: Lengths, batch_size: int, seed: int) -> None:
        if getattr(data, "lengths", None) is None:
            raise ValueError("train_sampling_strategy=group_by_length needs the lengths of the training data.")
        self.data = data
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        """Returns the number of items."""
        return len(self.data)

    def __iter__(self) -> Iterator[int]:
        """Returns the indices of the current epoch in order."""
        seed = random.Random(f"{self.seed}-{self.data.epoch}").getrandbits(63)
        generator = torch.Generator().manual_seed(seed)
        return iter(get_length_grouped_indices(self.data.lengths, self.batch_size, generator=generator))
