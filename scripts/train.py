"""Train a PosterCLIP on a catalogue: `python scripts/train.py scripts/configs/seed.yaml --catalogue FOLDER`."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, set_seed

from modeling import PosterCLIPModel
from modeling.training.argument_checks import check_arguments, resume_point
from modeling.training.freezing import DEFAULT_LORA_RANK, check_modes, set_mode
from modeling.training.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.catalogue.fingerprints import fingerprint
from processing.data.collation import MoviePairs, PairCollator, first_plots
from processing.data.streaming import MovieStream, open_stream
from processing.evaluation.retrieval import METRICS, trainer_metrics
from processing.reporting.results import write_results
from scripts.common.command_line import (
    FEATURE_CACHE,
    USER_ERRORS,
    CatalogueArguments,
    load_model,
    parse,
    quiet_libraries,
    read_posters,
    stop,
)
from scripts.common.dry_run import dry_run
from scripts.common.features import add_features


@dataclass
class ModelArguments:
    """Which model: a saved one, or a new one of two encoders."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "A saved PosterCLIP to train further."})
    vision_model_name_or_path: str | None = field(default=None, metadata={"help": "Of a new one: the poster encoder."})
    text_model_name_or_path: str | None = field(default=None, metadata={"help": "Of a new one: the plot encoder."})
    projection_dim: int | None = field(default=None, metadata={"help": "Of a new one: the size of its embeddings."})
    vision_pooling: str | None = field(default=None, metadata={"help": "Of a new one: auto, cls, mean or pooler."})
    text_pooling: str | None = field(default=None, metadata={"help": "Of a new one: auto, cls, mean or pooler."})
    loss: str | None = field(default=None, metadata={"help": "Of a new one: contrastive or sigmoid."})
    logit_scale_init_value: float | None = field(default=None, metadata={"help": "Of a new one: ln(1 / temperature)."})
    use_poster_text: bool | None = field(
        default=None, metadata={"help": "Of a new one: whether it also reads what is printed on a poster."}
    )
    image_weight_init_value: float | None = field(
        default=None, metadata={"help": "Of a new one that does: how much the picture counts beside the words."}
    )
    char_ngram_dim: int | None = field(
        default=None, metadata={"help": "Of a new one that does: dimensions for the words themselves, 0 by default."}
    )
    max_length: int = field(default=128, metadata={"help": "Of a new one: plots are cut at so many tokens."})
    whole_poster: bool | None = field(
        default=None,
        metadata={"help": "Of a new one: resize posters where the image processor would cut out their centre."},
    )
    vision_mode: str = field(
        default="full",
        metadata={"help": "What of the poster encoder trains: frozen, last-K (layer groups), lora or full."},
    )
    text_mode: str = field(default="full", metadata={"help": "What of the plot encoder trains, likewise."})
    lora_rank: int | None = field(
        default=None, metadata={"help": f"Of the encoders in mode lora, {DEFAULT_LORA_RANK} by default."}
    )

    def __post_init__(self) -> None:
        """Refuse wrong modes before anything is loaded."""
        self.lora_rank = check_modes(self.vision_mode, self.text_mode, lora_rank=self.lora_rank)

    def build(self) -> tuple[PosterCLIPModel, PosterCLIPProcessor]:
        """The model, its encoders in their modes, and its processor."""
        names = ["projection_dim", "vision_pooling", "text_pooling", "loss", "logit_scale_init_value"]
        names += ["use_poster_text", "image_weight_init_value", "char_ngram_dim"]
        fields = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.model_name_or_path:
            if given := [
                name
                for name in ("vision_model_name_or_path", "text_model_name_or_path", "whole_poster", *fields)
                if getattr(self, name) is not None
            ]:
                raise ValueError(f"{', '.join(given)}: a saved model (--model_name_or_path) has its own.")
            model, processor = load_model(self.model_name_or_path)
        elif self.vision_model_name_or_path and self.text_model_name_or_path:
            model = PosterCLIPModel.from_vision_text_pretrained(
                self.vision_model_name_or_path, self.text_model_name_or_path, **fields
            )
            processor = PosterCLIPProcessor.from_vision_text_pretrained(
                self.vision_model_name_or_path,
                self.text_model_name_or_path,
                self.max_length,
                run_ocr=bool(self.use_poster_text),
                whole_poster=bool(self.whole_poster),
            )
        else:
            raise ValueError(
                "Name a saved model (--model_name_or_path), or the two encoders of a new one "
                "(--vision_model_name_or_path and --text_model_name_or_path)."
            )
        dry_run(model, processor)
        set_mode(model.vision_model, self.vision_mode, self.lora_rank)
        set_mode(model.text_model, self.text_mode, self.lora_rank)
        return model, processor


