"""Train a PosterCLIP on a catalogue: `python scripts/train.py scripts/configs/seed.yaml --catalogue FOLDER`."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub.constants import HF_HOME
from transformers import TrainingArguments, set_seed

from modeling import PosterCLIPModel
from modeling.arguments import resume_point
from modeling.modes import DEFAULT_LORA_RANK, check_modes, set_mode
from modeling.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.catalogue import fingerprint
from processing.collation import MoviePairs, PairCollator, first_plots
from processing.results import write_results
from processing.retrieval import METRICS, trainer_metrics
from scripts.arguments import USER_ERRORS, CatalogueArguments, load_model, parse, quiet_libraries, stop
from scripts.features import add_features


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
        set_mode(model.vision_model, self.vision_mode, self.lora_rank)
        set_mode(model.text_model, self.text_mode, self.lora_rank)
        return model, processor


@dataclass
class SplitArguments:
    """Which of its splits."""

    train_splits: list[str] = field(default_factory=lambda: ["train"], metadata={"help": "Splits to train on."})
    eval_split: str = field(default="validation", metadata={"help": "Split to choose the best model by."})


@dataclass
class RunArguments(TrainingArguments):
    """How to train: the arguments of transformers' Trainer, with other defaults where a poster needs them."""

    chunk_size: int | None = field(
        default=None,
        metadata={"help": "Pairs in the encoders at a time: less memory, more time, the same gradients."},
    )
    feature_cache: str = field(
        default=os.path.join(HF_HOME, "posterclip"),
        metadata={"help": "Folder for the features of frozen encoders; none: frozen encoders run in every step."},
    )
    layer_decay: float | None = field(
        default=None, metadata={"help": "Learning rate of a layer group of an encoder, by that of the one above it."}
    )
    augment: bool = field(default=False, metadata={"help": "Train on another crop and light of a poster each epoch."})
    genre_weight: float = field(
        default=0.0,
        metadata={"help": "Movies of the same genres count as related: from 0, not at all, to 1, as the same movie."},
    )
    dataloader_pin_memory: bool = field(
        default_factory=torch.accelerator.is_available, metadata={"help": "Where there is an accelerator."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "The collator reads the raw columns."})


def main(arguments: list[str] | None = None) -> None:
    """Train, save and record one run."""
    quiet_libraries()
    data, splits, architecture, run = parse(
        (CatalogueArguments, SplitArguments, ModelArguments, RunArguments), arguments
    )
    try:
        if run.train_sampling_strategy == "group_by_length" and architecture.text_mode == "frozen":
            raise ValueError("train_sampling_strategy=group_by_length: a plot encoder that is frozen pads no batches.")
        if run.augment and architecture.vision_mode == "frozen" and run.feature_cache != "none":
            raise ValueError(
                "augment: every epoch has other posters, and the features of a frozen poster encoder would be those of "
                "none of them. With --feature_cache none the encoder runs in every step."
            )
        checkpoint = resume_point(run.resume_from_checkpoint, run.output_dir)
        catalogue = data.load()
        held_out = None
        if run.eval_strategy != "no":
            check_metric(run.metric_for_best_model)
            if splits.eval_split == "validation":
                catalogue = catalogue.with_validation()
        movies = catalogue.movies(splits.train_splits)
        set_seed(run.seed)
        model, processor = architecture.build()
        pairs = MoviePairs(movies, processor, seed=run.seed, augment=run.augment, genres=run.genre_weight > 0)
        if run.eval_strategy != "no":
            movies = catalogue.movies([splits.eval_split])
            held_out = MoviePairs(movies, processor, plots=first_plots(movies))
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
        if run.feature_cache != "none":
            for part in filter(None, (pairs, held_out)):
                add_features(part, trainer, processor, run.feature_cache)
        trainer.train(resume_from_checkpoint=checkpoint)
    except USER_ERRORS as error:
        stop(error)

    trainer.save_model()
    trainer.save_state()
    if trainer.is_world_process_zero():
        write_results(
            Path(run.output_dir) / "training.json",
            {
                "catalogue": catalogue.report(),
                "train_splits": splits.train_splits,
                "data_fingerprint": {name: fingerprint(catalogue.movies([name])) for name in splits.train_splits},
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


if __name__ == "__main__":
    main()
