"""Measure search: `python scripts/benchmark_search.py --rows 1000000`. Nothing but memory and time is needed.

Ratios are between measures of one run on one machine; what is searched is described in scripts/measure_search.py.
"""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from processing.reporting.results import write_results
from scripts.benchmarks.measure_search import MADE_AT_ONCE, search
from scripts.benchmarks.training import table
from scripts.common.command_line import parse, quiet_libraries, stop


@dataclass
class SearchBenchmarkArguments:
    """How much to search."""

    rows: int = field(default=1_000_000, metadata={"help": "Plots."})
    queries: int = field(default=256, metadata={"help": "Posters that are sought for."})
    dense: int = field(default=384, metadata={"help": "Numbers of a meaning."})
    sparse: int = field(default=4096, metadata={"help": "Places of a bag of characters; 0 for none."})
    seed: int = field(default=0, metadata={"help": "Of the made-up embeddings."})
    output: Path = field(default=Path("results/search_benchmark.json"), metadata={"help": "JSON file."})

    def check(self) -> None:
        """ValueError for what cannot be measured."""
        if self.output.is_dir() or self.output.suffix != ".json":
            raise ValueError(f"{self.output} cannot be written: name a file that ends in .json.")
        if not 2 <= self.queries <= min(self.rows, MADE_AT_ONCE):
            raise ValueError(f"queries: {self.queries} is none of 2..{min(self.rows, MADE_AT_ONCE)}.")
        if self.dense < 1 or self.sparse < 0:
            raise ValueError(f"dense, sparse: no embedding has {self.dense} + {self.sparse} numbers.")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    (options,) = parse((SearchBenchmarkArguments,), arguments)
    try:
        options.check()
        section = search(options.rows, options.queries, options.dense, options.sparse, options.seed)
    except (ImportError, ValueError) as error:
        stop(error)
    print(table(section))
    write_results(options.output, {"faiss": version("faiss-cpu"), "sections": {"search": section}})
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
