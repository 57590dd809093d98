"""Measure what matching reaches on a split: `python scripts/experiments/matching.py MODEL --catalogue FOLDER`.

The model has a second stage (`matcher.json`), as every model with poster text that `scripts/train.py` trained.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.reporting.results import write_results
from scripts.common.command_line import (
    FEATURE_CACHE,
    USER_ERRORS,
    CatalogueArguments,
    parse,
    quiet_libraries,
    read_posters,
    stop,
)
from scripts.common.evaluation.matcher_evaluation import evaluate_matcher
from scripts.common.matching.matcher import Matcher


@dataclass
class MatchingArguments:
    """The pool, and where the results go."""

    output: Path = field(default=Path("results/matching.json"), metadata={"help": "File of the results."})
    split: str = field(default="test", metadata={"help": "The split that is the pool."})
    feature_cache: str = field(
        default=FEATURE_CACHE, metadata={"help": "Folder of features to read and fill, or none."}
    )


def main(arguments: list[str] | None = None) -> None:
    """Measures, writes the results and prints a table of them."""
    quiet_libraries()
    data, options, rest = parse((CatalogueArguments, MatchingArguments), arguments, positional="model")
    try:
        matcher = Matcher.from_pretrained(rest.model)
        matcher.cache = options.feature_cache
        catalogue = read_posters(data.load(), matcher.processor, data.ocr_language)
        movies = catalogue.movies([options.split])
        results = evaluate_matcher(matcher, movies)
        about = {"model": Path(rest.model).name, "split": options.split, "movies": len(movies)}
        about |= {"plot_columns": data.plot_columns, "calibration": matcher.calibration}
        write_results(options.output, {**about, "matching": results})
    except USER_ERRORS as error:
        stop(error)
    for name, result in results.items():
        print(name, *_lines(result), sep="\n  ")


def _lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for stage in ("first_stage", "both_stages"):
        if stage in result:
            ways = [result[stage][way] for way in ("image_to_text", "text_to_image")]
            lines.append(
                f"{stage}: " + ", ".join(f"R@{k} {ways[0][f'R@{k}']:.1%} / {ways[1][f'R@{k}']:.1%}" for k in (1, 10))
            )
    if "one_to_one" in result:
        lines.append(f"one to one: {result['one_to_one']['right_pairs']['share']:.1%} right")
    for table in ("complete_table", "half_of_the_table", "one_to_one"):
        if "coverage" in (found := result.get(table, {})):
            covered = ", ".join(f"{asked}: {point['coverage']:.1%}" for asked, point in found["coverage"].items())
            lines.append(f"{table}: coverage at {covered}; calibration error {found['calibration']['error']:.3f}")
            for asked, accepted in found["accepted"].items():
                shares = [f"{name} {of['share']:.1%}" for name, of in accepted.items() if of["share"] is not None]
                lines.append(f"  asked {asked}: {', '.join(shares)}")
    return lines


if __name__ == "__main__":
    main()
