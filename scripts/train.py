"""Train a PosterCLIP on a catalogue: `python scripts/train.py scripts/configs/seed.yaml --catalogue FOLDER`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from datasets import Dataset
from transformers import TrainingArguments, set_seed

from modeling import PosterCLIPModel
from modeling.encoding import encode_plots, encode_posters
from modeling.towers import is_frozen, set_mode
from modeling.trainer import PosterCLIPTrainer, resume_point
from processing import PosterCLIPProcessor
from processing.catalogue import CatalogueError, fingerprint
from processing.collation import MoviePairs, PairCollator, image_batches, text_batches, with_first_plot
from processing.results import write_results
from processing.retrieval import trainer_metrics
from scripts.arguments import CatalogueArguments, parse, quiet_libraries, stop


@dataclass
class ModelArguments:
    """Which model."""

    model: str | None = field(default=None, metadata={"help": "A saved PosterCLIP to train further."})
    vision: str = field(default="google/vit-base-patch16-224", metadata={"help": "Or a new one: its poster encoder,"})
    text: str = field(default="google-bert/bert-base-uncased", metadata={"help": "its plot encoder,"})
    projection_dim: int = field(default=512, metadata={"help": "and the size of its embeddings."})
    vision_pooling: Literal["auto", "cls", "mean", "pooler"] = field(default="auto")
    text_pooling: Literal["auto", "cls", "mean", "pooler"] = field(default="auto")
    loss: Literal["contrastive", "sigmoid"] = field(default="contrastive")
    logit_scale_init_value: float = field(default=2.6592)
    max_length: int = field(default=128, metadata={"help": "Plots are cut at so many tokens."})
    vision_mode: str = field(
        default="full", metadata={"help": "What of the poster encoder trains: frozen, last-K, full."}
    )
    text_mode: str = field(default="full", metadata={"help": "What of the plot encoder trains, likewise."})

    def build(self) -> tuple[PosterCLIPModel, PosterCLIPProcessor]:
        """The model, its encoders in their modes, and its processor."""
        if self.model:
            model = PosterCLIPModel.from_pretrained(self.model)
            processor = PosterCLIPProcessor.from_pretrained(self.model)
        else:
            model = PosterCLIPModel.from_vision_text_pretrained(
                self.vision,
                self.text,
                projection_dim=self.projection_dim,
                vision_pooling=self.vision_pooling,
                text_pooling=self.text_pooling,
                loss=self.loss,
                logit_scale_init_value=self.logit_scale_init_value,
            )
            processor = PosterCLIPProcessor.from_vision_text_pretrained(self.vision, self.text, self.max_length)
        set_mode(model.vision_model, self.vision_mode)
        set_mode(model.text_model, self.text_mode)
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
    data, splits, architecture, run = parse(
        (CatalogueArguments, SplitArguments, ModelArguments, RunArguments), arguments
    )
    try:
        catalogue = data.load()
        movies = catalogue.movies(splits.train_splits)
        held_out = catalogue.movies([splits.eval_split]) if run.eval_strategy != "no" else None
        set_seed(run.seed)
        model, processor = architecture.build()
    except (CatalogueError, OSError, ValueError) as error:
        stop(error)

    trainer = PosterCLIPTrainer(
        model,
        run,
        data_collator=PairCollator(processor),
        train_dataset=training_pairs(model.to(run.device), processor, movies, run),
        eval_dataset=held_out and training_pairs(model, processor, with_first_plot(held_out), run),
        processing_class=processor,
        compute_metrics=trainer_metrics,
        chunk_size=run.chunk_size,
        layer_decay=run.layer_decay,
    )
    trainer.train(resume_from_checkpoint=resume_point(run.resume_from_checkpoint, run.output_dir))
    trainer.save_model()
    trainer.save_state()
    if trainer.is_world_process_zero():
        write_results(
            Path(run.output_dir) / "training.json",
            {
                "catalogue": catalogue.report(),
                "train_splits": splits.train_splits,
                "data_fingerprint": fingerprint(movies),
                "model": vars(architecture),
                "arguments": run.to_sanitized_dict(),
                "best_metric": trainer.state.best_metric,
                "log": trainer.state.log_history,
            },
        )
    if run.push_to_hub:
        trainer.push_to_hub()
    trainer.accelerator.end_training()
    print(f"The model is in {run.output_dir}")


def training_pairs(
    model: PosterCLIPModel, processor: PosterCLIPProcessor, movies: Dataset, run: TrainingArguments
) -> MoviePairs:
    """The movies as pairs; a frozen encoder runs once here, not once an epoch."""
    features = {}
    size = run.per_device_eval_batch_size
    if is_frozen(model.vision_model):
        batches = image_batches(movies, processor, batch_size=size, workers=run.dataloader_num_workers)
        features["image_features"] = encode_posters(model, batches)
    if is_frozen(model.text_model):
        features["text_features"] = encode_plots(model, text_batches(movies, processor, batch_size=size))
    return MoviePairs(movies, seed=run.seed, **features)


if __name__ == "__main__":
    main()
