"""The processor: posters and plots in, model inputs out."""

from collections.abc import Mapping
from typing import Any

from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, BatchFeature, ProcessorMixin
from transformers.processing_utils import ProcessingKwargs, Unpack
from transformers.utils import logging

from .ocr import Line, recognize_text
from .ocr_text import compose_text
from .rgb import to_rgb

logger = logging.get_logger(__name__)


class PosterCLIPProcessingKwargs(ProcessingKwargs, total=False):
    """Plots are padded to the longest of the batch and cut at the tokenizer's `model_max_length`."""

    _defaults = {"text_kwargs": {"padding": True, "truncation": True}}  # type: ignore[misc]  # noqa: RUF012 (transformers' form)


class PosterCLIPProcessor(ProcessorMixin):
    """An image processor and a tokenizer in one, for one poster or plot or for lists of them.

    `processor(images=posters, text=plots, return_tensors="pt")` gives `pixel_values` (batch, 3, height, width),
    `input_ids` and `attention_mask` (batch, tokens). The number of posters and of plots may differ. Posters are
    PIL images, arrays or tensors; PIL images of any mode go through `to_rgb` first.

    With `poster_text=`, what is printed on each poster, there are `poster_input_ids` and `poster_attention_mask` too:
    a text for each poster, or the lines that were read on it (see `compose_text`); "" or no lines for a poster without
    text, whose row of the mask is 0; None for one that nobody has read.

    Args:
        image_processor: of the poster encoder.
        tokenizer: of the plot encoder.
        run_ocr: whether PIL posters whose text is not given, or None, are read here, by OCR, for a model with
            `config.use_poster_text`. Where the extra `ocr` is not installed they count as posters without text.
    """

    valid_processor_kwargs = PosterCLIPProcessingKwargs

    def __init__(self, image_processor: Any, tokenizer: Any, run_ocr: bool = False, **kwargs: Any) -> None:
        super().__init__(image_processor, tokenizer, **kwargs)
        self.run_ocr = run_ocr

    @classmethod
    def from_vision_text_pretrained(
        cls, vision: str, text: str, max_length: int = 128, run_ocr: bool = False
    ) -> "PosterCLIPProcessor":
        """The processor for two pretrained encoders; plots and posters' texts are cut at `max_length` tokens.

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
        return cls(AutoImageProcessor.from_pretrained(vision), tokenizer, run_ocr)

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        poster_text: Any = None,
        **kwargs: Unpack[PosterCLIPProcessingKwargs],
    ) -> BatchFeature:
        """Turn posters and/or plots into model inputs; see the class."""
        if isinstance(images, Image.Image):
            images = to_rgb(images)
        elif isinstance(images, (list, tuple)):
            images = [to_rgb(image) if isinstance(image, Image.Image) else image for image in images]
        posters = images if isinstance(images, list) else [images]
        if poster_text is None and self.run_ocr and any(isinstance(poster, Image.Image) for poster in posters):
            poster_text = [None] * len(posters)
        if poster_text is None:
            return super().__call__(images=images, text=text, **kwargs)
        given = images is not None or text is not None
        batch = super().__call__(images=images, text=text, **kwargs) if given else BatchFeature()
        lines = _per_poster(poster_text)
        if self.run_ocr and len(lines) == len(posters):
            lines = [self._read(posters[i]) if of_one is None else of_one for i, of_one in enumerate(lines)]
        texts = [compose_text(of_one) for of_one in lines]
        if "pixel_values" in batch and len(batch["pixel_values"]) != len(texts):
            raise ValueError(f"poster_text: {len(texts)} texts for {len(batch['pixel_values'])} posters.")
        words = super().__call__(text=texts, **kwargs)
        mask = words["attention_mask"]
        for row in [row for row, text in enumerate(texts) if not text]:
            mask[row] = [0] * len(mask[row]) if isinstance(mask[row], list) else 0
        batch.update({f"poster_{name}": words[name] for name in ("input_ids", "attention_mask")})
        return batch

    def _read(self, poster: Any) -> list[Line]:
        if not isinstance(poster, Image.Image):
            return []
        try:
            return recognize_text(poster)
        except ImportError as error:
            logger.warning_once(f"Posters are taken for ones without text: {error}")
            return []


def _per_poster(poster_text: Any) -> list[Any]:
    """A text or the lines of one poster as a list of one; what is a list of those, as it is."""
    alone = isinstance(poster_text, str) or all(isinstance(line, Mapping) for line in poster_text)
    return [poster_text] if alone else list(poster_text)


PosterCLIPProcessor.register_for_auto_class("AutoProcessor")
