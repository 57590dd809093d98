"""Whether a run can be what its arguments ask for, and where it goes on."""

import logging
from pathlib import Path

from transformers import TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

logger = logging.getLogger(__name__)


def check_arguments(
    args: TrainingArguments, chunk_size: int | None, layer_decay: float | None, genre_weight: float
) -> None:
    """Refuse, by name, what a contrastive run cannot honour.

    Args:
        args: of the run.
        chunk_size: pairs in the encoders at a time.
        layer_decay: of the learning rate, from layer group to layer group.
        genre_weight: of overlapping genres in the targets.

    Raises:
        ValueError: the name of the first value that cannot be used, and why.
    """
    reasons = {
        "dataloader_persistent_workers": (
            args.dataloader_persistent_workers,
            "a resumed run would draw other random numbers than an uninterrupted one",
        ),
        "per_device_train_batch_size": (
            args.train_batch_size * args.world_size == 1,
            "a movie is compared with the others of its batch",
        ),
        "train_sampling_strategy": (
            args.train_sampling_strategy == "batch_rebalance",
            "its batches differ in size, and a movie is compared with the others of its batch",
        ),
        "dispatch_batches": (
            getattr(args.accelerator_config, "dispatch_batches", None),
            "each process reads its own rows",
        ),
        "label_smoothing_factor": (args.label_smoothing_factor, "positives are movies, not classes"),
        "batch_eval_metrics": (args.batch_eval_metrics, "metrics are those of the whole pool"),
        "eval_do_concat_batches": (not args.eval_do_concat_batches, "metrics are those of the whole pool"),
        "chunk_size": (chunk_size is not None and chunk_size < 1, "a chunk holds at least one pair"),
        "layer_decay": (layer_decay is not None and not 0 < layer_decay <= 1, "it lies between 0 and 1"),
        "genre_weight": (not 0 <= genre_weight <= 1, "it lies between 0 and 1"),
    }
    for name, (refused, reason) in reasons.items():
        if refused:
            raise ValueError(f"This value of {name} cannot be used: {reason}.")


def resume_point(resume: str | None, output_dir: str) -> str | None:
    """The checkpoint folder to resume from, or None to start anew.

    Args:
        resume: "True" for the newest whole checkpoint of `output_dir`, or a checkpoint's folder, or None.
        output_dir: of the run. A checkpoint whose writing was cut off is passed over.

    Raises:
        ValueError: the named folder is no whole checkpoint.
    """
    if resume is None or resume.lower() == "false":
        return None
    if resume.lower() != "true":
        if not (Path(resume) / TRAINER_STATE_NAME).is_file():
            raise ValueError(f"{resume} is no whole checkpoint: it has no {TRAINER_STATE_NAME}.")
        return resume
    # Trainer writes the state last, so a folder without it is not whole.
    whole = [state.parent for state in Path(output_dir).glob(f"checkpoint-*/{TRAINER_STATE_NAME}")]
    if not whole:
        logger.warning("There is no whole checkpoint in %s: training starts anew.", output_dir)
    return max(map(str, whole), key=lambda name: int(name.rsplit("-", 1)[1]), default=None)
