"""Match a folder of posters with a table of movies, or compare one poster with plots.

    python scripts/match.py MODEL --posters FOLDER_OR_TABLE --movies TABLE --output FOLDER
    python scripts/match.py MODEL POSTER --plots "A captain hunts a whale." "A count leaves his castle."

The first form writes `matches.csv`, `review.html`, on which the doubtful matches are reviewed, and `summary.json`. What
was read on posters and encoded is kept, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from scripts.common.command_line import USER_ERRORS, load_model, parse, quiet_libraries, stop


@dataclass
class MatchArguments:
    """What is matched, and where to."""

    posters: str | None = field(
        default=None, metadata={"help": "A folder of images, in any tree under any names, or a table of images."}
    )
    movies: str | None = field(default=None, metadata={"help": "A table of movies with titles or plots or both."})
    output: Path | None = field(default=None, metadata={"help": "Folder of the results."})
    precision: float = field(
        default=0.95, metadata={"help": "The share of accepted matches that shall be right: above 0, below 1."}
    )
    one_to_one: bool = field(default=False, metadata={"help": "Each movie has one poster at most."})
    titles: Literal["use", "hide"] = field(default="use", metadata={"help": "hide: match by plots alone."})
    plots: list[str] | None = field(default=None, metadata={"help": "Texts to compare one POSTER with."})


def main(arguments: list[str] | None = None) -> None:
    """Match, and say what came out."""
    quiet_libraries()
    options, rest = parse((MatchArguments,), arguments, positional="model", count="+", description=__doc__)
    try:
        if len(rest.model) == 1 and options.plots is None:
            match_posters(rest.model[0], options)
        elif len(rest.model) == 2 and options == MatchArguments(plots=options.plots) and options.plots:
            compare(rest.model[0], rest.model[1], options.plots)
        else:
            raise ValueError(
                "Give MODEL --posters --movies --output, or MODEL POSTER --plots; no flag of one goes with the other."
            )
    except USER_ERRORS as error:
        stop(error)
    except KeyboardInterrupt:
        print("\nStopped. What was read and encoded is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(130)


def compare(name: str, poster: str, plots: Sequence[str]) -> None:
    """Print the cosine similarity of a poster to each plot, the most similar first."""
    import torch

    from processing.posterclip.rgb import open_image

    if blank := [number for number, plot in enumerate(plots, 1) if not plot.strip()]:
        raise ValueError(f"--plots: plot {blank[0]} of {len(plots)} is blank.")
    try:
        image = open_image(poster)
    except ValueError as error:
        raise ValueError(f"{poster} is no poster that can be read: {error}") from None
    model, processor = load_model(name)
    with torch.no_grad():
        output = model.eval()(**processor(images=image, text=list(plots), return_tensors="pt", padding=True))
    similarities = (output.text_embeds @ output.image_embeds[0]).tolist()
    print("similarity  plot")
    for similarity, plot in sorted(zip(similarities, plots, strict=True), reverse=True):
        print(f"{similarity:10.3f}  {plot}")


def match_posters(name: str, options: MatchArguments) -> None:
    """Match posters with a table of movies, write the results and print how many there are of each status."""
    if not (options.posters and options.movies and options.output):
        raise ValueError("--posters, --movies and --output are needed, all three.")
    if not 0 < options.precision < 1:
        raise ValueError(f"--precision {options.precision:g} is not between 0 and 1: no model is always right.")
    from scripts.common.matching.match_files import CSV, PAGE, MatchInputs, check_folder, write_matches
    from scripts.common.matching.matcher import Matcher

    settings = {"model": name, **asdict(options)}
    del settings["output"], settings["plots"]
    check_folder(options.output, settings)
    start = time.perf_counter()
    matcher = Matcher.from_pretrained(name)
    inputs = MatchInputs.read(options.posters, options.movies, options.titles)
    for line in inputs.lines():
        print(line, file=sys.stderr)
    read = time.perf_counter()
    matches = matcher.match(
        inputs.posters,
        inputs.movies,
        precision=options.precision,
        one_to_one=options.one_to_one,
        titles=inputs.titles,
    )
    seconds = {"reading": round(read - start, 1), "matching": round(time.perf_counter() - read, 1)}
    extra = {"calibration": matcher.calibration, "seconds": seconds}
    summary = write_matches(options.output, matches, inputs, settings, extra)
    print(", ".join(f"{count:,} {status}" for status, count in summary["counts"]["statuses"].items()))
    if summary["expected_precision"]:
        print(f"{100 * summary['expected_precision']:.1f} % of the accepted matches are expected to be right")
    if matcher.calibration is None:
        print(f"{name} has no confidence (matcher.json is missing): no match is accepted unseen")
    print(f"{options.output / CSV} holds the matches; open {options.output / PAGE} to review them")


if __name__ == "__main__":
    main()
