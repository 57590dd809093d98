"""Sections of the benchmark about encoders that train: the gradient cache, frozen blocks, padding."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    TrainerCallback,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from modeling.training.trainer import PosterCLIPTrainer
from processing.data.collation import MoviePairs, PairCollator
from scripts.benchmarks.measure import (
    Section,
    Setup,
    StepClock,
    all_plots,
    available_memory,
    device,
    in_turn,
    on_device,
    resident_memory,
    run_bare,
    shapes,
    training,
)
from scripts.common.command_line import quiet_libraries

USABLE = 0.7  # of the available memory


@dataclass
class Step:
    """One training step: bytes before it and at its peak, and its seconds, posters already read."""

    before: int
    peak: int
    seconds: float


def gradient_cache(setup: Setup) -> Section:
    """Measures memory and time of a step of encoders that train in full, with and without chunks."""

    def step(pairs: int, chunk_size: int | None) -> Step:
        # A process of its own: memory that was once taken counts in its peak.
        with ProcessPoolExecutor(1, get_context("spawn"), quiet_libraries) as process:
            return process.submit(one_step, setup, pairs, chunk_size).result()

    return {
        "title": f"Gradient cache: {shapes(setup.small)}, trained in full with AdamW",
        "settings": {"pairs": list(setup.pairs), "chunk_size": setup.chunk_size},
        "rows": step_rows(setup.pairs, setup.chunk_size, step, USABLE * available_memory()),
        "note": "Memory is that of the whole process, or of the GPU. A step of two pairs comes before, so the "
        "optimizer's state is there in every row.",
    }


def step_rows(
    batches: Sequence[int], chunk_size: int, step: Callable[[int, int | None], Step], memory: float
) -> list[dict[str, Any]]:
    """Returns a row for each batch size without chunks, then for each with them.

    Args:
        batches: pairs in a batch, ascending.
        chunk_size: pairs in the encoders at a time.
        step: measures a step of so many pairs, in chunks of so many or whole.
        memory: bytes; a whole batch that is expected to need more is not tried.
    """
    rows: list[dict[str, Any]] = []
    for chunk in (None, chunk_size):
        peaks: dict[int, int] = {}
        before = 0
        for pairs in batches:
            row: dict[str, Any] = {
                "batch, pairs": pairs,
                "chunk, pairs": chunk or "none",
                "peak memory, MB": "-",
                "times the first row's": "-",
                "seconds per pair": "-",
                "how": "1 step",
            }
            rows.append(row)
            if chunk is None and peaks and (expected := expected_peak(before, peaks, pairs)) > memory:
                row["how"] = f"does not fit: {expected / 1e6:,.0f} MB expected"
                continue
            taken = step(pairs, chunk)
            before, peaks[pairs] = taken.before, taken.peak
            row["peak memory, MB"] = taken.peak / 1e6
            row["times the first row's"] = row["peak memory, MB"] / rows[0]["peak memory, MB"]
            row["seconds per pair"] = taken.seconds / pairs
    return rows


def one_step(setup: Setup, pairs: int, chunk_size: int | None) -> Step:
    """Runs a step of small encoders that train in full, for a process of its own.

    A step of two pairs comes first: it warms up and makes the optimizer's state, which is there in all later steps.
    """
    model, processor = setup.random(setup.small, "full")
    collator = PairCollator(processor)
    arguments = training(setup.scratch, max_steps=1, per_device_train_batch_size=pairs)
    data = MoviePairs(setup.part(pairs), processor)
    trainer = PosterCLIPTrainer(model, arguments, data_collator=collator, train_dataset=data, chunk_size=chunk_size)
    trainer.remove_callback(PrinterCallback)
    before = []

    class First(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            trainer.training_step(kwargs["model"], collator([data[0], data[1]]))
            kwargs["optimizer"].step()
            kwargs["optimizer"].zero_grad()
            before.append(resident_memory()[0])

    clock = StepClock()
    trainer.add_callback(First())
    trainer.add_callback(clock)
    trainer.train()
    return Step(before[0], resident_memory()[1], clock.ends[0] - clock.begins[0])


def expected_peak(before: int, peaks: dict[int, int], pairs: int) -> float:
    """Returns the expected peak at a batch size, on the line through the two largest that were measured.

    Example:
        >>> expected_peak(100, {32: 164}, 64), expected_peak(100, {32: 164, 64: 260}, 128)
        (228.0, 452.0)
    """
    (small, low), (large, high) = sorted({0: before, **peaks}.items())[-2:]
    return high + (high - low) / (large - small) * (pairs - large)


def trunk(setup: Setup) -> Section:
    """Measures the most that keeping the output of the frozen blocks below the last two could gain."""
    model, processor = setup.random(setup.base, "last-2")
    plots = all_plots(setup.movies)
    texts = on_device([dict(processor(text=plots[: setup.batch], return_tensors="pt"))])[0]
    size = model.config.vision_config.image_size
    posters = {"pixel_values": torch.randn(setup.batch, 3, size, size, device=device())}
    own = sum(map(len, processor.tokenizer(plots, truncation=True)["input_ids"])) / len(plots)
    rows = []
    for name, encoder, features, batch, count in (
        ("poster", model.vision_model, model.vision_features, posters, len(setup.movies)),
        ("plot", model.text_model, model.text_features, texts, len(plots)),
    ):
        optimizer = torch.optim.AdamW([weight for weight in encoder.parameters() if weight.requires_grad], lr=1e-5)

        def step(features: Any = features, batch: Any = batch, optimizer: Any = optimizer) -> None:
            model.train()
            features(**batch).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

        def forward(features: Any = features, batch: Any = batch) -> None:
            model.eval()
            run_bare(features, [batch])

        taken = in_turn({"step": step, "forward": forward}, setup.rounds)
        blocks = encoder.config.num_hidden_layers
        saved = taken["forward"] * (blocks - 2) / blocks
        with torch.no_grad():
            tokens = encoder(**batch).last_hidden_state.shape[1] if name == "poster" else own
        width = 4 * encoder.config.hidden_size
        rows.append(
            {
                "encoder": f"{encoder.config.model_type}, {name}s",
                "seconds of a step": taken["step"],
                "seconds of the frozen blocks": saved,
                "times as fast at most": taken["step"] / (taken["step"] - saved),
                "kB kept of one": tokens * width / 1e3,
                "kB pooled of one": width / 1e3,
                "MB kept of all": tokens * width * count / 1e6,
            }
        )
    return {
        "title": f"Frozen blocks below last-2: {shapes(setup.base)}, batch {setup.batch}",
        "settings": {"batch": setup.batch, "rounds": setup.rounds, "movies": len(setup.movies)},
        "rows": rows,
        "note": "The frozen blocks' seconds are their share of the encoder's forward without gradients. At most: as if "
        "reading what was kept took no time.",
    }


def padding(setup: Setup) -> Section:
    """Measures the cost of plots by how they are padded."""
    few, text = 8, shapes(setup.base).split(" and ")[1]
    model, processor = setup.random(setup.base, "full")
    limit = processor.tokenizer.model_max_length
    lengths = [len(ids) for ids in processor.tokenizer(all_plots(setup.movies), truncation=True)["input_ids"]]
    tokens = padded_tokens(lengths, setup.batch, limit)

    def step(length: int) -> None:
        model.train()
        ids = torch.ones(few, length, dtype=torch.long, device=device())
        model.text_features(ids, torch.ones_like(ids)).square().mean().backward()
        model.zero_grad()

    taken = in_turn({name: partial(step, round(mean)) for name, mean in tokens.items()}, setup.rounds)
    return {
        "title": f"Padding: {len(lengths):,} plots, batch {setup.batch}",
        "settings": {"batch": setup.batch, "max_length": limit, "plots": len(lengths), "rounds": setup.rounds},
        "rows": [
            {
                "padding": name,
                "tokens per plot": mean,
                "share of padding, %": 100 * (1 - tokens["none"] / mean),
                f"seconds per step of {few}": taken[name],
            }
            for name, mean in tokens.items()
        ],
        "note": f"A step is a forward and a backward of {text} over {few} plots as long as the mean.",
    }


def padded_tokens(lengths: Sequence[int], batch: int, max_length: int) -> dict[str, float]:
    """Returns mean tokens a plot with its padding, by what it is padded to; `none` is its own length.

    Example:
        >>> padded_tokens([2, 4, 2, 4], batch=4, max_length=8)
        {'none': 3.0, 'all to 8': 8.0, 'longest of a random batch': 4.0, 'longest of a batch grouped by length': 4.0}
    """

    def longest(order: Sequence[int]) -> float:
        batches = [[lengths[i] for i in order[start : start + batch]] for start in range(0, len(order), batch)]
        return sum(max(part) * len(part) for part in batches) / len(lengths)

    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(len(lengths), generator=generator).tolist()
    grouped = list(LengthGroupedSampler(batch, lengths=list(lengths), generator=generator))
    return {
        "none": sum(lengths) / len(lengths),
        f"all to {max_length}": float(max_length),
        "longest of a random batch": longest(shuffled),
        "longest of a batch grouped by length": longest(grouped),
    }
