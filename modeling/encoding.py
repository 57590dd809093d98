"""Runs a model over many posters and plots, each once and without gradients."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .modeling_posterclip import PosterCLIPModel


def encode_posters(model: PosterCLIPModel, batches: Iterable[Mapping[str, Tensor]]) -> Tensor:
    """Pooled features of posters, (posters, feature), on the CPU.

    Args:
        model: stays in its mode afterwards; encoding itself is always in eval.
        batches: each holds `pixel_values`.
    """
    return _encode(model, model.vision_features, batches, "posters")


def encode_plots(model: PosterCLIPModel, batches: Iterable[Mapping[str, Tensor]]) -> Tensor:
    """Pooled features of plots, (plots, feature), on the CPU; each batch holds `input_ids` and `attention_mask`."""
    return _encode(model, model.text_features, batches, "plots")


@torch.no_grad()
def _encode(
    model: PosterCLIPModel,
    features: Callable[..., Tensor],
    batches: Iterable[Mapping[str, Tensor]],
    what: str,
) -> Tensor:
    was_training = model.training
    model.eval()
    rows = []
    for batch in tqdm(batches, desc=f"Encoding {what}", unit="batch"):
        rows.append(features(**{name: value.to(model.device) for name, value in batch.items()}).float().cpu())
    model.train(was_training)
    return torch.cat(rows)


@torch.no_grad()
def embed(model: PosterCLIPModel, image_features: Tensor, text_features: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised embeddings of pooled features, (posters, projection_dim) and (plots, projection_dim), on the CPU."""
    images = model(image_features=image_features.to(model.device)).image_embeds
    texts = model(text_features=text_features.to(model.device)).text_embeds
    return images.float().cpu(), texts.float().cpu()
