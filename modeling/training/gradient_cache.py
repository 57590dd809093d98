"""Gradient caching: gradients of a large batch in the memory of a small one (Gao et al. 2021, arXiv:2101.06983).

A contrastive loss needs the embeddings of the whole batch, but not their activations. The encoders embed the batch in
chunks without gradients, and the loss gives the gradient of each embedding. Then they embed each chunk again, with
gradients, and backpropagate the gradients of its embeddings to the weights.
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
    """Accumulates the gradients of the loss of a whole batch, and returns the loss, detached.

    Args:
        model: returns `image_embeds` and `text_embeds`.
        inputs: the batch, tensors with one row per pair.
        chunk_size: the number of pairs per forward pass.
        loss: returns the loss of the batch's image and text embeddings, (pairs, dimensions) each.
        prepare: returns the model's inputs of a chunk of `inputs`.
        backward: backpropagates the loss; accelerate's scales it for float16.
        autocast: a context for the forward passes and the loss.
        no_sync: a context for all backward passes but the last, in which processes do not average their gradients.

    Raises:
        ValueError: an encoder in training mode has batch normalisation, whose statistics would be those of chunks.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise ValueError(f"{name} normalises by the batch, which chunks would change: freeze its encoder.")
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
    image_gradients, text_gradients = cast(Tensor, images.grad), cast(Tensor, texts.grad)

    for index, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
        rows = slice(index * chunk_size, (index + 1) * chunk_size)
        last = index == len(chunks) - 1
        with nullcontext() if last else no_sync():
            with _replayed(state), autocast():
                output = model(**prepare(chunk))
            # The gradient of this dot product by the embeddings is that of the loss. Distributed training waits for
            # a gradient of every weight, so the logits, which have weights of their own, take part with factor 0.
            product = (output.image_embeds * image_gradients[rows]).sum()
            product = product + (output.text_embeds * text_gradients[rows]).sum()
            (product + 0 * output.logits_per_image.sum()).backward()
            del output, product
    return value.detach()


def _random_state() -> tuple[Tensor, Any]:
    accelerator = torch.accelerator.is_available()
    return torch.get_rng_state(), torch.get_device_module().get_rng_state() if accelerator else None


@contextmanager
def _replayed(state: tuple[Tensor, Any]) -> Iterator[None]:
    """A context with the random state of the first forward pass, so that both passes have the same dropout."""
    current = _random_state()
    _set_random_state(state)
    try:
        yield
    finally:
        _set_random_state(current)


def _set_random_state(state: tuple[Tensor, Any]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.get_device_module().set_rng_state(state[1])
