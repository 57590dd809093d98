"""Measure the evaluation of a pool: `python scripts/benchmarks/retrieval.py`; needs sentence-transformers.

This project, sentence-transformers and a full matrix evaluate the same made-up embeddings of the preset's shape. Ratios
are between measures of one run on one machine, and of CPU seconds, which other processes on the machine change least.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, load_npz, save_npz
from torch import Tensor

from processing.evaluation.retrieval import evaluate_pool
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.pair_retrieval.measures import RECALL_AT
from processing.pair_retrieval.ranking import DIRECTIONS
from processing.reporting.results import write_results
from scripts.benchmarks.made_up import PLOT_NGRAMS, POSTER_NGRAMS, unit_rows, with_ngrams
from scripts.benchmarks.measure import Section, kilobytes, table
from scripts.common.command_line import USER_ERRORS, parse, quiet_libraries, stop

Array = np.ndarray[Any, Any]
HitRates = dict[str, list[float]]

DENSE_DIM, NGRAM_DIM = 384, 4096
COSINE = 0.26  # of the dense parts of a poster and its plot: at 50,000 movies most of them come first
CHUNK = 10_000  # answers that sentence-transformers scores at a time: its own 50,000 want more than 20 GB
SIDES = ("posters", "plots")
NEAR = 1e-4  # where a score is rounded to float32, a query in ten thousand may change places


def planted(movies: int, dense_dim: int = DENSE_DIM, ngram_dim: int = NGRAM_DIM) -> tuple[HybridVectors, HybridVectors]:
    """Returns embeddings of posters and plots; the dense parts of a pair have cosine `COSINE`.

    Example:
        >>> posters, plots = planted(3, ngram_dim=0)
        >>> (posters.dense * plots.dense).sum(axis=1).astype(float).round(4).tolist()
        [0.26, 0.26, 0.26]
    """
    posters, noise = (unit_rows(movies, dense_dim, seed) for seed in (0, 1))
    noise -= (noise * posters).sum(axis=1, keepdims=True) * posters
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    plots = COSINE * posters + np.float32((1 - COSINE**2) ** 0.5) * noise
    sides = ((posters, POSTER_NGRAMS, 2), (plots, PLOT_NGRAMS, 3))
    one, other = (with_ngrams(dense, ngram_dim, shares, seed) for dense, shares, seed in sides)
    return one, other


def by_this_project(posters: HybridVectors, plots: HybridVectors) -> HitRates:
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


def dense_part(embeds: HybridVectors) -> HybridVectors:
    """Returns embeddings without their n-grams, L2-normalised."""
    dense = embeds.dense / np.linalg.norm(embeds.dense, axis=1, keepdims=True)
    return HybridVectors(dense, csr_array((len(dense), 0), dtype=np.float32))


OURS, DENSE = "this project", "this project, dense part alone"
SENTENCE, MATRIX = "sentence-transformers", "full matrix"
# Each evaluator, and the form in which it takes embeddings.
EVALUATORS: dict[str, tuple[Callable[[Any, Any], HitRates], Callable[[HybridVectors], Any]]] = {
    OURS: (by_this_project, lambda embeds: embeds),
    DENSE: (by_this_project, dense_part),
    SENTENCE: (by_sentence_transformers, HybridVectors.to_array),
    MATRIX: (by_full_matrix, HybridVectors.to_array),
}


@dataclass
class Measured:
    """What an evaluator needed: seconds, CPU seconds of all threads, peak bytes beyond the embeddings, and found."""

    seconds: float
    cpu_seconds: float
    peak: int
    hit_rates: HitRates


def measured(evaluator: str, folder: Path) -> Measured:
    """Returns what an evaluator needs for the embeddings in a folder; for a process of its own."""
    evaluate, form = EVALUATORS[evaluator]
    sides = [
        form(HybridVectors(np.load(folder / f"{name}.npy"), csr_array(load_npz(folder / f"{name}.npz"))))
        for name in SIDES
    ]
    evaluate(*(side[:8] for side in sides))  # imports its libraries
    before = kilobytes("/proc/self/status", "VmRSS")
    start, cpu_start = perf_counter(), process_time()
    hit_rates = evaluate(*sides)
    seconds, cpu_seconds = perf_counter() - start, process_time() - cpu_start
    return Measured(seconds, cpu_seconds, kilobytes("/proc/self/status", "VmHWM") - before, hit_rates)


def compared(movies: int, found: dict[str, Measured]) -> list[dict[str, Any]]:
    """Returns a row for each evaluator, beside this project.

    Args:
        movies: in the pool.
        found: by evaluator; one of them is this project.

    Raises:
        RuntimeError: hit rates of an evaluator of the same embeddings are more than `NEAR` from those of this project.
    """
    own, rows = found[OURS], []
    for evaluator, need in found.items():
        apart = max(np.abs(np.subtract(need.hit_rates[way], own.hit_rates[way])).max() for way in DIRECTIONS)
        if apart > NEAR and evaluator != DENSE:
            raise RuntimeError(f"{evaluator} and {OURS} disagree at {movies} movies: {need.hit_rates}, {own.hit_rates}")
        shares = zip(RECALL_AT, need.hit_rates[DIRECTIONS[0]], strict=True)
        rows.append(
            {
                "evaluator": evaluator,
                "movies": movies,
                "seconds": need.seconds,
                "CPU seconds": need.cpu_seconds,
                "times our CPU seconds": need.cpu_seconds / own.cpu_seconds,
                "MB beyond the embeddings": need.peak / 1e6,
                **{f"R@{k}, %": 100 * rate for k, rate in shares},
                "R@k apart from ours": "-" if evaluator == DENSE else float(apart),
            }
        )
    return rows


def retrieval(sizes: Sequence[int], sentence_sizes: Sequence[int], matrix_sizes: Sequence[int]) -> Section:
    """Runs each evaluator in a process of its own: this project at all sizes, the others at theirs."""
    rows: list[dict[str, Any]] = []
    for movies in sorted({*sizes, *sentence_sizes, *matrix_sizes}):
        others = {SENTENCE: sentence_sizes, MATRIX: matrix_sizes}
        evaluators = [OURS, DENSE, *(name for name, own in others.items() if movies in own)]
        with TemporaryDirectory() as folder:
            for name, embeds in zip(SIDES, planted(movies), strict=True):
                np.save(Path(folder) / f"{name}.npy", embeds.dense)
                save_npz(Path(folder) / f"{name}.npz", embeds.sparse)
            found = {}
            for evaluator in evaluators:
                with ProcessPoolExecutor(1, get_context("spawn"), quiet_libraries) as process:
                    found[evaluator] = process.submit(measured, evaluator, Path(folder)).result()
        rows += compared(movies, found)
    return {
        "title": "Evaluation of a pool of one poster and one plot a movie, "
        f"{DENSE_DIM} + {NGRAM_DIM:,} dimensions as the preset has them, both directions",
        "settings": {"sizes": [*sizes], "sentence_sizes": [*sentence_sizes], "matrix_sizes": [*matrix_sizes]},
        "rows": rows,
        "note": "CPU seconds are those of all threads together. R@k is that of image-to-text; apart is the largest "
        "difference of any R@k in either direction: the others score in float32, where a near tie may change places. "
        "The others take embeddings as arrays, zeros included, and their memory is beyond these. sentence-transformers "
        f"scores {CHUNK:,} answers at a time.",
    }


@dataclass
class RetrievalArguments:
    """What to measure."""

    output: Path = field(default=Path("results/retrieval_benchmark.json"), metadata={"help": "JSON file."})
    sizes: list[int] = field(default_factory=lambda: [50_000], metadata={"help": "Movies in the pools."})
    sentence_sizes: list[int] = field(
        default_factory=lambda: [10_000, 20_000], metadata={"help": "Also these, with sentence-transformers."}
    )
    matrix_sizes: list[int] = field(
        default_factory=lambda: [10_000], metadata={"help": "Also these, with the full matrix sorted."}
    )

    def check(self) -> str:
        """Returns the version of sentence-transformers; ImportError or ValueError names what is missing or wrong."""
        if self.output.is_dir() or self.output.suffix != ".json":
            raise ValueError(f"{self.output} cannot be written: name a file that ends in .json.")
        if small := [size for size in (*self.sizes, *self.sentence_sizes, *self.matrix_sizes) if size < 10]:
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
        section = retrieval(options.sizes, options.sentence_sizes, options.matrix_sizes)
    except USER_ERRORS as error:
        stop(error)
    results = {"sentence-transformers": other, "sections": {"retrieval": section}}
    print(table(section))
    write_results(options.output, results)
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
