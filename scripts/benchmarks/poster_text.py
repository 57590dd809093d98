"""Measure reading posters: `python scripts/benchmarks/poster_text.py --catalogue FOLDER`. It takes a second a poster.

The quality of a reading is the share of the title's character 3-grams that it holds, without spaces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processing.posterclip.ocr import SIZES, Line, recognize_text
from processing.posterclip.ocr_text import MIN_SCORE
from processing.reporting.results import write_results
from processing.splits.titles import article_first, plain
from scripts.benchmarks.measure import Section, table
from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, stop

Reader = Callable[[Image.Image], list[Line]]

DRAWS = 2000  # of the bootstrap
ENLARGEMENT = 2  # of posters for rapidocr's defaults


@dataclass
class PosterTextBenchmarkArguments:
    """Which posters to read."""

    split: str = field(default="validation", metadata={"help": "The split of the posters."})
    posters: int = field(default=400, metadata={"help": "Posters to read, at most."})
    output: Path = field(default=Path("results/poster_text_benchmark.json"), metadata={"help": "JSON file."})


def rapidocr_defaults() -> Reader:
    """Returns a reader with rapidocr's default settings, in one thread."""
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params={"Global.log_level": "critical", **threads})

    def read(poster: Image.Image) -> list[Line]:
        width, height = poster.size
        found: Any = engine(poster.resize((ENLARGEMENT * width, ENLARGEMENT * height), Image.Resampling.BICUBIC))
        texts = zip(found.txts, found.scores, strict=True) if found.txts else ()
        return [{"text": text, "score": score, "box": None} for text, score in texts]

    return read


def found_share(title: str, lines: Sequence[Line]) -> float:
    """Returns the share of a title's 3-grams that lines hold.

    Example:
        >>> found_share("Moby Dick", [{"text": "MOBYDI", "score": 0.9, "box": None}])
        0.6666666666666666
    """
    wanted = _grams(article_first(title))
    return len(wanted & _grams(" ".join(line["text"] for line in lines if line["score"] >= MIN_SCORE))) / len(wanted)


def measure(posters: Sequence[Image.Image], titles: Sequence[str]) -> Section:
    """Measures ways to read the same posters. They take turns, so that a busy machine slows down all of them."""
    ways: dict[str, Reader] = {f"rapidocr's defaults, enlarged {ENLARGEMENT}x": rapidocr_defaults()}
    for sizes in (SIZES[:1], SIZES):
        name = f"this project, {' and '.join(map(str, sizes))} pixels"
        ways[name] = partial(recognize_text, sizes=sizes)
    for read in ways.values():
        read(posters[0])  # loads the models
    cpu, wall = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    shares: dict[str, list[float]] = {name: [] for name in ways}
    for poster, title in zip(posters, titles, strict=True):
        for name, read in ways.items():
            started = process_time(), perf_counter()
            lines = read(poster)
            cpu[name] += process_time() - started[0]
            wall[name] += perf_counter() - started[1]
            shares[name].append(found_share(title, lines))
    first = next(iter(ways))
    rows = [
        {
            "reader": name,
            "posters a second": len(posters) / wall[name],
            "CPU seconds a poster": cpu[name] / len(posters),
            "times as fast": cpu[first] / cpu[name],
            "title found, %": 100 * float(np.mean(shares[name])),
            "more than the first": _difference(np.subtract(shares[name], shares[first])),
        }
        for name in ways
    ]
    return {
        "title": f"Reading posters: {len(posters):,} posters, their short sides at most "
        f"{max(min(poster.size) for poster in posters)} pixels, one thread",
        "rows": rows,
        "note": "Times as fast compares CPU seconds. Found is the share of the title's 3-grams; differences have the "
        "95 % interval of a paired bootstrap.",
    }


def _grams(text: str) -> set[str]:
    letters = plain(text).replace(" ", "")
    return {letters[place : place + 3] for place in range(max(1, len(letters) - 2))}


def _difference(differences: NDArray[np.float64]) -> str:
    drawn = np.random.default_rng(0).integers(0, len(differences), (DRAWS, len(differences)))
    low, high = np.percentile(differences[drawn].mean(1), (2.5, 97.5))
    return f"{100 * differences.mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    data, options = parse((CatalogueArguments, PosterTextBenchmarkArguments), arguments)
    try:
        movies = data.load().movies([options.split])
        movies = movies.select([row for row, title in enumerate(movies["title"]) if title][: options.posters])
        if not len(movies):
            raise ValueError(f"{options.split}: there are no movies with titles.")
        section = measure([poster.convert("RGB") for poster in movies["image"]], movies["title"][:])
    except USER_ERRORS as error:
        stop(error)
    print(table(section))
    write_results(options.output, {"sections": {"poster_text": section}})
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
