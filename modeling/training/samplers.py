"""Which epoch it is, and an order of its rows in which the plots of a batch are of similar lengths."""

import random
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices


class EpochCallback(TrainerCallback):
    """Tells the training data which epoch it is, by its attribute `epoch`.

    A method named `set_epoch` would be called by the data loaders as well: not when they resume within an epoch,
    and with a count of their own when they evaluate. Either makes a resumed run another one.
    """

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass the epoch on to a dataset that wants to know."""
        dataset = kwargs["train_dataloader"].dataset
        if hasattr(dataset, "epoch"):
            dataset.epoch = int(state.epoch or 0)


class Lengths(Protocol):
    """Training data that knows its epoch, and the tokens of the plot that each item shows in it."""

    epoch: int

    def __len__(self) -> int:
        """The number of items."""

    @property
    def lengths(self) -> list[int] | None:
        """One for each item; None where they are not known."""


class LengthGroupedSampler(Sampler[int]):
    """Every index once, in the order of transformers' sampler of this name: shuffled, then sorted in large groups.

    Theirs draws from the global random state. Here an order is a function of (seed, epoch) and of the lengths alone,
    so it is the same in every process and again in a resumed run.

    Args:
        data: whose `epoch` and `lengths` are looked at when an epoch begins.
        batch_size: of one optimizer step, over processes and accumulation. A group is of up to 50 of them, or a
            quarter of the data; there is nothing to group in data of fewer than 8.
        seed: of the orders.

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
            raise ValueError("train_sampling_strategy=group_by_length: the training data has no lengths of plots.")
        self.data = data
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        """The number of items."""
        return len(self.data)

    def __iter__(self) -> Iterator[int]:
        """The order of the epoch that the data is in."""
        seed = random.Random(f"{self.seed}-{self.data.epoch}").getrandbits(63)
        generator = torch.Generator().manual_seed(seed)
        return iter(get_length_grouped_indices(self.data.lengths, self.batch_size, generator=generator))
