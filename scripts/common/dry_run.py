"""One forward of a model on a made-up movie, before any poster of a catalogue is read."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from PIL import Image
from torch import Tensor

from modeling import PosterCLIPModel
from processing import PosterCLIPProcessor

POSTER = Image.new("RGB", (200, 300), (120, 90, 60))
TEXTS = ["A whale.", "A captain hunts a white whale across the seas."]


@torch.no_grad()
def dry_run(model: PosterCLIPModel, processor: PosterCLIPProcessor) -> None:
    """Runs the processor and both encoders once, so that what cannot work together stops a run at its start.

    Args:
        model: keeps its mode and its device.
        processor: of the model.

    Raises:
        ValueError: a part fails or gives something that cannot be used; it names the part and the reason.
    """
    modes = [(module, module.training) for module in model.modules()]
    vision = f"the poster encoder ({model.config.vision_config.model_type})"
    text = f"the plot encoder ({model.config.text_config.model_type})"
    model.eval()
    try:
        with _named(f"the tokenizer of {text}", "pads a batch of texts"):
            tokens = processor(text=TEXTS, return_tensors="pt").to(model.device)
        with _named(text, "works on input_ids and attention_mask alone"):
            _check(model(**tokens).text_embeds)
        with _named(f"the image processor of {vision}", "gives pixels of shape (posters, channels, height, width)"):
            pixels = processor(images=[POSTER] * 2, poster_text=["", ""], return_tensors="pt")["pixel_values"]
            if pixels.ndim != 4:
                raise ValueError(f"it gives pixels of shape {tuple(pixels.shape)}")
        with _named(vision, "works on pixel_values alone"):
            _check(model(pixel_values=pixels.to(model.device)).image_embeds)
    finally:
        for module, training in modes:  # a frozen encoder stays in eval
            module.training = training


def _check(embeds: Tensor) -> None:
    if len(embeds) != 2 or not embeds.isfinite().all():
        raise ValueError("its embeddings are not finite, or not one of each input")


@contextmanager
def _named(part: str, wanted: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever somebody else's model raises
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"A PosterCLIP cannot use {part}, because it needs one that {wanted}: {reason}") from error
