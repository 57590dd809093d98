"""One of several processes that train a tiny model on a stream: `stream_run.py CATALOGUE FOLDER`.

Writes the labels that it was trained on to FOLDER/RANK.json.
"""

import json
import sys
from pathlib import Path

from transformers import TrainingArguments

from modeling.training.trainer import PosterCLIPTrainer
from processing.data.collation import PairCollator
from processing.data.streaming import MovieStream, open_stream
from tests.tiny import tiny_model, tiny_processor


def run(catalogue: str, folder: Path) -> PosterCLIPTrainer:
    processor = tiny_processor()
    arguments = TrainingArguments(
        str(folder),
        max_steps=6,
        per_device_train_batch_size=4,
        save_strategy="no",
        remove_unused_columns=False,
        disable_tqdm=True,
        use_cpu=True,
        ddp_backend="gloo",
    )
    rows = open_stream(catalogue, ["train"])
    share = {"process_index": arguments.process_index, "processes": arguments.world_size}
    stream = MovieStream(rows, processor, buffer_size=4, **share)
    trainer = PosterCLIPTrainer(
        tiny_model("vit", "modernbert"),
        arguments,
        data_collator=PairCollator(processor),
        train_dataset=stream,
        processing_class=processor,
    )
    seen: list[list[int]] = []
    step = trainer.training_step
    trainer.training_step = lambda model, inputs, *rest: (
        seen.extend(inputs["positive_ids"].tolist()),
        step(model, inputs, *rest),
    )[1]
    trainer.train()
    (folder / f"{arguments.process_index}.json").write_text(json.dumps(seen))
    return trainer


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    run(sys.argv[1], Path(sys.argv[2])).leave_process_group()
