from dataclasses import dataclass, field

import pytest
import torch

from modeling.training.samplers import LengthGroupedSampler


def plot_lengths(count: int = 1000) -> list[int]:
    """Token counts as plots have them: many short, a few long, cut at 256."""
    spread = torch.distributions.LogNormal(4.2, 0.7).sample((count,))
    return spread.int().clamp(5, 256).tolist()


@dataclass
class Plots:
    epoch: int = 0
    lengths: list[int] = field(default_factory=plot_lengths)

    def __len__(self) -> int:
        return len(self.lengths)


def padding(lengths: list[int], order: list[int], size: int = 16) -> float:
    """The share of padding among all tokens."""
    batches = [[lengths[index] for index in order[start : start + size]] for start in range(0, len(order), size)]
    return 1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches)


def test_an_epoch_holds_every_movie_once_and_the_next_is_in_another_order():
    plots = Plots()
    sampler = LengthGroupedSampler(plots, 16, seed=0)
    orders = [list(sampler) for plots.epoch in range(3)]
    assert all(sorted(order) == list(range(1000)) for order in orders) and len(sampler) == 1000
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_an_order_is_a_function_of_seed_and_epoch_alone():
    plots = Plots()
    sampler = LengthGroupedSampler(plots, 16, seed=3)
    first = [list(sampler) for plots.epoch in range(3)]
    torch.manual_seed(99)
    again = LengthGroupedSampler(plots, 16, seed=3)
    other = LengthGroupedSampler(plots, 16, seed=2)
    state = torch.get_rng_state()
    for plots.epoch in reversed(range(3)):
        assert list(again) == first[plots.epoch]
        assert list(other) not in first
    assert torch.equal(state, torch.get_rng_state())


def test_batches_of_similar_lengths_hold_little_padding():
    plots = Plots()
    grouped = padding(plots.lengths, list(LengthGroupedSampler(plots, 16, seed=0)))
    shuffled = padding(plots.lengths, torch.randperm(1000).tolist())
    assert shuffled > 0.4 and grouped < 0.15


def test_lengths_are_those_of_the_epoch():
    plots = Plots(lengths=[1, 2] * 500)
    sampler = LengthGroupedSampler(plots, 50, seed=0)
    first = list(sampler)
    plots.lengths = [2, 1] * 500
    assert first[0] % 2 == 1 and next(iter(sampler)) % 2 == 0  # the longest come first


def test_data_without_lengths_is_an_error_that_names_the_option():
    for data in (Plots(lengths=None), [1, 2]):
        with pytest.raises(ValueError, match="group_by_length"):
            LengthGroupedSampler(data, 16, seed=0)
