"""Runs encoders over posters and plots, each once and without gradients.

On the CPU a feature depends on its poster or plot alone, to the bit: a matrix product rounds otherwise in another
shape, and otherwise in another place of the same shape, so posters and plots go through the encoders one by one there.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from modeling.posterclip.modeling_posterclip import PosterCLIPModel

ROWS = 256


@torch.no_grad()
def poster_features(model: PosterCLIPModel, pixel_values: Tensor) -> Tensor:
    """Pooled features of posters, (posters, feature), in bounded memory; the same for a poster whatever the batch.

    Args:
        model: its poster encoder must be in eval.
        pixel_values: (posters, 3, height, width).
    """
    rows = pixel_values.split(_rows_at_a_time(pixel_values.device))
    # A view may begin where memory is aligned differently, and then round differently.
    return torch.cat([model.vision_features(part.clone()) for part in rows])


@torch.no_grad()
def plot_features(model: PosterCLIPModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Pooled features of plots, (plots, feature), in bounded memory; the same for a plot whatever the batch.

    Args:
        model: its plot encoder must be in eval.
        input_ids: (plots, tokens).
        attention_mask: (plots, tokens), 0 where a token is padding.
    """
    return _text_features(model.text_features, input_ids, attention_mask)


@torch.no_grad()
def poster_text_features(model: PosterCLIPModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """As `plot_features`, of what is printed on posters: zeros where a row of the mask is."""
    return _text_features(model.poster_text_features, input_ids, attention_mask)


def _text_features(features: Callable[..., Tensor], input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    size, rows = _rows_at_a_time(input_ids.device), []
    for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True):
        used = mask.any(0)
        used[0] = True
        rows.append(features(ids[:, used], mask[:, used]))
    return torch.cat(rows)


def _rows_at_a_time(device: torch.device) -> int:
    return 1 if device.type == "cpu" else ROWS


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
def embed(
    model: PosterCLIPModel, image_features: Tensor, text_features: Tensor, poster_text_features: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Normalised embeddings of features, (posters, dimensions) and (plots, dimensions), on the CPU."""
    words = None if poster_text_features is None else poster_text_features.to(model.device)
    images = model.embed_posters(image_features.to(model.device), words)
    texts = model.embed_texts(text_features.to(model.device))
    return images.float().cpu(), texts.float().cpu()
