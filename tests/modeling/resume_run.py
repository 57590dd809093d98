"""One training run of a tiny model, as a process that is killed.

`resume_run.py VISION TEXT MODES FOLDER KILL_STEP [extras] [reads]`

`run` resumes from the folder's last checkpoint if there is one. MODES are those of the two towers (`lora,full`), plots
are drawn anew each epoch, and the best model is loaded at the end. With extras, all else that draws or reorders is on
too: augmentation, grouping by length, soft targets, gradient caching, workers. With reads, the model reads what is
printed on posters, of which some show nothing, others in each epoch.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
from datasets import Dataset
from PIL import Image
from transformers import TrainerCallback, TrainingArguments

from modeling.arguments import resume_point
from modeling.trainer import PosterCLIPTrainer
from processing.collation import MoviePairs, PairCollator
from tests.tiny import tiny_model_in_modes, tiny_processor

STEPS_PER_EPOCH, EPOCHS = 4, 3
READS = {"poster_text": True, "lexical_dim": 16}


class KillAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def tiny_movies(count: int = 2 * STEPS_PER_EPOCH) -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    letters = "abcdefghijklmnopqrstuvwxyz" * 3
    plots = [[letters[i : i + 3 + draw] for draw in range(3)] for i in range(count)]
    genres = [["drama", "crime", "comedy"][i % 2 : 1 + i % 3] for i in range(count)]
    images = [Image.fromarray(image) for image in pixels]
    printed = [[{"text": letters[i : i + 2 + i % 4].upper(), "score": 0.9, "box": None}] for i in range(count)]
    printed[1], printed[-1] = [], None
    return Dataset.from_dict({"image": images, "plots": plots, "genres": genres, "poster_text": printed})


class BestAt(TrainerCallback):
    """Makes the evaluation at one step the best of all."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        metrics["eval_loss"] = float(abs(state.global_step - self.step))


def run(
    vision: str,
    text: str,
    modes: str,
    folder: Path,
    *callbacks: TrainerCallback,
    best_at: int = EPOCHS * STEPS_PER_EPOCH,
    extras: bool = False,
    reads: bool = False,
) -> PosterCLIPTrainer:
    processor = tiny_processor()
    movies = tiny_movies()
    shown = {"poster_text": reads, "poster_text_dropout": 0.3 * reads}
    pairs = MoviePairs(movies, processor, augment=extras, genres=extras, **shown)
    model = tiny_model_in_modes(vision, text, modes, **READS if reads else {})
    if reads:
        model.lexical.fit(processor.tokenizer, [plot for plots in pairs.plots for plot in plots])
    trainer = PosterCLIPTrainer(
        model,
        TrainingArguments(
            str(folder),
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=2,
            dataloader_num_workers=2 * extras,
            train_sampling_strategy="group_by_length" if extras else "random",
            learning_rate=1e-2,
            eval_strategy="steps",
            eval_steps=2,
            save_steps=2,
            load_best_model_at_end=True,
            remove_unused_columns=False,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        data_collator=PairCollator(processor),
        train_dataset=pairs,
        eval_dataset=MoviePairs(movies, processor, poster_text=reads),
        processing_class=processor,
        callbacks=[BestAt(best_at), *callbacks],
        layer_decay=0.8,
        chunk_size=1 if extras else None,
        genre_weight=0.3 if extras else 0.0,
    )
    trainer.train(resume_from_checkpoint=resume_point("True", str(folder)))
    return trainer


if __name__ == "__main__":
    switches = {name: name in sys.argv[6:] for name in ("extras", "reads")}
    run(*sys.argv[1:4], Path(sys.argv[4]), KillAt(int(sys.argv[5])), **switches)
