"""Measure how fast pools are judged: `python scripts/benchmark_retrieval.py`; needs sentence-transformers.

Embeddings are synthetic. Ratios are between measures of one run on one machine.
"""

from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from processing.reporting.results import write_results
from scripts.benchmarks.measure_retrieval import retrieval
from scripts.benchmarks.training import table
from scripts.common.command_line import USER_ERRORS, parse, quiet_libraries, stop


@dataclass
class RetrievalArguments:
    """What to measure."""

    output: Path = field(default=Path("results/retrieval_benchmark.json"), metadata={"help": "JSON file."})
    sizes: list[int] = field(default_factory=lambda: [50_000], metadata={"help": "Movies in the pools."})
    matrix_sizes: list[int] = field(
        default_factory=lambda: [10_000, 20_000], metadata={"help": "Also these, with the full matrix sorted."}
    )

    def check(self) -> str:
        """The version of sentence-transformers; ImportError or ValueError, naming it, for what is missing or wrong."""
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
