"""Setup, timing and printing of the benchmarks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import transformers
from datasets import Dataset
from torch import Tensor
from transformers import (
    BertConfig,
    PreTrainedConfig,
    TrainerCallback,
    TrainingArguments,
    ViTConfig,
)

from modeling import PosterCLIPConfig, PosterCLIPModel
from modeling.training.freezing import set_mode
from processing import PosterCLIPProcessor
from processing.reporting.tables import format_table

Encoders = tuple[PreTrainedConfig, PreTrainedConfig]
Built = tuple[PosterCLIPModel, PosterCLIPProcessor]
Section = dict[str, Any]


def _small() -> Encoders:
    vision = ViTConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=6)
    return vision, BertConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=12)


@dataclass
class Setup:
    """The movies, encoders and sizes of a benchmark.

    Args:
        movies: to train on.
        vision, text: folders or Hub names of pretrained encoders.
        scratch: a folder for caches.
        base: shapes of the field's usual encoders, ViT-base and BERT-base.
        small: shapes of encoders that a small machine can train in full, ViT-small and MiniLM.
        batch: movies in a batch, where nothing else is said.
        pairs: batch sizes for the gradient cache, ascending.
        chunk_size: of the gradient cache.
        count: movies that a rate is measured over; of the base encoders an eighth.
        rounds: how often two that are compared take turns.
    """

    movies: Dataset
    vision: str
    text: str
    scratch: Path
    base: Encoders = field(default_factory=lambda: (ViTConfig(), BertConfig()))
    small: Encoders = field(default_factory=_small)
    batch: int = 32
    pairs: Sequence[int] = (32, 128, 512, 1024)
    chunk_size: int = 32
    count: int = 256
    rounds: int = 3

    def given(self) -> Built:
        """The pretrained encoders, frozen, under projections that are the same each time."""
        torch.manual_seed(0)
        model = PosterCLIPModel.from_vision_text_pretrained(self.vision, self.text, projection_dim=128)
        return _in_mode(model, "frozen"), PosterCLIPProcessor.from_vision_text_pretrained(self.vision, self.text)

    def random(self, encoders: Encoders, mode: str = "frozen") -> Built:
        """Encoders of these shapes with random weights; the tokenizer is that of the given plot encoder."""
        vision, text = encoders
        processor = PosterCLIPProcessor.from_vision_text_pretrained(self.vision, self.text)
        size = {"height": vision.image_size, "width": vision.image_size}
        processor.image_processor = transformers.ViTImageProcessor(size=size)
        torch.manual_seed(0)
        config = PosterCLIPConfig(vision_config=vision, text_config=text, projection_dim=128)
        return _in_mode(PosterCLIPModel(config), mode), processor

    def part(self, count: int) -> Dataset:
        """The first movies."""
        return self.movies.select(range(min(count, len(self.movies))))


def _in_mode(model: PosterCLIPModel, mode: str) -> PosterCLIPModel:
    for encoder in (model.vision_model, model.text_model):
        set_mode(encoder, mode)
    return model.to(device()).eval()  # type: ignore[arg-type]


def shapes(encoders: tuple[PreTrainedConfig, PreTrainedConfig]) -> str:
    """Two encoders by family, width and depth."""
    return " and ".join(
        f"{encoder.model_type}-{encoder.hidden_size}x{encoder.num_hidden_layers}" for encoder in encoders
    )


def all_plots(movies: Dataset) -> list[str]:
    """The plots of all movies, in order."""
    return [plot for plots in movies["plots"] for plot in plots]


def device() -> torch.device:
    """The accelerator, or the CPU."""
    return (torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None) or torch.device(
        "cpu"
    )


def on_device(batches: Any) -> list[dict[str, Tensor]]:
    """All batches, ready for an encoder."""
    return [{name: rows.to(device()) for name, rows in batch.items()} for batch in batches]


@torch.no_grad()
def run_bare(features: Callable[..., Tensor], batches: list[dict[str, Tensor]]) -> None:
    """Run an encoder over batches that are ready."""
    for batch in batches:
        features(**batch)


def now() -> float:
    """Seconds, when all that was given to an accelerator is done."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return perf_counter()


def seconds(run: Callable[[], Any]) -> float:
    """How long a run takes."""
    start = now()
    run()
    return now() - start


def in_turn(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Mean seconds of each run after a warm-up. They take turns, so that a machine that slows down slows all of them.

    Example:
        >>> in_turn({"a": lambda: print("a"), "b": lambda: print("b")}, rounds=1).keys()
        a
        b
        a
        b
        dict_keys(['a', 'b'])
    """
    for run in runs.values():
        run()
    taken = dict.fromkeys(runs, 0.0)
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name] += seconds(run) / rounds
    return taken


def resident_memory() -> tuple[int, int]:
    """Returns the bytes of this process, now and at its peak: on the accelerator, or else resident (Linux)."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    # Not getrusage: its peak is inherited from the process that started this one.
    return kilobytes("/proc/self/status", "VmRSS"), kilobytes("/proc/self/status", "VmHWM")


def available_memory() -> int:
    """Returns the bytes that are free: of the accelerator, or else of the machine (Linux)."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else kilobytes("/proc/meminfo", "MemAvailable")


def kilobytes(file: str, name: str) -> int:
    """Returns a line such as `MemAvailable:  1024 kB`, in bytes."""
    lines = dict(line.split(":", 1) for line in Path(file).read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


class StepClock(TrainerCallback):
    """When each step of a training began, its batch ready, and when it ended."""

    def __init__(self) -> None:
        self.begins: list[float] = []
        self.ends: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.begins.append(now())

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.ends.append(now())


def training(scratch: Path, **options: Any) -> TrainingArguments:
    """Arguments of a training that writes nothing and prints nothing."""
    return TrainingArguments(
        str(scratch / "run"),
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.accelerator.is_available(),
        per_device_eval_batch_size=32,
        **options,
    )


def table(section: Section) -> str:
    """Returns a section as it is printed."""
    rows = [list(section["rows"][0]), *([cell(value) for value in row.values()] for row in section["rows"])]
    return "\n\n".join([section["title"], format_table(rows), section["note"]])


def tables(results: dict[str, Any]) -> str:
    """Returns all sections of a results file as they are printed."""
    return "\n\n".join(map(table, results["sections"].values()))


def cell(value: str | float) -> str:
    """Returns the text of a table's cell, numbers with three or four digits.

    Example:
        >>> cell("none"), cell(1024), cell(12345.6), cell(12.34), cell(0.01234)
        ('none', '1,024', '12,346', '12.3', '0.0123')
    """
    if isinstance(value, str | int):
        return value if isinstance(value, str) else f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
