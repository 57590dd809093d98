"""The settings of a training run: the model, the splits, the stream and the arguments of the trainer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments

from scripts.common.command_line import FEATURE_CACHE, load_model

if TYPE_CHECKING:
    from modeling import PosterCLIPModel
    from processing import PosterCLIPProcessor

NEW_MODEL = (
    *("projection_dim", "vision_pooling", "text_pooling", "loss", "logit_scale_init_value"),
    *("use_poster_text", "image_weight_init_value", "char_ngram_dim"),
)
WITH_OCR_TEXT = ("image_weight_init_value", "poster_text_prompt")


@dataclass
class ModelArguments:
    """The model to train: a saved one, or a new one of two encoders."""

    model_name_or_path: str | None = field(default=None, metadata={"help": "A saved PosterCLIP to train further."})
    vision_model_name_or_path: str | None = field(default=None, metadata={"help": "New model: the image encoder."})
    text_model_name_or_path: str | None = field(default=None, metadata={"help": "New model: the text encoder."})
    projection_dim: int | None = field(default=None, metadata={"help": "New model: the size of its embeddings."})
    vision_pooling: str | None = field(default=None, metadata={"help": "New model: auto, cls, mean or pooler."})
    text_pooling: str | None = field(
        default=None, metadata={"help": "New model: auto, mean, cls, max, lasttoken, weightedmean or pooler."}
    )
    text_prompt: str | None = field(
        default=None, metadata={"help": "New model: is put before plots and titles, in place of the encoder's own."}
    )
    poster_text_prompt: str | None = field(
        default=None, metadata={"help": "New model: is put before OCR texts, in place of the encoder's own."}
    )
    loss: str | None = field(default=None, metadata={"help": "New model: contrastive or sigmoid."})
    logit_scale_init_value: float | None = field(default=None, metadata={"help": "New model: ln(1 / temperature)."})
    use_poster_text: bool | None = field(
        default=None, metadata={"help": "New model: whether it also uses the OCR text of a poster."}
    )
    image_weight_init_value: float | None = field(
        default=None, metadata={"help": "New model with OCR text: weight of the image embedding beside the text."}
    )
    char_ngram_dim: int | None = field(
        default=None, metadata={"help": "New model with OCR text: dimensions for character n-grams, 0 by default."}
    )
    max_length: int = field(default=128, metadata={"help": "New model: plots are truncated to this many tokens."})
    whole_poster: bool | None = field(
        default=None,
        metadata={"help": "New model: resize posters where the image processor would cut out their centre."},
    )
    vision_mode: str = field(
        default="full",
        metadata={"help": "What of the image encoder trains: frozen, last-K (layer groups), lora or full."},
    )
    text_mode: str = field(default="full", metadata={"help": "What of the text encoder trains, in the same words."})
    frozen_dtype: str = field(
        default="float32",
        metadata={"help": "New model: dtype of frozen encoders, float32, or auto for that of their checkpoint."},
    )
    lora_rank: int | None = field(default=None, metadata={"help": "Rank for encoders in mode lora, 16 by default."})

    def __post_init__(self) -> None:
        """Refuses wrong modes before anything is loaded."""
        from modeling.training.freezing import check_modes

        if self.frozen_dtype not in ("float32", "auto"):
            raise ValueError(f"frozen_dtype: float32 or auto, not {self.frozen_dtype!r}.")
        self.lora_rank = check_modes(self.vision_mode, self.text_mode, lora_rank=self.lora_rank)

    def build(self) -> tuple[PosterCLIPModel, PosterCLIPProcessor]:
        """Returns the model, its encoders in their modes, and its processor."""
        from modeling import PosterCLIPModel
        from modeling.training.freezing import set_mode
        from processing import PosterCLIPProcessor
        from scripts.common.dry_run import dry_run

        fields = {name: getattr(self, name) for name in NEW_MODEL if getattr(self, name) is not None}
        names = ("vision_model_name_or_path", "text_model_name_or_path")
        only_new = (*names, "whole_poster", "text_prompt", "poster_text_prompt")
        if self.model_name_or_path:
            if given := [name for name in (*only_new, *fields) if getattr(self, name) is not None]:
                raise ValueError(
                    f"{', '.join(given)}: a saved model (--model_name_or_path) has its own. "
                    "scripts/configs/finetune.yaml holds settings to train one further."
                )
            model, processor = load_model(self.model_name_or_path)
        elif self.vision_model_name_or_path and self.text_model_name_or_path:
            encoders = self.vision_model_name_or_path, self.text_model_name_or_path
            processor = PosterCLIPProcessor.from_vision_text_pretrained(
                *encoders,
                self.max_length,
                run_ocr=bool(self.use_poster_text),
                whole_poster=bool(self.whole_poster),
                text_prompt=self.text_prompt,
                poster_text_prompt=self.poster_text_prompt,
            )
            kept = self.frozen_dtype
            model = PosterCLIPModel.from_vision_text_pretrained(
                *encoders,
                vision_dtype=kept if self.vision_mode == "frozen" else "float32",
                text_dtype=kept if self.text_mode == "frozen" else "float32",
                prompt_ids=processor.prompt_ids,
                **fields,
            )
        else:
            raise ValueError(
                "Name a saved model (--model_name_or_path), or the two encoders of a new one "
                "(--vision_model_name_or_path and --text_model_name_or_path)."
            )
        dry_run(model, processor)
        for encoder, mode in ((model.vision_model, self.vision_mode), (model.text_model, self.text_mode)):
            if mode != "frozen":
                encoder.float()  # steps would be rounded away in 16 bits
            set_mode(encoder, mode, self.lora_rank)
        return model, processor


@dataclass
class SplitArguments:
    """The splits of the catalogue that are used."""

    train_splits: list[str] = field(default_factory=lambda: ["train"], metadata={"help": "Splits to train on."})
    eval_split: str = field(default="validation", metadata={"help": "Split to choose the best epoch by."})


@dataclass
class StreamArguments:
    """Whether rows are read while training runs."""

    streaming: bool = field(
        default=False,
        metadata={"help": "Read rows as they come, for data that is larger than the disk. Needs --max_steps."},
    )
    shuffle_buffer: int = field(default=1000, metadata={"help": "Streaming: rows that are shuffled together."})


@dataclass
class RunArguments(TrainingArguments):
    """The arguments of transformers' Trainer, with other defaults where posters need them."""

    chunk_size: int | None = field(
        default=None,
        metadata={"help": "Pairs in the encoders at a time: less memory, more time, the same gradients."},
    )
    feature_cache: str = field(
        default=FEATURE_CACHE,
        metadata={"help": "Folder for features of frozen encoders; none: frozen encoders run in every step."},
    )
    layer_decay: float | None = field(
        default=None, metadata={"help": "Learning rate of a layer group, divided by that of the group above it."}
    )
    augment: bool = field(
        default=False, metadata={"help": "Train on a different crop and brightness of each poster every epoch."}
    )
    mask_names: bool = field(default=False, metadata={"help": "Train on plots without the movie's title and names."})
    poster_text_dropout: float = field(
        default=0.0, metadata={"help": "Model with OCR text: share of posters without it, different ones each epoch."}
    )
    title_share: float = field(
        default=0.0, metadata={"help": "Share of movies with a title beside the plot, different ones each epoch."}
    )
    genre_weight: float = field(
        default=0.0, metadata={"help": "How much movies of the same genres count as positives, from 0 to 1."}
    )
    dataloader_pin_memory: bool = field(
        default_factory=torch.accelerator.is_available, metadata={"help": "True where there is an accelerator."}
    )
    remove_unused_columns: bool = field(default=False, metadata={"help": "The collator reads the raw columns."})

    def __post_init__(self) -> None:
        """Sets `greater_is_better` by the metric: transformers takes it as True for every metric but a loss."""
        given = self.greater_is_better
        super().__post_init__()
        greater = is_greater_better(self.metric_for_best_model)
        if given not in (None, greater):
            raise ValueError(
                f"greater_is_better: {'more' if greater else 'less'} {self.metric_for_best_model} is better."
            )
        self.greater_is_better = greater

    def use_loss_if_pool_is_small(self, pool_size: int) -> str | None:
        """Chooses the best epoch by loss where a random order of the pool reaches half of the best metric.

        Over 6 movies R@10 is 1 at every epoch, so it chooses nothing.

        Returns:
            A line that says so, or None.
        """
        found = re.search(r"(R|recall)@(\d+)$", self.metric_for_best_model or "")
        if not self.load_best_model_at_end or not found:
            return None
        from processing.pair_retrieval.measures import chance

        expected = chance(pool_size, ks=(int(found[2]),))[found[0]]
        if expected < 0.5:
            return None
        line = (
            f"The best epoch is chosen by loss: over {pool_size} movies a random order already has a "
            f"{found[0]} of {expected:.0%}."
        )
        self.metric_for_best_model, self.greater_is_better = "loss", False
        return line


