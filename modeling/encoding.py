"""Runs encoders over posters and plots, each once and without gradients.

On the CPU a feature depends on its poster or plot alone, to the bit. A matrix product may round otherwise when its
shape changes, so every call there has the same shape whatever the batch: eight posters, or one plot without padding.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from .modeling_posterclip import PosterCLIPModel

CPU_POSTERS = 8
OTHER_ROWS = 256


@torch.no_grad()
def poster_features(model: PosterCLIPModel, pixel_values: Tensor) -> Tensor:
    """Pooled features of posters, (posters, feature), in bounded memory; the same for a poster whatever the batch.

    Args:
        model: its poster encoder must be in eval.
        pixel_values: (posters, 3, height, width).
    """
    if pixel_values.device.type != "cpu":
        return torch.cat([model.vision_features(rows) for rows in pixel_values.split(OTHER_ROWS)])
    features = []
    for rows in pixel_values.split(CPU_POSTERS):
        filled = F.pad(rows, (0,) * 7 + (CPU_POSTERS - len(rows),))
        features.append(model.vision_features(filled)[: len(rows)])
    return torch.cat(features)


@torch.no_grad()
def plot_features(model: PosterCLIPModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Pooled features of plots, (plots, feature), in bounded memory; the same for a plot whatever the batch.

    Args:
        model: its plot encoder must be in eval.
        input_ids: (plots, tokens).
        attention_mask: (plots, tokens), 0 where a token is padding.
    """
    on_cpu = input_ids.device.type == "cpu"
    features = []
    for ids, mask in zip(
        *(side.split(1 if on_cpu else OTHER_ROWS) for side in (input_ids, attention_mask)), strict=True
    ):
        used = mask.any(0)
        features.append(model.text_features(ids[:, used], mask[:, used]))
    return torch.cat(features)


def encode_posters(
    model: PosterCLIPModel,
    batches: Iterable[Mapping[str, Tensor]],
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Tensor:
    """Pooled features of posters, (posters, feature), float32 on the CPU.

    Args:
        model: stays in its mode afterwards; encoding itself is always in eval.
        batches: each holds `pixel_values`.
        autocast: a context for the encoder.
    """
    return _encode(model, poster_features, batches, autocast, "posters")


def encode_plots(
    model: PosterCLIPModel,
    batches: Iterable[Mapping[str, Tensor]],
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Tensor:
    """Pooled features of plots, (plots, feature); as `encode_posters`, of `input_ids` and `attention_mask`."""
    return _encode(model, plot_features, batches, autocast, "plots")


def _encode(
    model: PosterCLIPModel,
    features: Callable[..., Tensor],
    batches: Iterable[Mapping[str, Tensor]],
    autocast: Callable[[], AbstractContextManager[Any]],
    what: str,
) -> Tensor:
    was_training = model.training
    model.eval()
    rows = []
    for batch in tqdm(batches, desc=f"Encoding {what}", unit="batch"):
        with autocast():
            rows.append(features(model, **{name: value.to(model.device) for name, value in batch.items()}))
        rows[-1] = rows[-1].float().cpu()
    model.train(was_training)
    return torch.cat(rows)


@torch.no_grad()
def embed(model: PosterCLIPModel, image_features: Tensor, text_features: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised embeddings of pooled features, (posters, projection_dim) and (plots, projection_dim), on the CPU."""
    images = model(image_features=image_features.to(model.device)).image_embeds
    texts = model(text_features=text_features.to(model.device)).text_embeds
    return images.float().cpu(), texts.float().cpu()
