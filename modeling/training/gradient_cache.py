"""Gradients of a large batch in the memory of a small one (GradCache, Gao et al. 2021, arXiv:2101.06983).

A contrastive loss needs the embeddings of the whole batch, not the activations behind them. So the batch goes
through the encoders in chunks, first without gradients; the loss gives the gradient of each embedding; then each
chunk goes through again, now with gradients, and carries its share of them back to the weights.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

Context = Callable[[], AbstractContextManager[Any]]


def backward_in_chunks(
    model: nn.Module,
    inputs: dict[str, Tensor],
    chunk_size: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
    autocast: Context = nullcontext,
    no_sync: Context = nullcontext,
) -> Tensor:
    """Accumulate the gradients that `loss` of the whole batch has, `chunk_size` pairs in the encoders at a time.

    Args:
        model: gives `image_embeds` and `text_embeds` of `inputs`.
        inputs: tensors with one row for each pair; the model's inputs, or what `prepare` makes them of.
        chunk_size: pairs per forward.
        loss: of the batch's image_embeds and text_embeds, (pairs, projection_dim) each.
        prepare: makes the model's inputs of a chunk.
        backward: of the loss, for instance one that scales it for float16.
        autocast: a context for the forwards.
        no_sync: a context for all backwards but the last, where processes average their gradients.

    Returns:
        The loss, detached.

    Raises:
        ValueError: an encoder in training has batch normalisation, whose statistics would be those of chunks.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise ValueError(f"{name} normalises by the batch, which chunks would change: freeze that encoder.")
    pairs = len(next(iter(inputs.values())))
    chunks = [
        {name: value[start : start + chunk_size] for name, value in inputs.items()}
        for start in range(0, pairs, chunk_size)
    ]
    states, embeds = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            with autocast():
                output = model(**prepare(chunk))
            embeds.append((output.image_embeds, output.text_embeds))
    images, texts = (torch.cat(side).requires_grad_() for side in zip(*embeds, strict=True))
    with autocast():
        value = loss(images, texts)
    backward(value)
    image_share, text_share = cast(Tensor, images.grad), cast(Tensor, texts.grad)

    for index, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
        rows = slice(index * chunk_size, (index + 1) * chunk_size)
        last = index == len(chunks) - 1
        with nullcontext() if last else no_sync():
            with _replayed(state), autocast():
                output = model(**prepare(chunk))
            share = (output.image_embeds * image_share[rows]).sum() + (output.text_embeds * text_share[rows]).sum()
            # Processes that average gradients wait for one of every weight, of those in the logits too.
            (share + 0 * output.logits_per_image.sum()).backward()
            del output, share
    return value.detach()


def _random_state() -> tuple[Tensor, Any]:
    accelerator = torch.accelerator.is_available()
    return torch.get_rng_state(), torch.get_device_module().get_rng_state() if accelerator else None


@contextmanager
def _replayed(state: tuple[Tensor, Any]) -> Iterator[None]:
    """The random state as it was in the first forward, so that dropout drops the same; then as it is now."""
    now = _random_state()
    _set_random_state(state)
    try:
        yield
    finally:
        _set_random_state(now)


def _set_random_state(state: tuple[Tensor, Any]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module().set_rng_state(state[1])