def is_greater_better(metric: str | None) -> bool:
    """Returns whether more of a metric is better: less is of a loss and of a rank.

    Example:
        >>> is_greater_better("R@10"), is_greater_better("image_to_text_mean_rank"), is_greater_better(None)
        (True, False, False)
    """
    return not (metric or "loss").endswith(("loss", "rank"))


def check_settings(
    splits: SplitArguments, stream: StreamArguments, architecture: ModelArguments, run: RunArguments
) -> None:
    """Raises ValueError, before anything is loaded, for settings that contradict each other."""
    from modeling.training.argument_checks import check_arguments
    from processing.evaluation.retrieval import METRICS

    check_arguments(run, run.chunk_size, run.layer_decay, run.genre_weight)
    if len(set(splits.train_splits)) < len(splits.train_splits):
        raise ValueError(f"train_splits: {' '.join(splits.train_splits)} names a split twice.")
    if run.eval_strategy != "no" and splits.eval_split in splits.train_splits:
        raise ValueError(f"eval_split: {splits.eval_split} is trained on, so it cannot choose the best epoch.")
    only_with_ocr = [name for name in WITH_OCR_TEXT if getattr(architecture, name) is not None]
    if only_with_ocr and not architecture.use_poster_text and not architecture.model_name_or_path:
        raise ValueError(f"{', '.join(only_with_ocr)}: only a model with OCR text (--use_poster_text True) uses it.")
    metric = (run.metric_for_best_model or "loss").removeprefix("eval_")
    if run.eval_strategy != "no" and metric not in ("loss", *METRICS):
        raise ValueError(f"metric_for_best_model: there is no {metric!r}; there are loss, {', '.join(METRICS)}.")
    grouped = run.train_sampling_strategy == "group_by_length"
    if grouped and architecture.text_mode == "frozen":
        raise ValueError("train_sampling_strategy=group_by_length: a frozen text encoder pads no batches.")
    cached = run.feature_cache != "none" and not stream.streaming
    if run.augment and architecture.vision_mode == "frozen" and cached:
        raise ValueError(
            "augment: every epoch has different posters, and the cached features of a frozen image encoder fit none "
            "of them. With --feature_cache none the encoder runs in every step."
        )
    if stream.streaming:
        if run.max_steps < 1:
            raise ValueError("The length of a stream is not known: say by --max_steps how long to train on it.")
        if stream.shuffle_buffer < 1:
            raise ValueError(f"shuffle_buffer: {stream.shuffle_buffer} rows cannot be shuffled.")
        whole: dict[str, Any] = {"group_by_length": grouped, "genre_weight": run.genre_weight}
        whole |= {"char_ngram_dim": architecture.char_ngram_dim, "poster_text_dropout": run.poster_text_dropout}
        if named := [name for name, value in whole.items() if value]:
            raise ValueError(f"{', '.join(named)}: not possible on a stream, whose movies are not known beforehand.")