@dataclass
class SplitArguments:
    """Which of its splits."""

    train_splits: list[str] = field(default_factory=lambda: ["train"], metadata={"help": "Splits to train on."})
    eval_split: str = field(default="validation", metadata={"help": "Split to choose the best model by."})


@dataclass
class StreamArguments:
    """Whether its rows are read while training goes on."""

    streaming: bool = field(
        default=False, metadata={"help": "Read rows as they come: for more than the disk holds. Needs --max_steps."}
    )
    shuffle_buffer: int = field(default=1000, metadata={"help": "Of a stream: rows among which is shuffled."})

    def open(
        self, data: CatalogueArguments, names: list[str], processor: PosterCLIPProcessor | None = None, **options: Any
    ) -> MovieStream:
        """The named splits as a stream."""
        return MovieStream(
            open_stream(data.catalogue, names),
            processor,
            splits=names,
            plot_columns=data.plot_columns,
            on_bad_rows=data.on_bad_rows,
            buffer_size=self.shuffle_buffer,
            **options,
        )


@dataclass
class RunArguments(TrainingArguments):
    """How to train: the arguments of transformers' Trainer, with other defaults where a poster needs them."""

    chunk_size: int | None = field(
        default=None,
        metadata={"help": "Pairs in the encoders at a time: less memory, more time, the same gradients."},
    )
    feature_cache: str = field(
        default=FEATURE_CACHE,
        metadata={"help": "Folder for the features of frozen encoders; none: frozen encoders run in every step."},
    )
    layer_decay: float | None = field(
        default=None, metadata={"help": "Learning rate of a layer group of an encoder, by that of the one above it."}
    )
    augment: bool = field(default=False, metadata={"help": "Train on another crop and light of a poster each epoch."})
    mask_names: bool = field(
        default=False, metadata={"help": "Train on plots without their movie's title and without names."}
    )
    poster_text_dropout: float = field(
        default=0.0,
        metadata={"help": "Of a model that reads posters: share of them that show no text, other ones each epoch."},
    )
    genre_weight: float = field(
        default=0.0,
        metadata={"help": "Movies of the same genres count as related: from 0, not at all, to 1, as the same movie."},
    )
    dataloader_pin_memory: bool = field(
        default_factory=torch.accelerator.is_available, metadata={"help": "Where there is an accelerator."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "The collator reads the raw columns."})

    def __post_init__(self) -> None:
        """As in transformers, which takes every metric but a loss for better the greater it is; of a rank, less is."""
        given = self.greater_is_better
        super().__post_init__()
        greater = not (self.metric_for_best_model or "loss").endswith(("loss", "rank"))
        if given not in (None, greater):
            raise ValueError(
                f"greater_is_better: {'more' if greater else 'less'} {self.metric_for_best_model} is better."
            )
        self.greater_is_better = greater


