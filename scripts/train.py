"""Train a PosterCLIP on a catalogue: `python scripts/train.py scripts/configs/seed.yaml --catalogue FOLDER`."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, set_seed

from modeling import PosterCLIPModel
from modeling.encoding import encode_plots, encode_posters
from modeling.towers import is_frozen, set_mode
from modeling.trainer import PosterCLIPTrainer, resume_point
from processing import PosterCLIPProcessor
from processing.catalogue import CatalogueError, fingerprint
from processing.collation import MoviePairs, PairCollator, image_batches, text_batches, with_first_plot
from processing.results import write_results
from processing.retrieval import METRICS, trainer_metrics
from processing.streaming import MovieStream, open_stream
from scripts.arguments import USER_ERRORS, CatalogueArguments, load_model, parse, quiet_libraries, stop


@dataclass
class ModelArguments:
    """Which model: a saved one, or a new one of two encoders."""

    model: str | None = field(default=None, metadata={"help": "A saved PosterCLIP to train further."})
    vision: str | None = field(default=None, metadata={"help": "Of a new one: the poster encoder."})
    text: str | None = field(default=None, metadata={"help": "Of a new one: the plot encoder."})
    projection_dim: int | None = field(default=None, metadata={"help": "Of a new one: the size of its embeddings."})
    vision_pooling: str | None = field(default=None, metadata={"help": "Of a new one: auto, cls, mean or pooler."})
    text_pooling: str | None = field(default=None, metadata={"help": "Of a new one: auto, cls, mean or pooler."})
    loss: str | None = field(default=None, metadata={"help": "Of a new one: contrastive or sigmoid."})
    logit_scale_init_value: float | None = field(default=None, metadata={"help": "Of a new one: ln(1 / temperature)."})
    max_length: int = field(default=128, metadata={"help": "Of a new one: plots are cut at so many tokens."})
    vision_mode: str = field(
        default="full", metadata={"help": "What of the poster encoder trains: frozen, last-K (layer groups) or full."}
    )
    text_mode: str = field(default="full", metadata={"help": "What of the plot encoder trains, likewise."})

    def build(self) -> tuple[PosterCLIPModel, PosterCLIPProcessor]:
        """The model, its encoders in their modes, and its processor."""
        names = ("projection_dim", "vision_pooling", "text_pooling", "loss", "logit_scale_init_value")
        fields = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.model:
            if given := [name for name in ("vision", "text", *fields) if getattr(self, name) is not None]:
                raise ValueError(f"{', '.join(given)}: a saved model (--model) has its own.")
            model, processor = load_model(self.model)
        elif self.vision and self.text:
            model = PosterCLIPModel.from_vision_text_pretrained(self.vision, self.text, **fields)
            processor = PosterCLIPProcessor.from_vision_text_pretrained(self.vision, self.text, self.max_length)
        else:
            raise ValueError("Name a saved model (--model), or the two encoders of a new one (--vision and --text).")
        set_mode(model.vision_model, self.vision_mode)
        set_mode(model.text_model, self.text_mode)
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

    def open(self, data: CatalogueArguments, names: list[str], **options: Any) -> MovieStream:
        """The named splits as a stream."""
        return MovieStream(
            open_stream(data.catalogue, names),
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
    layer_decay: float | None = field(
        default=None, metadata={"help": "Learning rate of a layer group of an encoder, by that of the one above it."}
    )
    dataloader_pin_memory: bool = field(
        default_factory=torch.accelerator.is_available, metadata={"help": "Where there is an accelerator."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "The collator reads the raw columns."})


def main(arguments: list[str] | None = None) -> None:
    """Train, save and record one run."""
    quiet_libraries()
    data, splits, stream, architecture, run = parse(
        (CatalogueArguments, SplitArguments, StreamArguments, ModelArguments, RunArguments), arguments
    )
    try:
        checkpoint = resume_point(run.resume_from_checkpoint, run.output_dir)
        evaluates = run.eval_strategy != "no"
        held_out = None
        if evaluates:
            check_metric(run.metric_for_best_model)
        if stream.streaming:
            if run.max_steps < 1:
                raise ValueError("Nobody knows how long a stream is: say by --max_steps how long to train on it.")
            pairs = stream.open(
                data,
                splits.train_splits,
                seed=run.seed,
                process_index=run.process_index,
                processes=run.world_size,
                workers=run.dataloader_num_workers,
            )
            if evaluates:
                held_out = MoviePairs(with_first_plot(stream.open(data, [splits.eval_split]).movies()))
        else:
            catalogue = data.load()
            if evaluates:
                if splits.eval_split == "validation":
                    catalogue = catalogue.with_validation()
                held_out = MoviePairs(with_first_plot(catalogue.movies([splits.eval_split])))
            pairs = MoviePairs(catalogue.movies(splits.train_splits), seed=run.seed)
        set_seed(run.seed)
        model, processor = architecture.build()
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
        )
        Path(run.output_dir).mkdir(parents=True, exist_ok=True)
    except USER_ERRORS as error:
        stop(error)

    for part in (pairs, held_out):
        if isinstance(part, MoviePairs):
            add_features(part, model, processor, run)
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except CatalogueError as error:  # a row of a stream; a worker's message holds its traceback too
        stop(CatalogueError(str(error).rpartition("CatalogueError: ")[2]))
    trainer.save_model()
    trainer.save_state()
    if stream.streaming:
        left_out = trainer.accelerator.reduce(torch.tensor(pairs.bad_rows, device=run.device))
        record = {"catalogue": {"source": data.catalogue, **pairs.report(), "bad_rows": {"count": int(left_out)}}}
    elif trainer.is_world_process_zero():
        prints = {name: fingerprint(catalogue.movies([name])) for name in splits.train_splits}
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


def check_metric(name: str | None) -> None:
    """ValueError for a metric that no evaluation reports, before a run finds out at its first checkpoint."""
    if name and name.removeprefix("eval_") not in ("loss", *METRICS):
        raise ValueError(f"metric_for_best_model: there is no {name!r}; there are loss, {', '.join(METRICS)}.")


def add_features(
    pairs: MoviePairs, model: PosterCLIPModel, processor: PosterCLIPProcessor, run: TrainingArguments
) -> None:
    """Run frozen encoders over the pairs, once here and not once an epoch."""
    size = run.per_device_eval_batch_size
    if is_frozen(model.vision_model):
        batches = image_batches(pairs.movies, processor, batch_size=size, workers=run.dataloader_num_workers)
        pairs.image_features = encode_posters(model, batches)
    if is_frozen(model.text_model):
        pairs.text_features = encode_plots(model, text_batches(pairs.movies, processor, batch_size=size))


if __name__ == "__main__":
    main()
