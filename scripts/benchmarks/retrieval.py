"""Measure the evaluation of a pool: `python scripts/benchmarks/retrieval.py`; needs sentence-transformers.

This project, sentence-transformers and a full matrix evaluate the same made-up embeddings. Ratios are between measures
of one run on one machine.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from processing.evaluation.retrieval import evaluate_pool
from processing.pair_retrieval.measures import RECALL_AT
from processing.pair_retrieval.ranking import DIRECTIONS
from processing.reporting.results import write_results
from scripts.benchmarks.measure import Section, kilobytes, table
from scripts.common.command_line import USER_ERRORS, parse, quiet_libraries, stop

Array = np.ndarray[Any, Any]
HitRates = dict[str, list[float]]

COSINE = 0.35  # of a poster and its plot: at 50,000 movies about a third of them come first
CHUNK = 10_000  # answers that sentence-transformers scores at a time: its own 50,000 want more than 20 GB
NEAR = 1e-4  # where a score is rounded to float32, a query in ten thousand may change places


def planted(movies: int, dim: int = 128, seed: int = 0) -> tuple[Array, Array]:
    """Returns embeddings of posters and plots, (movies, dim) float32, L2-normalised; a pair has cosine `COSINE`.

    Example:
        >>> posters, plots = planted(3)
        >>> (posters * plots).sum(axis=1).astype(float).round(4).tolist()
        [0.35, 0.35, 0.35]
    """
    posters, noise = np.random.default_rng(seed).standard_normal((2, movies, dim))
    posters /= np.linalg.norm(posters, axis=1, keepdims=True)
    noise -= (noise * posters).sum(axis=1, keepdims=True) * posters
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    plots = COSINE * posters + np.sqrt(1 - COSINE**2) * noise
    return posters.astype(np.float32), plots.astype(np.float32)


def by_this_project(posters: Array, plots: Array) -> HitRates:
    """Returns hit rates by exact ranks of one pass."""
    ids = np.arange(len(posters))
    summary = evaluate_pool(posters, plots, ids, ids).summary()
    return {way: [summary[way][f"R@{k}"] for k in RECALL_AT] for way in DIRECTIONS}


class Rows:
    """A stand-in for a model: its texts are numbers of rows that were encoded before."""

    def __init__(self, queries: Array, corpus: Array) -> None:
        self.queries, self.corpus = torch.from_numpy(queries), torch.from_numpy(corpus)

    def encode_query(self, rows: Sequence[str], **_: Any) -> Tensor:
        """Returns embeddings, (rows, dim)."""
        return self.queries[[int(row) for row in rows]]

    def encode_document(self, rows: Sequence[str], **_: Any) -> Tensor:
        """Returns embeddings, (rows, dim)."""
        return self.corpus[[int(row) for row in rows]]


def by_sentence_transformers(posters: Array, plots: Array) -> HitRates:
    """Returns hit rates by `InformationRetrievalEvaluator`, run once in each direction, up to the first ten answers."""
    from sentence_transformers import util
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    rows: dict[str, Any] = {str(row): str(row) for row in range(len(posters))}
    found = {}
    for way, sides in zip(DIRECTIONS, ((posters, plots), (plots, posters)), strict=True):
        evaluator = InformationRetrievalEvaluator(
            rows,
            rows,
            {row: {row} for row in rows},
            accuracy_at_k=list(RECALL_AT),
            precision_recall_at_k=list(RECALL_AT),
            map_at_k=[max(RECALL_AT)],
            corpus_chunk_size=CHUNK,
            score_functions={"dot": util.dot_score},
        )
        scores: Any = evaluator.compute_all_metrics(Rows(*sides))  # type: ignore[arg-type]
        found[way] = [scores["dot"]["accuracy@k"][k] for k in RECALL_AT]
    return found


def by_full_matrix(posters: Array, plots: Array) -> HitRates:
    """Returns hit rates by a full float32 matrix and a sort of all answers of each query, in each direction."""
    scores = posters @ plots.T
    found = {}
    for way, of in zip(DIRECTIONS, (scores, scores.T), strict=True):
        order = np.argsort(-of, axis=1)
        ranks = 1 + (order == np.arange(len(of))[:, None]).argmax(axis=1)
        found[way] = [float(np.mean(ranks <= k)) for k in RECALL_AT]
    return found


OURS = "this project"
EVALUATORS: dict[str, Callable[[Array, Array], HitRates]] = {
    OURS: by_this_project,
    "sentence-transformers": by_sentence_transformers,
    "full matrix": by_full_matrix,
}


def measured(evaluator: str, folder: Path) -> tuple[float, int, HitRates]:
    """Returns seconds, peak bytes beyond those with the embeddings loaded, and hit rates; for a process of its own."""
    posters, plots = np.load(folder / "posters.npy"), np.load(folder / "plots.npy")
    EVALUATORS[evaluator](posters[:8], plots[:8])  # imports its libraries
    before = kilobytes("/proc/self/status", "VmRSS")
    start = perf_counter()
    hit_rates = EVALUATORS[evaluator](posters, plots)
    seconds = perf_counter() - start
    return seconds, kilobytes("/proc/self/status", "VmHWM") - before, hit_rates


def compared(movies: int, found: dict[str, tuple[float, int, HitRates]]) -> list[dict[str, Any]]:
    """Returns a row for each evaluator, beside this project.

    Args:
        movies: in the pool.
        found: what `measured` returns, by evaluator; one of them is this project.

    Raises:
        RuntimeError: hit rates of an evaluator are more than `NEAR` from those of this project.
    """
    own, rows = found[OURS], []
    for evaluator, (seconds, peak, hit_rates) in found.items():
        apart = max(np.abs(np.subtract(hit_rates[way], own[2][way])).max() for way in DIRECTIONS)
        if apart > NEAR:
            raise RuntimeError(f"{evaluator} and {OURS} disagree at {movies} movies: {hit_rates}, {own[2]}")
        rows.append(
            {
                "evaluator": evaluator,
                "movies": movies,
                "seconds": seconds,
                "times our seconds": seconds / own[0],
                "MB beyond the embeddings": peak / 1e6,
                **{f"R@{k}, %": 100 * rate for k, rate in zip(RECALL_AT, hit_rates[DIRECTIONS[0]], strict=True)},
                "R@k apart from ours": float(apart),
            }
        )
    return rows


def retrieval(sizes: Sequence[int], matrix_sizes: Sequence[int]) -> Section:
    """Runs each evaluator in a process of its own: at `sizes` all but the full matrix, at `matrix_sizes` all."""
    rows: list[dict[str, Any]] = []
    for movies in sorted({*sizes, *matrix_sizes}):
        evaluators = [name for name in EVALUATORS if name != "full matrix" or movies in matrix_sizes]
        with TemporaryDirectory() as folder:
            for name, embeds in zip(("posters", "plots"), planted(movies), strict=True):
                np.save(Path(folder) / f"{name}.npy", embeds)
            found = {}
            for evaluator in evaluators:
                with ProcessPoolExecutor(1, get_context("spawn"), quiet_libraries) as process:
                    found[evaluator] = process.submit(measured, evaluator, Path(folder)).result()
        rows += compared(movies, found)
    return {
        "title": "Evaluation of a pool of one poster and one plot a movie, 128 dimensions, both directions",
        "settings": {"sizes": list(sizes), "matrix_sizes": list(matrix_sizes), "cosine": COSINE},
        "rows": rows,
        "note": "R@k is that of image-to-text; apart is the largest difference of any R@k in either direction: the "
        "others score in float32, where a near tie may change places. sentence-transformers scores "
        f"{CHUNK:,} answers at a time.",
    }


@dataclass
class RetrievalArguments:
    """What to measure."""

    output: Path = field(default=Path("results/retrieval_benchmark.json"), metadata={"help": "JSON file."})
    sizes: list[int] = field(default_factory=lambda: [50_000], metadata={"help": "Movies in the pools."})
    matrix_sizes: list[int] = field(
        default_factory=lambda: [10_000, 20_000], metadata={"help": "Also these, with the full matrix sorted."}
    )

    def check(self) -> str:
        """Returns the version of sentence-transformers; ImportError or ValueError names what is missing or wrong."""
        if self.output.is_dir() or self.output.suffix != ".json":
            raise ValueError(f"{self.output} cannot be written: name a file that ends in .json.")
        if small := [size for size in (*self.sizes, *self.matrix_sizes) if size < 10]:
            raise ValueError(f"sizes: {small[0]} movies are too few, the metrics want 10.")
        try:
            return version("sentence-transformers")
        except PackageNotFoundError:
            raise ImportError("sentence-transformers is missing: pip install 'sentence-transformers>=6,<7'") from None


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    (options,) = parse((RetrievalArguments,), arguments)
    try:
        other = options.check()
        section = retrieval(options.sizes, options.matrix_sizes)
    except USER_ERRORS as error:
        stop(error)
    results = {"sentence-transformers": other, "sections": {"retrieval": section}}
    print(table(section))
    write_results(options.output, results)
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
