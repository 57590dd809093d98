"""Measure the training engine: `python scripts/benchmarks/training.py --catalogue FOLDER` and the two encoders.

Ratios are between measures of one run on one machine. What is extrapolated says so in its row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset

from processing.catalogue.fingerprints import fingerprint
from processing.reporting.results import write_results
from scripts.benchmarks.frozen_encoders import cache, encoding, field_way
from scripts.benchmarks.measure import Section, Setup, table
from scripts.benchmarks.trained_encoders import gradient_cache, padding, trunk
from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, stop

SECTIONS: dict[str, Callable[[Setup], Section]] = {
    "cache": cache,
    "field": field_way,
    "encoding": encoding,
    "gradient_cache": gradient_cache,
    "trunk": trunk,
    "padding": padding,
}


@dataclass
class BenchmarkArguments:
    """What to measure."""

    vision_model_name_or_path: str = field(metadata={"help": "The poster encoder: a folder or a Hub name."})
    text_model_name_or_path: str = field(metadata={"help": "The plot encoder, likewise."})
    output: Path = field(default=Path("results/benchmark.json"), metadata={"help": "JSON file."})
    sections: list[str] = field(default_factory=lambda: list(SECTIONS), metadata={"help": "All by default."})
    pairs: list[int] = field(
        default_factory=lambda: [32, 128, 512, 1024], metadata={"help": "Batch sizes for the gradient cache."}
    )
    chunk_size: int = field(default=32, metadata={"help": "Pairs in the encoders at a time, likewise."})
    movies: int | None = field(default=None, metadata={"help": "Take so many of the train split, to try it out."})

    def setup(self, movies: Dataset, scratch: str) -> Setup:
        """What the sections need; ValueError for what they cannot have."""
        if unknown := [name for name in self.sections if name not in SECTIONS]:
            raise ValueError(f"sections: there is no {', '.join(unknown)}; there are {', '.join(SECTIONS)}.")
        if self.output.is_dir() or self.output.suffix != ".json":
            raise ValueError(f"{self.output} cannot be written: name a file that ends in .json.")
        if self.movies is not None and not 2 <= self.movies <= len(movies):
            raise ValueError(f"movies: {self.movies} is none of 2..{len(movies)}, the size of the train split.")
        if self.chunk_size < 1:
            raise ValueError(f"chunk_size: {self.chunk_size} is less than a pair.")
        pairs = sorted(set(self.pairs))
        setup = Setup(
            movies,
            self.vision_model_name_or_path,
            self.text_model_name_or_path,
            Path(scratch),
            pairs=pairs,
            chunk_size=self.chunk_size,
        )
        setup.movies = setup.part(self.movies or len(movies))
        if "gradient_cache" in self.sections and not 2 <= setup.pairs[0] <= setup.pairs[-1] <= len(setup.movies):
            raise ValueError(f"pairs: a batch has 2 to {len(setup.movies)} pairs, the movies of the train split.")
        setup.given()
        return setup


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    data, options = parse((CatalogueArguments, BenchmarkArguments), arguments)
    with TemporaryDirectory() as scratch:
        try:
            catalogue = data.load()
            setup = options.setup(catalogue.movies(["train"]), scratch)
            options.output.parent.mkdir(parents=True, exist_ok=True)
        except USER_ERRORS as error:
            stop(error)
        results: dict[str, Any] = {
            "catalogue": catalogue.report(),
            "data_fingerprint": fingerprint(setup.movies),
            "encoders": {"vision": options.vision_model_name_or_path, "text": options.text_model_name_or_path},
            "sections": {},
        }
        for name in [name for name in SECTIONS if name in options.sections]:
            results["sections"][name] = SECTIONS[name](setup)
            print(f"{table(results['sections'][name])}\n")
            write_results(options.output, results)
    print(f"Results are in {options.output}")


if __name__ == "__main__":
    main()
