"""Measure `scripts/match.py` as a whole: `python scripts/benchmarks/matching.py MODEL --catalogue movies`.

The table begins with the movies of the catalogue that have a title and text on the poster. The others are made up: the
first half of one title and the second half of another, a plot of a third movie, and on the poster the text of the first
with the made-up title in place of its largest line. All pictures are made up, small and different. The text on them is
given, so nothing is read by OCR.
"""

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
from PIL import Image

from processing.catalogue.ocr_lines import read_poster_text
from processing.catalogue.one_side import read_movies
from processing.reporting.results import read_results, write_results
from scripts.benchmarks.measure import Section, kilobytes, table
from scripts.common.command_line import USER_ERRORS, parse, quiet_libraries, stop

COMMAND = Path(__file__).parents[1] / "match.py"
COLUMNS = ("id", "title", "year", "plot")
PICTURE_SIZE = (120, 180)  # pixels
EVERY = 0.2  # seconds between two looks at the memory of the command


@dataclass
class MatchBenchmarkArguments:
    """How much to match."""

    catalogue: str = field(metadata={"help": "A folder with a table of movies and poster_text.jsonl."})
    posters: int = field(default=10_000, metadata={"help": "Posters, each of another movie of the table."})
    movies: int = field(default=50_000, metadata={"help": "Movies of the table."})
    output: Path = field(default=Path("results/match_benchmark.json"), metadata={"help": "JSON file."})

    def check(self) -> None:
        """Raises ValueError for what cannot be measured."""
        if self.output.is_dir() or self.output.suffix != ".json":
            raise ValueError(f"{self.output} cannot be written: name a file that ends in .json.")
        if not 1 <= self.posters <= self.movies:
            raise ValueError(f"posters, movies: {self.posters} posters of {self.movies} movies cannot be made.")


def read_real(source: str) -> list[dict[str, Any]]:
    """Returns the movies of a catalogue that have a title, a plot and text on their poster, each with its `lines`."""
    movies = read_movies(source).rows
    lines = read_poster_text(Path(source)).join([(number, "") for number in movies["id"][:]])
    rows = [{**movie, "lines": found} for movie, found in zip(movies, lines, strict=True)]
    return [row for row in rows if row["title"] and row["plots"] and row["lines"]]


def make_movies(real: Sequence[dict[str, Any]], count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Returns so many movies, the real ones first.

    Example:
        >>> lines = [{"text": "MOBY DICK", "score": 1.0, "box": [0, 0, 1, 1]}]
        >>> one = {"title": "Moby Dick", "year": 1956, "plots": ["A whale."], "lines": lines}
        >>> made = make_movies([one], 2)
        >>> made[1]["id"], made[1]["title"], made[1]["lines"][0]["text"]
        ('2', 'Moby Dick', 'MOBY DICK')
    """
    draw = random.Random(seed)
    found = [{**movie, "plot": movie["plots"][0]} for movie in real[:count]]
    for _ in range(count - len(found)):
        one, other, third = (draw.choice(real) for _ in range(3))
        first, last = one["title"].split(), other["title"].split()
        title = " ".join([*first[: (len(first) + 1) // 2], *last[len(last) // 2 :]])
        largest = max(one["lines"], key=_height)
        lines = [{**line, "text": title.upper()} if line is largest else line for line in one["lines"]]
        found.append({**one, "title": title, "plot": third["plots"][0], "lines": lines})
    return [{**movie, "id": str(number)} for number, movie in enumerate(found, 1)]


def _height(line: dict[str, Any]) -> float:
    return line["box"][3] - line["box"][1] if line["box"] else 0.0


def write_job(folder: Path, movies: Sequence[dict[str, Any]], posters: int, seed: int = 0) -> None:
    """Writes what a user brings: `movies.csv`, and in `scans` so many posters with the text on them."""
    with open(folder / "movies.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        rows.writeheader()
        rows.writerows(movies)
    (folder / "scans").mkdir()
    pixels, texts = np.random.default_rng(seed), []
    for movie in random.Random(seed).sample(movies, posters):
        small = pixels.integers(0, 256, (6, 4, 3), np.uint8)
        Image.fromarray(small).resize(PICTURE_SIZE).save(folder / "scans" / f"{movie['id']}.jpg")
        texts.append(json.dumps({"file_name": f"{movie['id']}.jpg", "lines": movie["lines"]}))
    (folder / "scans" / "poster_text.jsonl").write_text("\n".join(texts), encoding="utf-8")


def run(model: str, folder: Path, output: Path) -> dict[str, Any]:
    """Runs the command with the caches of the folder; returns its seconds and the peak of its memory."""
    words = [sys.executable, str(COMMAND), model, "--posters", str(folder / "scans")]
    words += ["--movies", str(folder / "movies.csv"), "--output", str(output)]
    environment = {**os.environ, "HF_HOME": str(folder / "cache")}
    before, start, peak = os.times(), perf_counter(), 0
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            peak = max(peak, kilobytes(f"/proc/{process.pid}/status", "VmHWM"))
        except (KeyError, OSError):  # it is just ending
            pass
        sleep(EVERY)
    after = os.times()
    if process.returncode:
        raise RuntimeError(f"scripts/match.py ended with {process.returncode}.")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": perf_counter() - start, "CPU seconds": cpu, "peak memory, MB": round(peak / 1e6)}


def measure(model: str, options: MatchBenchmarkArguments) -> Section:
    """Measures a match with empty caches, and the same again."""
    rows, real = [], read_real(options.catalogue)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_job(folder, make_movies(real, options.movies), options.posters)
        for name in ("nothing is cached", "features are cached"):
            found = run(model, folder, folder / "matches")
            rows.append({"run": name, **found, "posters per second": options.posters / found["seconds"]})
        with open(folder / "matches" / "matches.csv", encoding="utf-8-sig", newline="") as file:
            right = sum(Path(row["poster"]).stem == row["id"] for row in csv.DictReader(file))
        counts = read_results(folder / "matches" / "summary.json")["counts"]["statuses"]
        page = (folder / "matches" / "review.html").stat().st_size
    return {
        "title": f"scripts/match.py: {options.posters:,} posters with given text, {options.movies:,} movies",
        "rows": rows,
        "note": f"{min(len(real), options.movies):,} of the movies are real, the others and all pictures are made up. "
        f"{100 * right / options.posters:.1f} % of the posters got their movie; "
        + ", ".join(f"{count:,} {status}" for status, count in counts.items())
        + f". The review page has {page / 1e6:.0f} MB.",
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    options, rest = parse((MatchBenchmarkArguments,), arguments, positional="model", description=__doc__)
    try:
        options.check()
        section = measure(rest.model, options)
    except USER_ERRORS as error:
        stop(error)
    print(table(section))
    write_results(options.output, {"sections": {"match": section}})
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
