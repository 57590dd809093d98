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

from processing.pair_retrieval.ranking import DIRECTIONS
from processing.reporting.results import read_evaluations
from processing.reporting.tables import (
    ablation_rows,
    format_table,
    leak_rows,
    legacy_protocol_rows,
    one_to_one_rows,
    pool_rows,
    pool_size_rows,
)
from scripts.benchmarks.measure import tables as benchmark_tables
from scripts.experiments.ablations import result_files

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
WAYS = ("poster to movie", "movie to poster")
PLACE = re.compile(r"<!-- table: ([\w ]+) -->\n.*?<!-- end -->", re.DOTALL)


def _load(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _benchmark(name: str) -> str:
    return benchmark_tables(_load(name))


def _found() -> str:
    """Returns the table of what is found, by what is known of a movie."""
    matching, picture = _load("matching")["matching"], _load("ablations/image")["metrics"]
    kinds = {
        "titles and plots, both stages": matching["titles=use, plots=all"]["both_stages"],
        "titles and plots, first stage": matching["titles=use, plots=all"]["first_stage"],
        "titles hidden: two plots": matching["titles=hide, plots=all"]["first_stage"],
        "titles hidden: one plot": matching["titles=hide, plots=one"]["first_stage"],
        "titles hidden: one plot, by the picture alone": picture,
    }
    rows = [["a movie is known by", *(f"{name} {way}" for name in ("R@1", "R@10") for way in WAYS)]]
    for kind, metrics in kinds.items():
        cells = [
            f"{100 * metrics[way][name]:.1f} ({100 * low:.1f}-{100 * high:.1f})"
            for name in ("R@1", "R@10")
            for way in DIRECTIONS
            for low, high in [metrics["intervals"][way][name]]
        ]
        rows.append([kind, *cells])
    rows.append(["chance", *(f"{100 * picture['chance'][way][k]:.1f}" for k in ("R@1", "R@10") for way in DIRECTIONS)])
    return format_table(rows)


def _confidence() -> str:
    """Returns the table of what is accepted, and how much of that is right."""
    found = _load("matching")["matching"]["titles=use, plots=all"]
    tables = {
        "every movie is in the table": "complete_table",
        "half of the movies are missing": "half_of_the_table",
        "one to one, every movie is in the table": "one_to_one",
    }
    heading = ["titles and plots known; precision asked", "posters accepted, %", "of these right, %"]
    rows = [[*heading, "of the absent accepted, %", "calibration error"]]
    for name, table in tables.items():
        for asked, accepted in found[table]["accepted"].items():
            shares = [accepted[kind] for kind in ("posters", "precision", "absent_accepted")]
            cells = ["-" if of["share"] is None else f"{100 * of['share']:.1f}" for of in shares]
            rows.append([f"{name}; {float(asked):.0%}", *cells, f"{found[table]['calibration']['error']:.4f}"])
    return format_table(rows)


TABLES: dict[str, Callable[[], str]] = {
    "found": _found,
    "confidence": _confidence,
    "demo": lambda: format_table(pool_rows(_load("demo")["metrics"])),
    "legacy": lambda: format_table(legacy_protocol_rows(_load("ablations/seed")["legacy_protocol"])),
    "seed pool": lambda: format_table(pool_rows(_load("ablations/seed")["metrics"])),
    "leaks": lambda: format_table(leak_rows(_load("leaks"))),
    "ablations": lambda: format_table(ablation_rows(read_evaluations(result_files(RESULTS / "ablations")))),
    "pool sizes": lambda: format_table(pool_size_rows(_load("ablations/best")["pool_sizes"])),
    "one to one": lambda: format_table(one_to_one_rows(_load("ablations/best")["one_to_one"])),
    **{
        name: partial(_benchmark, name)
        for name in ("benchmark", "gradient_cache", "retrieval_benchmark", "search_benchmark")
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
