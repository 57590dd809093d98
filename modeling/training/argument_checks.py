"""Checks of a run's arguments, and the checkpoint from which it resumes."""

import logging
from pathlib import Path

from transformers import TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

logger = logging.getLogger(__name__)


def check_arguments(
    args: TrainingArguments, chunk_size: int | None, layer_decay: float | None, genre_weight: float
) -> None:
    """Checks that `PosterCLIPTrainer` supports the arguments of a run.

    Args:
        args: the training arguments.
        chunk_size: the number of pairs in a chunk of gradient caching.
        layer_decay: the factor of the learning rate from one layer group to the next.
        genre_weight: the weight of common genres in soft targets.

    Raises:
        ValueError: an argument has a value that is not supported; it names the argument and the reason.
    """
    reasons = {
        "dataloader_persistent_workers": (
            args.dataloader_persistent_workers,
            "a resumed run would use other random numbers than an uninterrupted one",
        ),
        "per_device_train_batch_size": (
            args.train_batch_size * args.world_size == 1,
            "the negatives of a movie are the other movies of its batch",
        ),
        "train_sampling_strategy": (
            args.train_sampling_strategy == "batch_rebalance",
            "its batches differ in size, and the negatives of a movie are the other movies of its batch",
        ),
        "dispatch_batches": (
            getattr(args.accelerator_config, "dispatch_batches", None),
            "each process reads its own rows",
        ),
        "label_smoothing_factor": (args.label_smoothing_factor, "positives are movies, not classes"),
        "batch_eval_metrics": (args.batch_eval_metrics, "metrics are computed over the whole pool"),
        "eval_do_concat_batches": (not args.eval_do_concat_batches, "metrics are computed over the whole pool"),
        "chunk_size": (chunk_size is not None and chunk_size < 1, "a chunk has at least one pair"),
        "layer_decay": (layer_decay is not None and not 0 < layer_decay <= 1, "it must lie between 0 and 1"),
        "genre_weight": (not 0 <= genre_weight <= 1, "it must lie between 0 and 1"),
    }
    for name, (refused, reason) in reasons.items():
        if refused:
            raise ValueError(f"This value of {name} cannot be used: {reason}.")


def resume_point(resume: str | None, output_dir: str) -> str | None:
    """Returns the folder of the checkpoint to resume from, or None for a new run.

    Args:
        resume: "True" for the newest complete checkpoint in `output_dir`, the folder of a checkpoint, or None.
        output_dir: the output folder of the run. Incomplete checkpoints in it are skipped.

    Raises:
        ValueError: `resume` is not the folder of a complete checkpoint.
    """
    if resume is None or resume.lower() == "false":
        return None
    if resume.lower() != "true":
        if not (Path(resume) / TRAINER_STATE_NAME).is_file():
            raise ValueError(f"{resume} is not a complete checkpoint: it has no {TRAINER_STATE_NAME}.")
        return resume
    # Trainer writes the state last, so a checkpoint without it is incomplete.
    complete = [state.parent for state in Path(output_dir).glob(f"checkpoint-*/{TRAINER_STATE_NAME}")]
    if not complete:
        logger.warning("There is no complete checkpoint in %s: training starts from the beginning.", output_dir)
    return max(map(str, complete), key=lambda name: int(name.rsplit("-", 1)[1]), default=None)
