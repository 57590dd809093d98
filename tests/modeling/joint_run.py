"""A few training steps of a model without dropout, alone or as one of several processes.

`joint_run.py FOLDER LOSS MODES [CHUNK_SIZE]`, the modes as in resume_run.py

Started by torchrun with N processes, each takes its share of the batch of 8.
"""

import os
import sys
from pathlib import Path

from transformers import TrainingArguments

from modeling.trainer import PosterCLIPTrainer
from processing.collation import MoviePairs, PairCollator
from tests.modeling.resume_run import tiny_movies
from tests.tiny import tiny_model_in_modes, tiny_processor


def run(folder: Path, loss: str, modes: str, chunk_size: int | None = None) -> PosterCLIPTrainer:
    processor = tiny_processor()
    trainer = PosterCLIPTrainer(
        tiny_model_in_modes("vit", "modernbert", modes, loss=loss),
        TrainingArguments(
            str(folder),
            max_steps=4,
            per_device_train_batch_size=8 // int(os.environ.get("WORLD_SIZE", "1")),
            learning_rate=1e-2,
            optim="sgd",
            save_strategy="no",
            remove_unused_columns=False,
            disable_tqdm=True,
            use_cpu=True,
            ddp_backend="gloo" if "WORLD_SIZE" in os.environ else None,
        ),
        data_collator=PairCollator(processor),
        train_dataset=MoviePairs(tiny_movies(16)),
        processing_class=processor,
        chunk_size=chunk_size,
    )
    trainer.train()
    trainer.save_model()
    return trainer


if __name__ == "__main__":
    run(Path(sys.argv[1]), *sys.argv[2:4], *map(int, sys.argv[4:])).leave_process_group()