def main(arguments: list[str] | None = None) -> None:
    """Train, save and record one run."""
    quiet_libraries()
    data, splits, stream, architecture, run = parse(
        (CatalogueArguments, SplitArguments, StreamArguments, ModelArguments, RunArguments),
        arguments,
        description=__doc__,
    )
    try:
        check_settings(stream, architecture, run)
        checkpoint = resume_point(run.resume_from_checkpoint, run.output_dir)
        evaluates, held_out = run.eval_strategy != "no", None
        set_seed(run.seed)
        model, processor = architecture.build()
        reads = model.config.use_poster_text
        if stream.streaming:
            judged = stream.open(data, [splits.eval_split], use_poster_text=reads).movies() if evaluates else None
        else:
            catalogue = data.load()
            if evaluates and splits.eval_split == "validation":
                catalogue = catalogue.with_validation()
            given, movies = catalogue, catalogue.movies(splits.train_splits)
            if reads:
                with run.main_process_first():
                    catalogue = read_posters(catalogue, processor, data.ocr_language)
                movies = catalogue.movies(splits.train_splits)
            judged = catalogue.movies([splits.eval_split]) if evaluates else None
        if stream.streaming:
            share = {"process_index": run.process_index, "processes": run.world_size}
            share |= {"workers": run.dataloader_num_workers, "seed": run.seed}
            share |= {"augment": run.augment, "mask_names": run.mask_names, "use_poster_text": reads}
            pairs = stream.open(data, splits.train_splits, processor, **share)
        else:
            shown = {"augment": run.augment, "genres": run.genre_weight > 0, "mask_names": run.mask_names}
            shown |= {"use_poster_text": reads, "poster_text_dropout": run.poster_text_dropout}
            pairs = MoviePairs(movies, processor, seed=run.seed, **shown)
        if model.config.char_ngram_dim and not architecture.model_name_or_path:
            plots = [plot for plots in pairs.plots for plot in plots]
            model.char_ngrams.fit(processor.tokenizer, plots)
        if judged is not None:
            held_out = MoviePairs(judged, processor, plots=first_plots(judged), use_poster_text=reads)
        trainer = PosterCLIPTrainer(
            model,
            run,
            data_collator=PairCollator(processor),
            train_dataset=pairs,
            eval_dataset=held_out,
            processing_class=processor,
            compute_metrics=trainer_metrics,
            chunk_size=run.chunk_size,
            layer_decay=run.layer_decay,
            genre_weight=run.genre_weight,
        )
        Path(run.output_dir).mkdir(parents=True, exist_ok=True)
    except USER_ERRORS as error:
        stop(error)

    try:
        for part in (pairs, held_out):
            if isinstance(part, MoviePairs) and run.feature_cache != "none":
                add_features(part, trainer, processor, run.feature_cache)
        done = trainer.train(resume_from_checkpoint=checkpoint)
    except (FloatingPointError, OSError, ValueError) as error:
        stop(error)
    trainer.save_model()
    trainer.save_state()
    if stream.streaming:
        left_out = trainer.accelerator.reduce(torch.tensor(pairs.bad_rows, device=run.device))
        record = {"catalogue": {"source": data.catalogue, **pairs.report(), "bad_rows": {"count": int(left_out)}}}
    elif trainer.is_world_process_zero():
        prints = {name: fingerprint(given.movies([name])) for name in splits.train_splits}
        record = {"catalogue": catalogue.report(), "data_fingerprint": prints}
    if trainer.is_world_process_zero():
        write_results(
            Path(run.output_dir) / "training.json",
            {
                **record,
                "train_splits": splits.train_splits,
                "model": vars(architecture),
                "config": json.loads(model.config.to_json_string()),
                "arguments": run.to_sanitized_dict(),
                "seconds": done.metrics["train_runtime"],
                "best_metric": trainer.state.best_metric,
                "log": trainer.state.log_history,
            },
        )
    if run.push_to_hub:
        trainer.push_to_hub()
    trainer.leave_process_group()
    if trainer.is_world_process_zero():
        best = trainer.state.best_global_step if run.load_best_model_at_end else None
        which = f", that of step {best} of {trainer.state.global_step}" if best else ""
        print(f"The model is in {run.output_dir}{which}")


def check_settings(stream: StreamArguments, architecture: ModelArguments, run: RunArguments) -> None:
    """ValueError, before anything is loaded, for settings that contradict each other."""
    check_arguments(run, run.chunk_size, run.layer_decay, run.genre_weight)
    metric = (run.metric_for_best_model or "loss").removeprefix("eval_")
    if run.eval_strategy != "no" and metric not in ("loss", *METRICS):
        raise ValueError(f"metric_for_best_model: there is no {metric!r}; there are loss, {', '.join(METRICS)}.")
    grouped = run.train_sampling_strategy == "group_by_length"
    if grouped and architecture.text_mode == "frozen":
        raise ValueError("train_sampling_strategy=group_by_length: a plot encoder that is frozen pads no batches.")
    cached = run.feature_cache != "none" and not stream.streaming
    if run.augment and architecture.vision_mode == "frozen" and cached:
        raise ValueError(
            "augment: every epoch has other posters, and the features of a frozen poster encoder would be those of "
            "none of them. With --feature_cache none the encoder runs in every step."
        )
    if stream.streaming:
        if run.max_steps < 1:
            raise ValueError("Nobody knows how long a stream is: say by --max_steps how long to train on it.")
        if stream.shuffle_buffer < 1:
            raise ValueError(f"shuffle_buffer: {stream.shuffle_buffer} rows cannot be shuffled.")
        whole: dict[str, Any] = {"group_by_length": grouped, "genre_weight": run.genre_weight}
        whole |= {"char_ngram_dim": architecture.char_ngram_dim, "poster_text_dropout": run.poster_text_dropout}
        if named := [name for name, value in whole.items() if value]:
            raise ValueError(f"{', '.join(named)}: not on a stream, whose movies are not known before they come.")


if __name__ == "__main__":
    main()
