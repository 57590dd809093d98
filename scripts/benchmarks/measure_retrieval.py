"""How fast a pool is judged, and in how much memory: this project against others on the same embeddings."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
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
from scripts.benchmarks.measure import Section, kilobytes
from scripts.common.command_line import quiet_libraries

Array = np.ndarray[Any, Any]
HitRates = dict[str, list[float]]

COSINE = 0.35  # of a poster and its plot: at 50,000 movies about a third of them come first
CHUNK = 10_000  # answers that sentence-transformers scores at a time: its own 50,000 want more than 20 GB
NEAR = 1e-4  # where a score is rounded to float32, a query in ten thousand may change places


def planted(movies: int, dim: int = 128, seed: int = 0) -> tuple[Array, Array]:
    """Embeddings of posters and plots, (movies, dim) float32 and L2-normalised; those of a movie have cosine `COSINE`.

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
    """Exact ranks of one pass, and all metrics made of them."""
    ids = np.arange(len(posters))
    summary = evaluate_pool(posters, plots, ids, ids).summary()
    return {way: [summary[way][f"R@{k}"] for k in RECALL_AT] for way in DIRECTIONS}


class Rows:
    """Stands in for a model that encodes: its texts are numbers of rows that were encoded before."""

    def __init__(self, queries: Array, corpus: Array) -> None:
        self.queries, self.corpus = torch.from_numpy(queries), torch.from_numpy(corpus)

    def encode_query(self, rows: Sequence[str], **_: Any) -> Tensor:
        """(rows, dim)."""
        return self.queries[[int(row) for row in rows]]

    def encode_document(self, rows: Sequence[str], **_: Any) -> Tensor:
        """(rows, dim)."""
        return self.corpus[[int(row) for row in rows]]


def by_sentence_transformers(posters: Array, plots: Array) -> HitRates:
    """`InformationRetrievalEvaluator`, once each way; nothing is asked of it beyond the first ten answers."""
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
    """All scores as one matrix in float32, and all answers of each query sorted, once each way."""
    scores = posters @ plots.T
    found = {}
    for way, of in zip(DIRECTIONS, (scores, scores.T), strict=True):
        order = np.argsort(-of, axis=1)
        ranks = 1 + (order == np.arange(len(of))[:, None]).argmax(axis=1)
        found[way] = [float(np.mean(ranks <= k)) for k in RECALL_AT]
    return found


OURS = "this project"
JUDGES: dict[str, Callable[[Array, Array], HitRates]] = {
    OURS: by_this_project,
    "sentence-transformers": by_sentence_transformers,
    "full matrix": by_full_matrix,
}


def measured(judge: str, folder: Path) -> tuple[float, int, HitRates]:
    """Seconds, and bytes at the peak beyond what was there with the embeddings, for a process of its own."""
    posters, plots = np.load(folder / "posters.npy"), np.load(folder / "plots.npy")
    JUDGES[judge](posters[:8], plots[:8])  # imports its libraries
    before = kilobytes("/proc/self/status", "VmRSS")
    start = perf_counter()
    hit_rates = JUDGES[judge](posters, plots)
    seconds = perf_counter() - start
    return seconds, kilobytes("/proc/self/status", "VmHWM") - before, hit_rates


def retrieval(sizes: Sequence[int], matrix_sizes: Sequence[int]) -> Section:
    """Each judge in a fresh process: at `sizes` those that can bear them, at `matrix_sizes` all.

    Raises:
        RuntimeError: two judges' hit-rates on the same embeddings are more than `NEAR` apart.
    """
    rows: list[dict[str, Any]] = []
    for movies in sorted({*sizes, *matrix_sizes}):
        judges = [name for name in JUDGES if name != "full matrix" or movies in matrix_sizes]
        with TemporaryDirectory() as folder:
            for name, embeds in zip(("posters", "plots"), planted(movies), strict=True):
                np.save(Path(folder) / f"{name}.npy", embeds)
            found = {}
            for judge in judges:
                with ProcessPoolExecutor(1, get_context("spawn"), quiet_libraries) as process:
                    found[judge] = process.submit(measured, judge, Path(folder)).result()
        own = found[OURS]
        for judge, (seconds, peak, hit_rates) in found.items():
            apart = max(np.abs(np.subtract(hit_rates[way], own[2][way])).max() for way in DIRECTIONS)
            if apart > NEAR:
                raise RuntimeError(f"{judge} and {OURS} disagree at {movies} movies: {hit_rates}, {own[2]}")
            rows.append(
                {
                    "judge": judge,
                    "movies": movies,
                    "seconds": seconds,
                    "times our seconds": seconds / own[0],
                    "MB beyond the embeddings": peak / 1e6,
                    **{f"R@{k}, %": 100 * rate for k, rate in zip(RECALL_AT, hit_rates[DIRECTIONS[0]], strict=True)},
                    "R@k apart from ours": float(apart),
                }
            )
    return {
        "title": "Judging a pool of one poster and one plot a movie, 128 dimensions, both directions",
        "settings": {"sizes": list(sizes), "matrix_sizes": list(matrix_sizes), "cosine": COSINE},
        "rows": rows,
        "note": "R@k is that of image-to-text; apart is the largest difference of any R@k in either direction: the "
        "others score in float32, where a near tie may change places. sentence-transformers scores "
        f"{CHUNK:,} answers at a time.",
    }
