"""The processor: posters and plots in, model inputs out."""

from typing import Any

import numpy as np
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoTokenizer, BatchFeature, ProcessorMixin
from transformers.processing_utils import ProcessingKwargs, Unpack


def to_rgb(image: Image.Image) -> Image.Image:
    """Bring any decodable poster to 8-bit RGB as a viewer would show it.

    The first frame of an animation is taken, an EXIF rotation is applied, 16-bit and floating-point greys are
    scaled (not clipped) to 8 bits, and transparency is laid on white.

    Example:
        >>> to_rgb(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    if image.mode == "I":
        image = image.point(lambda value: value / 257).convert("L")
    elif image.mode == "F":
        low, high = np.asarray(image).min(), np.asarray(image).max()
        image = Image.fromarray(((np.asarray(image) - low) * (255 / ((high - low) or 1))).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


class PosterCLIPProcessingKwargs(ProcessingKwargs, total=False):
    """Plots are padded to the longest of the batch and cut at the tokenizer's `model_max_length`."""

    _defaults = {"text_kwargs": {"padding": True, "truncation": True}}  # type: ignore[misc]  # noqa: RUF012 (transformers' form)


class PosterCLIPProcessor(ProcessorMixin):
    """An image processor and a tokenizer in one, for one poster or plot or for lists of them.

    `processor(images=posters, text=plots, return_tensors="pt")` gives `pixel_values` (batch, 3, height, width),
    `input_ids` and `attention_mask` (batch, tokens). The number of posters and of plots may differ. Posters are
    PIL images, arrays or tensors; PIL images of any mode go through `to_rgb` first.
    """

    valid_processor_kwargs = PosterCLIPProcessingKwargs

    def __init__(self, image_processor: Any, tokenizer: Any, **kwargs: Any) -> None:
        super().__init__(image_processor, tokenizer, **kwargs)

    @classmethod
    def from_vision_text_pretrained(cls, vision: str, text: str, max_length: int = 128) -> "PosterCLIPProcessor":
        """The processor for two pretrained encoders; plots are cut at `max_length` tokens.

        Example (needs the Hub):
            processor = PosterCLIPProcessor.from_vision_text_pretrained(
                "google/vit-base-patch16-224", "google-bert/bert-base-uncased"
            )
        """
        if max_length < 3:
            raise ValueError(f"max_length={max_length} leaves no room for a word between the special tokens.")
        # Plots are single segments: token types carry nothing, and half of the text encoders refuse them.
        tokenizer = AutoTokenizer.from_pretrained(text, model_input_names=["input_ids", "attention_mask"])
        tokenizer.model_max_length = min(tokenizer.model_max_length, max_length)
        return cls(AutoImageProcessor.from_pretrained(vision), tokenizer)

    def __call__(
        self, images: Any = None, text: Any = None, **kwargs: Unpack[PosterCLIPProcessingKwargs]
    ) -> BatchFeature:
        """Turn posters and/or plots into model inputs; see the class."""
        if isinstance(images, Image.Image):
            images = to_rgb(images)
        elif isinstance(images, (list, tuple)):
            images = [to_rgb(image) if isinstance(image, Image.Image) else image for image in images]
        return super().__call__(images=images, text=text, **kwargs)


PosterCLIPProcessor.register_for_auto_class("AutoProcessor")
