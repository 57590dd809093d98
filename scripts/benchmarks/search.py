"""Measure search: `python scripts/benchmarks/search.py --rows 100000`. Nothing but memory and time is needed.

The embeddings are made up: a random dense part, and character n-grams with as many numbers that are not zero as those
of real plots and posters, in columns whose frequencies fall as Zipf's law has them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.reporting.results import write_results
from processing.search.searcher import Searcher
from scripts.benchmarks.measure import Section, resident_memory, table
from scripts.common.command_line import parse, quiet_libraries, stop

NGRAM_NORM = 1.2  # beside a dense part of norm 1, as in the preset
PLOT_NGRAMS, POSTER_NGRAMS = 130, 50  # numbers that are not zero
DENSE_BLOCK = 2048  # rows that the plain scan makes dense at a time
K = 10


@dataclass
class SearchBenchmarkArguments:
    """How much to search in."""

    rows: int = field(default=100_000, metadata={"help": "Plots."})
    queries: int = field(default=64, metadata={"help": "Posters to search for."})
    dense_dim: int = field(default=384, metadata={"help": "Numbers of the dense part."})
    ngram_dim: int = field(default=4096, metadata={"help": "Numbers of the n-gram part; 0 for none."})
    output: Path = field(default=Path("results/search_benchmark.json"), metadata={"help": "JSON file."})

    def check(self) -> None:
        """Raises ValueError for what cannot be measured."""
        if self.output.is_dir() or self.output.suffix != ".json":
            raise ValueError(f"{self.output} cannot be written: name a file that ends in .json.")
        if self.rows < K or self.queries < 1:
            raise ValueError(f"rows, queries: at least {K} plots and one poster are needed.")
        if self.dense_dim < 1 or self.ngram_dim < 0:
            raise ValueError(f"dense_dim, ngram_dim: no embedding has {self.dense_dim} + {self.ngram_dim} numbers.")


def made_up(count: int, dense_dim: int, ngram_dim: int, ngrams: int, seed: int) -> HybridVectors:
    """Returns made-up embeddings of norm 1 with up to `ngrams` numbers in the n-gram part.

    Example:
        >>> embeds = made_up(5, dense_dim=16, ngram_dim=64, ngrams=8, seed=0)
        >>> bool(np.allclose(np.linalg.norm(embeds.to_array(), axis=1), 1, atol=1e-5))
        True
    """
    random = np.random.default_rng(seed)
    dense = random.standard_normal((count, dense_dim), dtype=np.float32)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    if not ngram_dim:
        return HybridVectors(dense, csr_array((count, 0), dtype=np.float32))
    frequencies = 1 / np.arange(1, ngram_dim + 1)
    columns = random.choice(ngram_dim, size=count * ngrams, p=frequencies / frequencies.sum())
    values = random.choice([-1.0, 1.0], size=count * ngrams).astype(np.float32)
    sparse = csr_array((values, columns, np.arange(count + 1) * ngrams), shape=(count, ngram_dim))
    sparse.sum_duplicates()
    sparse.data[:] = np.sign(sparse.data) + 0.5  # no zeros
    norms = np.sqrt(sparse.multiply(sparse).sum(axis=1))
    sparse.data *= np.repeat((NGRAM_NORM / norms).astype(np.float32), np.diff(sparse.indptr))
    whole = np.float32((1 + NGRAM_NORM**2) ** 0.5)
    return HybridVectors(dense / whole, (sparse / whole).astype(np.float32))


def dense_scan(queries: HybridVectors, rows: HybridVectors) -> NDArray[np.int64]:
    """Returns the best rows of each query, (queries, K), by a float32 product with all numbers, zeros included."""
    left = queries.to_array()
    scores = np.hstack(
        [left @ rows[start : start + DENSE_BLOCK].to_array().T for start in range(0, len(rows), DENSE_BLOCK)]
    )
    best = np.argpartition(scores, -K, axis=1)[:, -K:]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1), axis=1)


def measure(options: SearchBenchmarkArguments) -> Section:
    """Measures exact search of the same posters in the same plots, one query at a time and all at once."""
    sizes = options.dense_dim, options.ngram_dim
    rows = made_up(options.rows, *sizes, PLOT_NGRAMS, seed=0)
    queries = made_up(options.queries, *sizes, POSTER_NGRAMS, seed=1)
    start = perf_counter()
    searcher = Searcher(rows)
    opening, memory = perf_counter() - start, resident_memory()[0]
    ways = {
        "NumPy, all numbers": lambda some: dense_scan(some, rows),
        "Searcher": lambda some: searcher.search(some, K)[0],
    }
    found = []
    for size in sorted({1, options.queries}):
        few = queries[: max(size, options.queries // 16)]
        for name, way in ways.items():
            way(few[:1])  # wakes threads and caches
            start = perf_counter()
            for at in range(0, len(few), size):
                way(few[at : at + size])
            milliseconds = 1e3 * (perf_counter() - start) / len(few)
            found.append({"search": name, "queries at a time": size, "ms a query": milliseconds})
    kept = [rows.dense, rows.sparse.data, rows.sparse.indices, rows.sparse.indptr]
    megabytes = round(sum(part.nbytes for part in kept) / 1e6)
    return {
        "title": f"Search: posters in {len(rows):,} plots, {sizes[0]} + {sizes[1]:,} numbers each, made up",
        "rows": found,
        "note": f"Both are exact. The searcher opened in {opening:.1f} s. The embeddings take {megabytes:,} MB, "
        f"the process {round(memory / 1e6):,} MB.",
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    (options,) = parse((SearchBenchmarkArguments,), arguments)
    try:
        options.check()
    except ValueError as error:
        stop(error)
    section = measure(options)
    print(table(section))
    write_results(options.output, {"sections": {"search": section}})
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
