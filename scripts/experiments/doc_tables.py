"""Fill the tables of README.md and docs/ from the files in results/.

    python scripts/experiments/doc_tables.py

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from processing.reporting.matching_tables import confidence_rows, matched_rows
from processing.reporting.results import read_evaluations
from processing.reporting.tables import (
    ablation_rows,
    format_table,
    known_rows,
    leak_rows,
    legacy_protocol_rows,
    one_to_one_rows,
    pool_rows,
    pool_size_rows,
    recall_rows,
)
from scripts.benchmarks.measure import tables as benchmark_tables
from scripts.experiments.ablations import result_files
from scripts.experiments.title_share import share_rows

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
PLACE = re.compile(r"<!-- table: ([\w ]+) -->\n.*?<!-- end -->", re.DOTALL)


def _load(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _benchmark(name: str) -> str:
    return benchmark_tables(_load(name))


def _found() -> str:
    """Returns the table of what is found, by what is known of a movie."""
    *rows, chance = known_rows(_load("ablations/titles")["known"])
    _, picture = recall_rows("", {"one plot, by the picture alone": _load("ablations/image")["metrics"]})
    return format_table([*rows, picture, chance])


TABLES: dict[str, Callable[[], str]] = {
    "found": _found,
    "matched": lambda: format_table(matched_rows(_load("ablations/titles")["matching"])),
    "confidence": lambda: format_table(confidence_rows(_load("ablations/titles")["matching"])),
    "demo": lambda: format_table(pool_rows(_load("demo")["metrics"])),
    "legacy": lambda: format_table(legacy_protocol_rows(_load("ablations/seed")["legacy_protocol"])),
    "seed pool": lambda: format_table(pool_rows(_load("ablations/seed")["metrics"])),
    "leaks": lambda: format_table(leak_rows(_load("leaks"))),
    "title share": lambda: format_table(share_rows(_load("title_share")["means"])),
    "ablations": lambda: format_table(ablation_rows(read_evaluations(result_files(RESULTS / "ablations")))),
    "pool sizes": lambda: format_table(pool_size_rows(_load("ablations/best")["pool_sizes"])),
    "one to one": lambda: format_table(one_to_one_rows(_load("ablations/best")["one_to_one"])),
    **{
        name: partial(_benchmark, name)
        for name in (
            "benchmark",
            "gradient_cache",
            "poster_text_benchmark",
            "retrieval_benchmark",
            "search_benchmark",
            "match_benchmark",
            "loss_benchmark",
            "step_benchmark",
        )
    },
}


def pages() -> list[Path]:
    """Returns the pages that hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fill(page: str) -> str:
    """Returns a page with its tables made anew.

    Raises:
        ValueError: there is no table of a name.
    """

    def table_of(place: re.Match[str]) -> str:
        name = place[1]
        if name not in TABLES:
            raise ValueError(f"There is no table {name!r}; there are {', '.join(TABLES)}.")
        return f"<!-- table: {name} -->\n\n{TABLES[name]()}\n\n<!-- end -->"

    return PLACE.sub(table_of, page)


def main() -> None:
    """Fill the tables of every page."""
    for page in pages():
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
