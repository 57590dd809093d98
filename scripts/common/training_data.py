"""The data of a training run: pairs to train on, pairs to evaluate on, and what the record says of both."""

from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset

from modeling import PosterCLIPModel
from modeling.training.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.catalogue.fingerprints import fingerprint
from processing.data.collation import MoviePairs, first_plots
from processing.data.streaming import MovieStream, open_stream
from scripts.common.command_line import CatalogueArguments, read_posters
from scripts.common.run_settings import RunArguments, SplitArguments, StreamArguments
from scripts.common.training_record import record_movies


@dataclass
class TrainingData:
    """What a run trains and evaluates on.

    Args:
        pairs: to train on.
        eval_pairs: to evaluate on, if the run evaluates.
        catalogue: what the record says of the catalogue.
        movies: those trained on; None for a stream, whose movies nobody lists.
        summary: lines that describe the data, for the start of the run.
    """

    pairs: MoviePairs | MovieStream
    eval_pairs: MoviePairs | None
    catalogue: dict[str, Any]
    movies: dict[str, Dataset] | None
    summary: list[str]

    def record(self, trainer: PosterCLIPTrainer, splits: SplitArguments, before: str | None) -> dict[str, Any]:
        """Returns what `training.json` says of the data. Every process of the run must call it.

        Args:
            trainer: after training; it knows the rows that all processes left out of a stream.
            splits: their names.
            before: the model that was trained further, if it was.
        """
        record: dict[str, Any] = {"catalogue": self.catalogue, "train_splits": splits.train_splits}
        if isinstance(self.pairs, MovieStream):
            left_out = trainer.accelerator.reduce(torch.tensor(self.pairs.bad_rows, device=trainer.args.device))
            record["catalogue"] = {**self.catalogue, "bad_rows": {"count": int(left_out)}}
        if not trainer.is_world_process_zero():
            return record
        if self.movies is not None:
            record["data_fingerprint"] = {name: fingerprint(movies) for name, movies in self.movies.items()}
        chosen_by = self.eval_pairs.movies if self.eval_pairs else None
        trained_on = self.pairs.movies if isinstance(self.pairs, MoviePairs) else None
        return record | {"movies": record_movies(trained_on, chosen_by, before)}


def load_data(
    data: CatalogueArguments,
    splits: SplitArguments,
    run: RunArguments,
    model: PosterCLIPModel,
    processor: PosterCLIPProcessor,
) -> TrainingData:
    """Returns the pairs of a catalogue that is read as a whole."""
    evaluates, use_poster_text = run.eval_strategy != "no", model.config.use_poster_text
    names = [*splits.train_splits, *([splits.eval_split, "train"] if evaluates else [])]
    with run.main_process_first():
        catalogue = data.load(names)
    if evaluates and splits.eval_split == "validation":
        catalogue = catalogue.with_validation()
    catalogue.movies(splits.train_splits)  # a wrong name is refused before posters are read
    if use_poster_text:
        read = [*splits.train_splits, *([splits.eval_split] if evaluates else [])]
        with run.main_process_first():
            catalogue = read_posters(catalogue, processor, data.ocr_language, read)
    pairs = MoviePairs(
        catalogue.movies(splits.train_splits),
        processor,
        seed=run.seed,
        augment=run.augment,
        genres=run.genre_weight > 0,
        mask_names=run.mask_names,
        use_poster_text=use_poster_text,
        poster_text_dropout=run.poster_text_dropout,
        title_share=run.title_share,
    )
    held_out = catalogue.movies([splits.eval_split]) if evaluates else None
    movies = {name: catalogue.movies([name]) for name in splits.train_splits}
    summary = [
        f"Training on {len(pairs):,} movies ({', '.join(splits.train_splits)}) of {catalogue.source}",
        *catalogue.summary(processor.tokenizer),
    ]
    eval_pairs = _eval_pairs(held_out, processor, use_poster_text)
    return TrainingData(pairs, eval_pairs, catalogue.report(processor.tokenizer), movies, summary)


def open_streams(
    data: CatalogueArguments,
    splits: SplitArguments,
    stream: StreamArguments,
    run: RunArguments,
    model: PosterCLIPModel,
    processor: PosterCLIPProcessor,
) -> TrainingData:
    """Returns the pairs of a catalogue whose rows are read while training runs."""
    use_poster_text = model.config.use_poster_text

    def open_splits(names: list[str], processor: PosterCLIPProcessor | None = None, **options: Any) -> MovieStream:
        return MovieStream(
            open_stream(data.catalogue, names),
            processor,
            splits=names,
            plot_columns=data.plot_columns,
            on_bad_rows=data.on_bad_rows,
            buffer_size=stream.shuffle_buffer,
            use_poster_text=use_poster_text,
            **options,
        )

    held_out = open_splits([splits.eval_split]).movies() if run.eval_strategy != "no" else None
    pairs = open_splits(
        splits.train_splits,
        processor,
        seed=run.seed,
        augment=run.augment,
        mask_names=run.mask_names,
        title_share=run.title_share,
        process_index=run.process_index,
        processes=run.world_size,
        workers=run.dataloader_num_workers,
    )
    summary = [f"Training on a stream ({', '.join(splits.train_splits)}) of {data.catalogue}"]
    catalogue = {"source": data.catalogue, **pairs.report()}
    return TrainingData(pairs, _eval_pairs(held_out, processor, use_poster_text), catalogue, None, summary)


def _eval_pairs(movies: Dataset | None, processor: PosterCLIPProcessor, use_poster_text: bool) -> MoviePairs | None:
    """Returns the first plot and the poster of each movie."""
    if movies is None:
        return None
    return MoviePairs(movies, processor, plots=first_plots(movies), use_poster_text=use_poster_text)
