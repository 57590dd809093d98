"""Compare values of `title_share`: `python scripts/experiments/title_share.py --catalogue FOLDER`.

With each the preset is trained on two thirds of the training movies and measured on the rest, three times, so that each
movie is measured once. Movies of a series stay together.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import set_seed

from modeling.training.trainer import PosterCLIPTrainer
from processing.data.collation import MoviePairs, PairCollator
from processing.pair_retrieval.ranking import DIRECTIONS
from processing.reporting.results import write_results
from processing.reporting.tables import format_table
from processing.splits.splits import split_of_key
from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, read_posters, stop
from scripts.common.evaluation.known_pool import KnownPool, what_is_known
from scripts.common.features import add_features
from scripts.common.matching.match_sides import embed_posters
from scripts.common.matching.matcher import Matcher
from scripts.common.run_settings import ModelArguments, RunArguments

PRESET = Path(__file__).parents[1] / "configs" / "posterclip.yaml"
FOLDS = {"0": 1 / 3, "1": 1 / 3, "2": 1 / 3}
METRICS = ("R@1", "R@10")


@dataclass
class ShareArguments:
    """The shares to try, on which movies."""

    train_splits: list[str] = field(
        default_factory=lambda: ["train"], metadata={"help": "Splits to train and measure on."}
    )
    shares: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0], metadata={"help": "The shares to compare."})
    output: Path = field(default=Path("results/title_share.json"), metadata={"help": "File of the results."})


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the trainings that the output does not hold yet, and prints the means over all movies."""
    quiet_libraries()
    once = ["--eval_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "False"]
    data, options, settings, run = parse(
        (CatalogueArguments, ShareArguments, ModelArguments, RunArguments),
        [str(PRESET), *once, *(sys.argv[1:] if arguments is None else arguments)],
    )
    found = json.loads(options.output.read_text(encoding="utf-8"))["runs"] if options.output.is_file() else []
    try:
        _, processor = settings.build()
        movies = read_posters(data.load(), processor, data.ocr_language).movies(options.train_splits)
        folds = np.array([split_of_key(series, FOLDS) for series in movies["series"]])
        for fold in FOLDS:
            held_out, others = (movies.select(np.flatnonzero(mask)) for mask in (folds == fold, folds != fold))
            for share in options.shares:
                if (share, fold) not in [(of["title_share"], of["fold"]) for of in found]:
                    measured = measure(settings, run, others, held_out, share)
                    found.append({"title_share": share, "fold": fold, "movies": len(held_out), "measured": measured})
                    about = {"plot_columns": data.plot_columns, "train_splits": options.train_splits}
                    write_results(options.output, {**about, "means": means(found), "runs": found})
    except USER_ERRORS as error:
        stop(error)
    print(format_table(share_rows(means(found))))


def measure(
    settings: ModelArguments, run: RunArguments, movies: Dataset, held_out: Dataset, share: float
) -> dict[str, Any]:
    """Returns what the first stage reaches on movies that are held out, by what is known of a movie."""
    set_seed(run.seed)
    model, processor = settings.build()
    pairs = MoviePairs(
        movies,
        processor,
        seed=run.seed,
        use_poster_text=True,
        poster_text_dropout=run.poster_text_dropout,
        title_share=share,
    )
    model.char_ngrams.fit(processor.tokenizer, [plot for plots in pairs.plots for plot in plots])
    trainer = PosterCLIPTrainer(
        model, run, data_collator=PairCollator(processor), train_dataset=pairs, processing_class=processor
    )
    add_features(pairs, trainer, processor, run.feature_cache)
    trainer.train()
    encoder = Matcher(trainer.clip, processor, cache=run.feature_cache).encoder
    posters, found = embed_posters(encoder, held_out), {}
    for titles, plots in what_is_known(held_out):
        metrics = KnownPool.of(encoder, posters, held_out, titles, plots).first_stage.summary()
        found[f"titles={titles}, plots={plots}"] = {
            way: {name: metrics[way][name] for name in METRICS} for way in DIRECTIONS
        }
    return found


def means(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns what each share reaches over the movies of all folds."""
    by_share = {
        share: [run for run in runs if run["title_share"] == share] for share in {r["title_share"] for r in runs}
    }
    return [
        {
            "title_share": share,
            "movies": sum(run["movies"] for run in by_share[share]),
            "measured": {
                known: {way: {name: _mean(by_share[share], known, way, name) for name in METRICS} for way in DIRECTIONS}
                for known in by_share[share][0]["measured"]
            },
        }
        for share in sorted(by_share)
    ]


def _mean(runs: Sequence[dict[str, Any]], known: str, way: str, name: str) -> float:
    weights = [run["movies"] for run in runs]
    return float(np.average([run["measured"][known][way][name] for run in runs], weights=weights))


def share_rows(shares: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Returns rows for `format_table`, one for each of the `means`."""
    kinds = {"titles used": "titles=use, plots=all", "titles hidden": "titles=hide, plots=all"}
    rows = [["share of movies with a title", *(f"{name}, {kind}" for kind in kinds for name in METRICS)]]
    for share in shares:
        cells = [
            " / ".join(f"{100 * share['measured'][known][way][name]:.1f}" for way in DIRECTIONS)
            for known in kinds.values()
            for name in METRICS
        ]
        rows.append([f"{share['title_share']:g}", *cells])
    return rows


if __name__ == "__main__":
    main()
