"""One forward of a model on a made-up movie, before any poster of a catalogue is read."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from PIL import Image
from torch import Tensor

from modeling import PosterCLIPModel
from processing import PosterCLIPProcessor
from processing.data.pixels import POSTER_INPUTS

POSTER = Image.radial_gradient("L").resize((200, 300)).convert("RGB")
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
        with _named(f"the image processor of {vision}", "gives pixel_values of posters"):
            outputs = processor.image_processor([POSTER] * 2, return_tensors="pt").to(model.device)
            images = {name: outputs[name] for name in POSTER_INPUTS if name in outputs}
            width = images["pixel_values"].shape[-1]
        with _named(vision, f"works on {' and '.join(images)} (..., {width})"):
            embeds = model(**images).image_embeds
            _check(embeds)
            if not torch.equal(embeds, model(**images).image_embeds):
                raise ValueError("its embeddings of a poster differ from one time to the next")
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
