"""Measure search: `python scripts/benchmarks/search.py --rows 100000`. Nothing but memory and time is needed.

The embeddings are made up (`scripts/benchmarks/made_up.py`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.reporting.results import write_results
from processing.search.searcher import Searcher
from scripts.benchmarks.made_up import PLOT_NGRAMS, POSTER_NGRAMS, unit_rows, with_ngrams
from scripts.benchmarks.measure import Section, resident_memory, table
from scripts.common.command_line import parse, quiet_libraries, stop

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
    rows = with_ngrams(unit_rows(options.rows, sizes[0], seed=0), sizes[1], PLOT_NGRAMS, seed=2)
    queries = with_ngrams(unit_rows(options.queries, sizes[0], seed=1), sizes[1], POSTER_NGRAMS, seed=3)
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
