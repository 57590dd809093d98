"""Compare the second stage of matching with a cross-encoder, on validation movies.

    python scripts/experiments/second_stages.py MODEL --catalogue FOLDER --train_splits train

Both learn to tell the movies that MODEL was trained on from their hardest candidates, and then order the candidates of
validation posters. The cross-encoder reads a poster's text and a movie's titles and plots together (Nogueira and Cho
2019, arXiv:1901.04085).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from sentence_transformers.cross_encoder import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

from processing.data.titles import all_titles
from processing.evaluation.selective import share
from processing.matching.candidates import Rows, candidate_pairs
from processing.matching.second_stage import LabelledPool
from processing.posterclip.ocr_text import compose_text
from processing.reporting.results import write_results
from processing.reporting.tables import format_table
from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, read_posters, stop
from scripts.common.matching.match_sides import embed_movies, embed_posters
from scripts.common.matching.matcher import Matcher

Scores = NDArray[np.floating]
BATCH = 32  # pairs


@dataclass
class CrossEncoderArguments:
    """The cross-encoder and its training."""

    text_model_name_or_path: str = field(
        default="build/demo/encoders/all-minilm-l6-v2", metadata={"help": "The encoder that it starts from."}
    )
    train_splits: list[str] = field(
        default_factory=lambda: ["train"], metadata={"help": "Splits that the model was trained on."}
    )
    training_posters: int = field(default=2000, metadata={"help": "Posters that it is trained on."})
    negatives: int = field(default=3, metadata={"help": "Wrong candidates of each, the most similar."})
    max_length: int = field(default=128, metadata={"help": "Tokens of a pair."})
    output: Path = field(default=Path("results/second_stages.json"), metadata={"help": "File of the results."})


def main(arguments: list[str] | None = None) -> None:
    """Trains the cross-encoder, measures both and writes the results."""
    quiet_libraries()
    data, options, rest = parse((CatalogueArguments, CrossEncoderArguments), arguments, positional="model")
    try:
        matcher = Matcher.from_pretrained(rest.model)
        stage = matcher.stage
        if stage is None:
            raise ValueError(f"{rest.model} has no second stage to compare with.")
        catalogue = read_posters(data.load().with_validation(), matcher.processor, data.ocr_language)
        training, validation = catalogue.movies(options.train_splits), catalogue.movies(["validation"])
        training = training.select(np.random.default_rng(0).permutation(len(training))[: options.training_posters])
        started = time.perf_counter()
        cross_encoder = trained(options, hardest_pairs(matcher, training, options.negatives))
        seconds = time.perf_counter() - started
        posters, movies = embed_posters(matcher.encoder, validation), embed_movies(matcher.encoder, validation)
        rows, columns = candidate_pairs(posters, movies)
        texts, movie_texts = poster_texts(validation), all_texts(validation)
        pairs = [(texts[row], movie_texts[column]) for row, column in zip(rows, columns, strict=True)]
        results = {
            "logistic regression": measured(rows, columns, lambda: stage.scores(posters, movies, rows, columns)),
            "cross-encoder": measured(rows, columns, lambda: cross_encoder.predict(pairs, batch_size=BATCH)),
        }
    except USER_ERRORS as error:
        stop(error)
    results["cross-encoder"] |= {"training_posters": len(training), "training_seconds": seconds}
    candidates = share(np.bincount(rows, rows == columns, minlength=len(validation)) > 0)
    about = {"split": "validation", "movies": len(validation), "right_among_candidates": candidates}
    write_results(options.output, {**about, "max_length": options.max_length, "stages": results})
    print(format_table(stage_rows({"stages": results})))


def hardest_pairs(matcher: Matcher, movies: Dataset, negatives: int) -> Dataset:
    """Returns the texts of each poster and its movie, and of each poster and its most similar other candidates."""
    posters, table = embed_posters(matcher.encoder, movies), embed_movies(matcher.encoder, movies)
    pool = LabelledPool.of(posters, table, np.arange(len(movies)))
    order = np.lexsort((-pool.features[:, 0], pool.right, pool.rows))  # of each poster the wrong ones, best first
    starts = np.searchsorted(pool.rows[order], np.arange(len(movies)))
    place = np.arange(len(order)) - starts[pool.rows[order]]
    wrong = order[(place < negatives) & ~pool.right[order]]
    rows = np.concatenate([np.arange(len(movies)), pool.rows[wrong]])
    columns = np.concatenate([np.arange(len(movies)), pool.columns[wrong]])
    texts, movie_texts = poster_texts(movies), all_texts(movies)
    return Dataset.from_dict(
        {
            "poster": [texts[row] for row in rows],
            "movie": [movie_texts[column] for column in columns],
            "label": (rows == columns).astype(float),
        }
    )


def trained(options: CrossEncoderArguments, pairs: Dataset) -> CrossEncoder:
    """Returns a cross-encoder that was trained for one epoch to tell right pairs from wrong ones."""
    model = CrossEncoder(options.text_model_name_or_path, num_labels=1, max_length=options.max_length)
    settings = CrossEncoderTrainingArguments(
        output_dir="runs/cross-encoder",
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-4,
        warmup_steps=20,
        save_strategy="no",
        report_to="none",
        seed=0,
    )
    CrossEncoderTrainer(model, settings, train_dataset=pairs, loss=BinaryCrossEntropyLoss(model)).train()
    return model


def poster_texts(movies: Dataset) -> list[str]:
    """Returns what is printed on each poster."""
    return [compose_text(lines) for lines in movies["poster_text"]]


def all_texts(movies: Dataset) -> list[str]:
    """Returns the titles and plots of each movie as one text."""
    return [". ".join([*titles, *plots]) for titles, plots in zip(all_titles(movies), movies["plots"], strict=True)]


def stage_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Returns the rows of a table of what `main` wrote.

    Example:
        >>> r_at_1 = {"share": 0.9, "interval": [0.87, 0.93]}
        >>> stage_rows({"stages": {"none": {"R@1": r_at_1, "seconds_per_1000_posters": 0.81}}})[1]
        ['none', '90.0 (87.0-93.0)', '0.8']
    """
    rows = [["second stage", "R@1 poster to movie", "seconds per 1,000 posters"]]
    for name, found in results["stages"].items():
        low, high = found["R@1"]["interval"]
        interval = f"{100 * found['R@1']['share']:.1f} ({100 * low:.1f}-{100 * high:.1f})"
        rows.append([name, interval, f"{found['seconds_per_1000_posters']:,.1f}"])
    return rows


def measured(rows: Rows, columns: Rows, score: Callable[[], Scores]) -> dict[str, Any]:
    """Returns R@1 of posters whose candidates are ordered by a score, and the seconds that it takes; a tie is wrong."""
    started = time.perf_counter()
    scores = np.asarray(score(), np.float64)
    seconds = time.perf_counter() - started
    order = np.lexsort((rows == columns, -scores, rows))
    best = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
    right = (rows == columns)[best]
    return {"R@1": share(right), "seconds_per_1000_posters": 1000 * seconds / len(right)}


if __name__ == "__main__":
    main()
