"""The configuration of PosterCLIP: its two encoders, their poolings and the shared embedding space."""

import json
import math
import os
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from .sentence_files import POOLINGS
from .sentence_posterclip import SentencePosterCLIP

# The poolings that each family supports; the first is the default. Other families use "mean", which every encoder
# supports, and decoders the last token, the only one that attends to all.
_VISION_POOLINGS: dict[str, tuple[str, ...]] = {
    "vit": ("cls", "mean", "pooler"),
    "deit": ("cls", "mean", "pooler"),
    "dinov2": ("cls", "mean"),
    "dinov2_with_registers": ("cls", "mean"),
    "dinov3_vit": ("cls", "mean"),
    "dinov3_convnext": ("pooler", "mean"),
    "clip_vision_model": ("pooler", "cls", "mean"),
    "metaclip_2_vision_model": ("pooler", "cls", "mean"),
    "siglip_vision_model": ("pooler", "mean"),
    "siglip2_vision_model": ("pooler", "mean"),
    "swin": ("pooler", "mean"),
    "resnet": ("pooler", "mean"),
    "efficientnet": ("pooler", "mean"),
    "convnext": ("pooler", "mean"),
    "convnextv2": ("pooler", "mean"),
    "mobilenet_v2": ("pooler", "mean"),
    "swinv2": ("pooler", "mean"),
}
_TEXT_POOLINGS: dict[str, tuple[str, ...]] = {
    "bert": (*POOLINGS, "pooler"),
    "roberta": (*POOLINGS, "pooler"),
    "mpnet": (*POOLINGS, "pooler"),
    "distilbert": POOLINGS,
    "modernbert": POOLINGS,
    "clip_text_model": ("pooler", *POOLINGS),
    "metaclip_2_text_model": ("pooler", *POOLINGS),
    "siglip_text_model": ("pooler",),
    "siglip2_text_model": ("pooler",),
}
_SUPPORTED: dict[str, dict[str, tuple[str, ...]]] = {"vision": _VISION_POOLINGS, "text": _TEXT_POOLINGS}

MAX_LOGIT_SCALE = math.log(100)

# Increases when older code would misread newly saved models.
FORMAT_VERSION = 1


def _check_encoder(field: str, config: Any) -> None:
    if not (config is None or isinstance(config, dict | PreTrainedConfig)):
        raise ValueError(f"{field} must be a transformers configuration or a dict, not {type(config).__name__}.")
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if model_type is not None and model_type not in CONFIG_MAPPING:
        similar = get_close_matches(model_type, CONFIG_MAPPING.keys(), n=3)
        hint = f"did you mean {' or '.join(similar)}?" if similar else "transformers.CONFIG_MAPPING lists all of them."
        raise ValueError(f"{field}: transformers has no model type {model_type!r}; {hint}")


def _is_decoder(config: PreTrainedConfig) -> bool:
    if getattr(config, "use_bidirectional_attention", False) or getattr(config, "is_encoder_decoder", False):
        return False
    family = config.model_type
    return family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


