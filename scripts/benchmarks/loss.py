"""Measure the loss of a batch: `python scripts/benchmarks/loss.py`. Nothing but memory and time is needed.

The loss in tiles, with its gradients, stands beside the same loss of the full matrix and beside the way of open_clip.
The embeddings are made up.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from math import log
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from modeling.posterclip.losses import Targets, contrastive_loss, positives_by_id, sigmoid_loss
from processing.reporting.results import write_results
from scripts.benchmarks.measure import Section, available_memory, resident_memory, table
from scripts.common.command_line import parse, quiet_libraries, stop

SCALE, BIAS, COSINE = 30.0, -10.0, 0.2  # of logits, and about that of a pair
MATRICES = 8  # of all logits that a way with the full matrix holds at once, at most
USABLE = 0.6  # of the available memory
NEAR = 1e-4  # relative, of the losses of two ways in float32
OURS = "in tiles"


def _in_tiles(images: Tensor, texts: Tensor) -> Tensor:
    return contrastive_loss(SCALE * images, texts, Targets(torch.arange(len(images))))


def _full_matrix(images: Tensor, texts: Tensor) -> Tensor:
    ids = torch.arange(len(images))
    logits, targets = SCALE * images @ texts.T, positives_by_id(ids, ids).float()
    of_images = F.cross_entropy(logits, targets / targets.sum(1, keepdim=True))
    return (of_images + F.cross_entropy(logits.T, targets.T / targets.T.sum(1, keepdim=True))) / 2


def _open_clip(images: Tensor, texts: Tensor) -> Tensor:
    """Returns its local loss with gathered features: own images with all texts, and own texts with all images."""
    labels = torch.arange(len(images))
    of_images = F.cross_entropy(SCALE * images @ texts.T, labels)
    return (of_images + F.cross_entropy(SCALE * texts @ images.T, labels)) / 2


def _sigmoid_in_tiles(images: Tensor, texts: Tensor) -> Tensor:
    return sigmoid_loss(SCALE * images, texts, torch.tensor(BIAS), Targets(torch.arange(len(images))))


def _sigmoid_full_matrix(images: Tensor, texts: Tensor) -> Tensor:
    ids = torch.arange(len(images))
    logits, targets = SCALE * images @ texts.T + BIAS, positives_by_id(ids, ids).float()
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(images)


WAYS: dict[str, dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "contrastive": {OURS: _in_tiles, "full matrix": _full_matrix, "as open_clip": _open_clip},
    "sigmoid": {OURS: _sigmoid_in_tiles, "full matrix": _sigmoid_full_matrix},
}


@dataclass
class Measured:
    """The loss of a batch, CPU seconds of it and its gradients, and bytes at the peak beyond the embeddings."""

    loss: float
    seconds: float
    peak: int


def measured(loss: str, way: str, pairs: int, dim: int) -> Measured:
    """Returns what a batch takes; for a process of its own, because memory that was once taken counts in its peak."""
    generator = torch.Generator().manual_seed(0)
    images = F.normalize(torch.randn(pairs, dim, generator=generator), dim=1)
    texts = F.normalize(COSINE * images + torch.randn(pairs, dim, generator=generator) / dim**0.5, dim=1)
    run = WAYS[loss][way]
    run(images[:64].clone().requires_grad_(), texts[:64]).backward()  # wakes threads
    images.requires_grad_()
    texts.requires_grad_()
    before, seconds, value = resident_memory()[0], [], torch.zeros(())
    for _ in range(3 if pairs <= 8192 else 1):
        images.grad = texts.grad = None
        start = process_time()
        value = run(images, texts)
        value.backward()
        seconds.append(process_time() - start)
    return Measured(value.item(), min(seconds), resident_memory()[1] - before)


def loss_rows(loss: str, sizes: Sequence[int], dim: int) -> list[dict[str, Any]]:
    """Returns a row for each size and way. A full matrix that does not fit into memory is not tried.

    Raises:
        RuntimeError: the losses of two ways differ.
    """
    rows: list[dict[str, Any]] = []
    for pairs in sizes:
        found: dict[str, Measured] = {}
        for way in WAYS[loss]:
            row: dict[str, Any] = {"loss": loss, "pairs": pairs, "way": way, "CPU seconds": "-"}
            row |= {"times the full matrix's": "-", "MB beyond the embeddings": "-"}
            rows.append(row)
            if way != OURS and 4 * MATRICES * pairs**2 > USABLE * available_memory():
                row["MB beyond the embeddings"] = "does not fit"
                continue
            with ProcessPoolExecutor(1, get_context("spawn"), quiet_libraries) as process:
                found[way] = process.submit(measured, loss, way, pairs, dim).result()
            row |= {"CPU seconds": found[way].seconds, "MB beyond the embeddings": found[way].peak / 1e6}
            if abs(found[way].loss - found[OURS].loss) > NEAR * found[OURS].loss:
                raise RuntimeError(f"{way} and {OURS} disagree at {pairs} pairs: {found}")
        for row in rows:
            if row["pairs"] == pairs and row["way"] in found and "full matrix" in found:
                row["times the full matrix's"] = found[row["way"]].seconds / found["full matrix"].seconds
    return rows


def exponent(rows: Sequence[dict[str, Any]], way: str, column: str) -> str:
    """Returns the exponent with which a column grows between the two largest sizes that were measured.

    Example:
        >>> rows = [{"way": "a", "pairs": 10, "s": 1.0}, {"way": "a", "pairs": 20, "s": 4.0}]
        >>> exponent([*rows, {"way": "a", "pairs": 40, "s": "-"}], "a", "s")
        '2.00'
    """
    known = [(row["pairs"], row[column]) for row in rows if row["way"] == way and not isinstance(row[column], str)]
    if len(known) < 2:
        return "-"
    (few, less), (many, more) = known[-2:]
    return f"{log(more / less) / log(many / few):.2f}"


def section(sizes: Sequence[int], sigmoid_sizes: Sequence[int], dim: int) -> Section:
    """Measures each loss in each way at each size."""
    rows = loss_rows("contrastive", sizes, dim)
    grown = "; ".join(
        f"{way}: time {exponent(rows, way, 'CPU seconds')}, memory {exponent(rows, way, 'MB beyond the embeddings')}"
        for way in WAYS["contrastive"]
    )
    rows += loss_rows("sigmoid", sigmoid_sizes, dim)
    return {
        "title": f"Loss and gradients of a batch, {dim} dimensions, one process, {torch.get_num_threads()} threads",
        "settings": {"sizes": list(sizes), "sigmoid_sizes": list(sigmoid_sizes), "dim": dim, "scale": SCALE},
        "rows": rows,
        "note": "Each row is a process of its own. CPU seconds are those of all threads, the best of three up to 8,192 "
        f"pairs. Exponents of growth of the contrastive loss between the two largest sizes: {grown}.",
    }


@dataclass
class LossBenchmarkArguments:
    """What to measure."""

    output: Path = field(default=Path("results/loss_benchmark.json"), metadata={"help": "JSON file."})
    sizes: list[int] = field(
        default_factory=lambda: [2048, 8192, 16_384, 32_768], metadata={"help": "Pairs in a batch, ascending."}
    )
    sigmoid_sizes: list[int] = field(
        default_factory=lambda: [2048, 8192], metadata={"help": "The same for the sigmoid loss."}
    )
    dim: int = field(default=512, metadata={"help": "Dimensions of an embedding."})

    def check(self) -> None:
        """Raises ValueError for what cannot be measured."""
        if self.output.is_dir() or self.output.suffix != ".json":
            raise ValueError(f"{self.output} cannot be written: name a file that ends in .json.")
        if small := [size for size in (*self.sizes, *self.sigmoid_sizes, self.dim) if size < 2]:
            raise ValueError(f"sizes, dim: {small[0]} is too few.")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    (options,) = parse((LossBenchmarkArguments,), arguments)
    try:
        options.check()
    except ValueError as error:
        stop(error)
    found = section(sorted(options.sizes), sorted(options.sigmoid_sizes), options.dim)
    print(table(found))
    write_results(options.output, {"sections": {"loss": found}})
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
