"""Training runs of tiny models: trainers for them, runs that are resumed, and runs of several processes."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image
from transformers import TrainerCallback, TrainingArguments

from modeling import PosterCLIPModel
from modeling.training.argument_checks import resume_point
from modeling.training.trainer import PosterCLIPTrainer
from processing.data.collation import MoviePairs, PairCollator
from tests.tiny import tiny_model_in_modes, tiny_processor

STEPS_PER_EPOCH, EPOCHS = 4, 3
READS = {"use_poster_text": True, "char_ngram_dim": 16}


def tiny_movies(count: int = 2 * STEPS_PER_EPOCH) -> Dataset:
    """Movies with plots, titles and genres; what is printed on their posters differs, is nothing, or was never read."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    letters = "abcdefghijklmnopqrstuvwxyz" * 3
    plots = [[letters[i : i + 3 + draw] for draw in range(3)] for i in range(count)]
    genres = [["drama", "crime", "comedy"][i % 2 : 1 + i % 3] for i in range(count)]
    images = [Image.fromarray(image) for image in pixels]
    printed = [[{"text": letters[i : i + 2 + i % 4].upper(), "score": 0.9, "box": None}] for i in range(count)]
    printed[1], printed[-1] = [], None
    titles = [letters[i : i + 4] for i in range(count)]
    columns = {"image": images, "plots": plots, "title": titles, "genres": genres, "poster_text": printed}
    return Dataset.from_dict(columns)


def tiny_trainer(
    model: PosterCLIPModel,
    folder: Path,
    pairs: MoviePairs | None = None,
    options: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> PosterCLIPTrainer:
    """A trainer, by default on `tiny_movies`, with options of its own and arguments of transformers' Trainer."""
    processor = tiny_processor()
    quiet = {"remove_unused_columns": False, "report_to": "none", "disable_tqdm": True, "use_cpu": True}
    return PosterCLIPTrainer(
        model,
        TrainingArguments(str(folder), **{"save_strategy": "no", **quiet, **arguments}),
        data_collator=PairCollator(processor),
        train_dataset=pairs or MoviePairs(tiny_movies(), processor),
        processing_class=processor,
        **options or {},
    )


class KillAt(TrainerCallback):
    """Kills its process after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


class BestAt(TrainerCallback):
    """Makes the evaluation at one step the best of all."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        metrics["eval_loss"] = float(abs(state.global_step - self.step))


def resumable_run(
    vision: str,
    text: str,
    modes: str,
    folder: Path,
    *callbacks: TrainerCallback,
    best_at: int = EPOCHS * STEPS_PER_EPOCH,
    extras: bool = False,
    reads: bool = False,
) -> PosterCLIPTrainer:
    """A run that goes on from the folder's last checkpoint if there is one.

    Plots are drawn anew each epoch, and the best model is loaded at the end. With `extras`, all else that draws or
    reorders is on too: augmentation, grouping by length, soft targets, gradient caching, workers. With `reads`, the
    model reads what is printed on posters, of which some show nothing, and titles are shown to some, others in each
    epoch.
    """
    processor, movies = tiny_processor(), tiny_movies()
    shown = {"use_poster_text": reads, "poster_text_dropout": 0.3 * reads, "title_share": 0.5 * reads}
    pairs = MoviePairs(movies, processor, augment=extras, genres=extras, **shown)
    model = tiny_model_in_modes(vision, text, modes, **READS if reads else {})
    if reads:
        model.char_ngrams.fit(processor.tokenizer, [plot for plots in pairs.plots for plot in plots])
    options = {
        "eval_dataset": MoviePairs(movies, processor, use_poster_text=reads),
        "callbacks": [BestAt(best_at), *callbacks],
        "layer_decay": 0.8,
        "chunk_size": 1 if extras else None,
        "genre_weight": 0.3 if extras else 0.0,
    }
    trainer = tiny_trainer(
        model,
        folder,
        pairs,
        options,
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=2,
        dataloader_num_workers=2 * extras,
        train_sampling_strategy="group_by_length" if extras else "random",
        learning_rate=1e-2,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
    )
    trainer.train(resume_from_checkpoint=resume_point("True", str(folder)))
    return trainer


def joint_run(
    folder: Path, loss: str, modes: str = "full,full", order: str = "random", reads: bool = False, **options: Any
) -> PosterCLIPTrainer:
    """A few steps of a model without dropout, alone or as one of several processes, each with its share of the batch.

    The last batch of an epoch is smaller than the others, and an odd number.
    """
    movies = tiny_movies(48 if order == "group_by_length" else 13)
    trainer = tiny_trainer(
        tiny_model_in_modes("vit", "modernbert", modes, loss=loss, **READS if reads else {}),
        folder,
        MoviePairs(movies, tiny_processor(), genres=True, use_poster_text=reads, title_share=0.5 * reads),
        options,
        max_steps=4,
        per_device_train_batch_size=8 // int(os.environ.get("WORLD_SIZE", "1")),
        learning_rate=1e-2,
        optim="sgd",
        train_sampling_strategy=order,
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ else None,
    )
    trainer.train()
    trainer.save_model()
    return trainer
