"""Encodes many posters and texts in batches, without gradients."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from modeling.posterclip.modeling_posterclip import PosterCLIPModel

Autocast = Callable[[], AbstractContextManager[Any]]


@torch.no_grad()
def encode_images(
    model: PosterCLIPModel, batches: Iterable[Mapping[str, Tensor]], autocast: Autocast = nullcontext
) -> Tensor:
    """Returns the pooled image features of posters, (posters, feature), float32 on the CPU.

    Args:
        model: runs in eval; its mode is restored afterwards.
        batches: the arguments of `PosterCLIPModel.vision_features`, of each batch.
        autocast: a context for the encoder.
    """
    features = []
    with _evaluating(model):
        for batch in tqdm(batches, desc="Encoding posters", unit="batch"):
            inputs = {name: values.to(model.device) for name, values in batch.items()}
            with autocast():
                features.append(model.vision_features(**inputs).float().cpu())
    return torch.cat(features)


@torch.no_grad()
def encode_texts(
    model: PosterCLIPModel,
    tokenizer: Any,
    input_ids: Sequence[Sequence[int]],
    batch_size: int = 32,
    autocast: Autocast = nullcontext,
) -> Tensor:
    """Returns the pooled features of texts without their n-grams, (texts, feature), float32 on the CPU.

    Texts of like lengths share a batch, so that little of it is padding. A feature depends on its text alone up to the
    rounding of a matrix product, about 1e-6.

    Args:
        model: runs in eval; its mode is restored afterwards.
        tokenizer: pads a batch.
        input_ids: the tokens of each text, without padding.
        batch_size: texts in the encoder at a time.
        autocast: a context for the encoder.
    """
    order = sorted(range(len(input_ids)), key=lambda row: -len(input_ids[row]))
    features = []
    with _evaluating(model):
        for start in tqdm(range(0, len(order), batch_size), desc="Encoding texts", unit="batch"):
            rows = order[start : start + batch_size]
            batch = tokenizer.pad({"input_ids": [input_ids[row] for row in rows]}, return_tensors="pt")
            with autocast():
                pooled = model.pooled_text_features(
                    batch["input_ids"].to(model.device), batch["attention_mask"].to(model.device)
                )
            features.append(pooled.float().cpu())
    return torch.cat(features)[torch.tensor(order).argsort()]


@contextmanager
def _evaluating(model: PosterCLIPModel) -> Any:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
