"""A few training steps of a model without dropout, alone or as one of several processes.

`joint_run.py FOLDER LOSS [OPTIONS]`, options of `run` as JSON.

Started by torchrun with N processes, each takes its share of the batch. The last batch of an epoch is smaller than
the others, and an odd number.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from modeling.trainer import PosterCLIPTrainer
from processing.collation import MoviePairs, PairCollator
from tests.modeling.resume_run import READS, tiny_movies
from tests.tiny import tiny_model_in_modes, tiny_processor


def run(
    folder: Path, loss: str, modes: str = "full,full", order: str = "random", reads: bool = False, **options: Any
) -> PosterCLIPTrainer:
    processor = tiny_processor()
    movies = tiny_movies(48 if order == "group_by_length" else 13)
    trainer = PosterCLIPTrainer(
        tiny_model_in_modes("vit", "modernbert", modes, loss=loss, **READS if reads else {}),
        TrainingArguments(
            str(folder),
            max_steps=4,
            per_device_train_batch_size=8 // int(os.environ.get("WORLD_SIZE", "1")),
            learning_rate=1e-2,
            optim="sgd",
            train_sampling_strategy=order,
            save_strategy="no",
            remove_unused_columns=False,
            disable_tqdm=True,
            use_cpu=True,
            ddp_backend="gloo" if "WORLD_SIZE" in os.environ else None,
        ),
        data_collator=PairCollator(processor),
        train_dataset=MoviePairs(movies, processor, genres=True, poster_text=reads),
        processing_class=processor,
        **options,
    )
    trainer.train()
    trainer.save_model()
    return trainer


if __name__ == "__main__":
    options = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    run(Path(sys.argv[1]), sys.argv[2], **options).leave_process_group()