@strict
class PosterCLIPConfig(PreTrainedConfig):
    """The configuration of a `PosterCLIPModel`. Every field is checked, and an error names the field.

    Args:
        vision_config: the configuration of the poster encoder, an object or a dict, of any family of `AutoModel`.
        text_config: the configuration of the plot encoder, likewise.
        projection_dim: the dimension of the projected image and text embeddings.
        vision_pooling, text_pooling: how an encoder's output is pooled to one feature: its class token (`cls`), the
            mean over tokens or positions (`mean`), or the encoder's own pooling head (`pooler`); for texts also the
            last token, the maximum or a weighted mean (see `pool`). `auto` is replaced by the default of the encoder's
            family.
        text_head: the layers of the plot encoder's checkpoint after its pooling (see `build_head`).
        vision_dtype, text_dtype: the dtype of an encoder's weights where it is not that of the model, as of a frozen
            one in bfloat16; a saved model has it.
        prompt_ids: the token ids with which texts of each prompt begin, which are no part of their n-grams.
        loss: `contrastive` (symmetric InfoNCE) or `sigmoid` (SigLIP).
        logit_scale_init_value: the initial logarithm of the learnable logit scale; 2.6592 is CLIP's ln(1 / 0.07).
        logit_bias_init_value: the initial value of the learnable logit bias of the sigmoid loss; -10 is SigLIP's.
        use_poster_text: whether the image side also encodes the poster text, with the plot encoder.
        image_weight_init_value: the initial weight of the image embedding beside the text embedding of a poster with
            text. 0 fixes the weight at 0.
        char_ngram_dim: the number of dimensions of the n-gram embedding; 0 for a model without one.
        title_weight: the weight of a movie's titles beside its plots, in `PosterCLIPModel.movie_features`.
        format_version: the version of the saved format. A version newer than the code's own is an error.

    Example:
        >>> config = PosterCLIPConfig(vision_config={"model_type": "vit"}, text_config={"model_type": "bert"})
        >>> config.vision_pooling, config.text_pooling
        ('cls', 'mean')
    """

    model_type = "posterclip"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vit"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
    }
    # Evaluation scores the whole pool, so it gathers embeddings and not the logits of a batch.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["logits_per_image", "logits_per_text"]

    vision_config: Any = None
    text_config: Any = None
    projection_dim: int = 512
    vision_pooling: Literal["auto", "cls", "mean", "pooler"] = "auto"
    text_pooling: Literal["auto", "mean", "cls", "max", "lasttoken", "weightedmean", "pooler"] = "auto"
    text_head: list[dict[str, Any]] | tuple[()] = ()
    prompt_ids: list[list[int]] | tuple[()] = ()
    vision_dtype: str | None = None
    text_dtype: str | None = None
    loss: Literal["contrastive", "sigmoid"] = "contrastive"
    logit_scale_init_value: float | int = 2.6592
    logit_bias_init_value: float | int = -10.0
    use_poster_text: bool = False
    image_weight_init_value: float | int = 0.1
    char_ngram_dim: int = 0
    title_weight: float | int = 2.0
    format_version: int = FORMAT_VERSION

    def __post_init__(self, **kwargs: Any) -> None:
        """Rejects misspelt fields, builds the encoder configurations and resolves the poolings."""
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"format_version {self.format_version} is newer than {FORMAT_VERSION}, which this code supports: use "
                "the code in the model's folder (trust_remote_code=True), or a newer PosterCLIP."
            )
        own = [field.name for field in fields(self) if field not in fields(PreTrainedConfig)]
        for name in kwargs:
            # transformers and other tools store fields of their own, so only names similar to ours are errors.
            if similar := get_close_matches(name, own, n=1, cutoff=0.75):
                raise ValueError(f"PosterCLIPConfig has no field {name!r}: did you mean {similar[0]!r}?")
        for encoder in ("vision_config", "text_config"):
            _check_encoder(encoder, getattr(self, encoder))
        super().__post_init__(**kwargs)
        for encoder, poolings in _SUPPORTED.items():
            if getattr(self, f"{encoder}_pooling") == "auto":
                config = getattr(self, f"{encoder}_config")
                default = "lasttoken" if _is_decoder(config) else "mean"
                setattr(self, f"{encoder}_pooling", poolings.get(config.model_type, (default,))[0])

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Saves the configuration, and `modules.json`, which sentence-transformers needs to load the folder."""
        super().save_pretrained(save_directory, *args, **kwargs)
        name = f"{SentencePosterCLIP.__module__.rsplit('.', 1)[-1]}.{SentencePosterCLIP.__name__}"
        modules = [{"idx": 0, "name": "0", "path": "", "type": name}]
        (Path(save_directory) / "modules.json").write_text(json.dumps(modules, indent=2), encoding="utf-8")

    def validate_projection(self) -> None:
        """Checks that projection_dim is positive."""
        if self.projection_dim < 1:
            raise ValueError(f"projection_dim must be at least 1, not {self.projection_dim}.")

    def validate_char_ngrams(self) -> None:
        """Checks that n-grams are only used together with poster text: both sides need n-grams."""
        if self.char_ngram_dim < 0:
            raise ValueError(f"char_ngram_dim must be at least 0, not {self.char_ngram_dim}.")
        if self.char_ngram_dim and not self.use_poster_text:
            raise ValueError(
                f"char_ngram_dim={self.char_ngram_dim} needs use_poster_text=True: posters have no n-grams without it."
            )

    def validate_pooling(self) -> None:
        """Checks that each encoder's family supports its pooling."""
        for encoder, poolings in _SUPPORTED.items():
            family, pooling = getattr(self, f"{encoder}_config").model_type, getattr(self, f"{encoder}_pooling")
            if pooling not in poolings.get(family, (pooling,)):
                raise ValueError(
                    f"{encoder}_pooling={pooling!r} is not available for {family!r}: "
                    f"choose one of {', '.join(poolings[family])}."
                )

    def validate_logit_scale(self) -> None:
        """Checks that the logarithm of the logit scale lies in 0..ln 100, as in CLIP."""
        if not 0 <= self.logit_scale_init_value <= MAX_LOGIT_SCALE:
            raise ValueError(f"logit_scale_init_value must lie in 0..ln 100, not {self.logit_scale_init_value}.")


PosterCLIPConfig.register_for_auto_class("AutoConfig")
