"""The processor: posters and plots in, model inputs out."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers import AutoImageProcessor, BatchFeature, PreTrainedConfig, ProcessorMixin
from transformers.processing_utils import ProcessingKwargs, Unpack
from transformers.utils import logging, to_numpy

from .ocr import SIZES, Line, recognize_text
from .ocr_text import compose_text
from .rgb import each_image, open_image, to_rgb
from .text_files import prompted, sentence_prompts, text_tokenizer

CROP_LIMIT = 0.05  # the share of a poster that an image processor may cut off without a warning

logger = logging.get_logger(__name__)


class PosterCLIPProcessingKwargs(ProcessingKwargs, total=False):
    """Texts are padded to the longest of the batch and cut at the tokenizer's `model_max_length`."""

    _defaults = {"text_kwargs": {"padding": True, "truncation": True}}  # type: ignore[misc]  # noqa: RUF012 (transformers' form)


class PosterCLIPProcessor(ProcessorMixin):
    """A processor of posters and plots: an image processor, a tokenizer and, for models with poster text, OCR.

    `processor(images=posters, text=plots, return_tensors="pt")` returns `pixel_values` (posters, 3, height, width),
    `input_ids` and `attention_mask` (plots, tokens). The numbers of posters and plots may differ.

    **Posters** are given alone, as a batch, or in lists of any depth. Each is a path, an http(s) URL, a `data:` URI,
    the bytes of a file (see `open_image` for formats), a PIL image, an array, a tensor or a nested list of numbers. All
    are converted to 8-bit RGB first (see `to_rgb` for the scale of deep and of floating-point values). Two kinds of
    arrays and tensors reach the image processor as they are: those with negative values, which count as normalised,
    and all of them with `do_rescale=False`. A string in `text` is always text and never opens a file.

    **Poster text**, given as `poster_text=` or read by OCR, becomes `poster_input_ids` and `poster_attention_mask`
    (posters, tokens). It is a text for each poster, or its OCR lines (see `compose_text`); "" or no lines for a poster
    without text, whose row of the mask is 0; None for a poster whose text is not known.

    **Titles**, given as `title=` beside `text=`, one for each plot, become `title_input_ids` and
    `title_attention_mask` (plots, tokens); "" for a movie without a title, whose row of the mask is 0.

    **Prompts** are put before texts as the makers of the text encoder say: one before plots and titles (documents), one
    before poster texts (queries).

    Args:
        image_processor: that of the image encoder.
        tokenizer: that of the text encoder.
        run_ocr: whether posters whose text is not given, or None, are read by OCR, for a model with
            `config.use_poster_text`. Where this is not possible (rapidocr or a model of it is not installed, or the
            poster is a normalised tensor) the poster counts as one without text, and a warning says so once.
        ocr_language, ocr_sizes: see `recognize_text`. More sizes read more and take longer.
        text_prompt: is put before each text of a movie.
        poster_text_prompt: is put before each poster text.
    """

    valid_processor_kwargs = PosterCLIPProcessingKwargs

    def __init__(
        self,
        image_processor: Any,
        tokenizer: Any,
        run_ocr: bool = False,
        ocr_language: str | None = None,
        text_prompt: str = "",
        poster_text_prompt: str = "",
        ocr_sizes: Sequence[int] = SIZES,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_processor, tokenizer, **kwargs)
        if not ocr_sizes or min(ocr_sizes) < 32:
            raise ValueError(f"ocr_sizes={list(ocr_sizes)} must be sizes of 32 pixels or more, one at least.")
        self.run_ocr = run_ocr
        self.ocr_language = ocr_language
        self.ocr_sizes = list(ocr_sizes)
        self.text_prompt = text_prompt
        self.poster_text_prompt = poster_text_prompt

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> "PosterCLIPProcessor":
        """Returns the processor of a saved folder or a Hub repository; the arguments are those of `ProcessorMixin`."""
        # To find the tokenizer's class, AutoTokenizer would load the model's config, and ask whether to run its code.
        kwargs.setdefault("config", PreTrainedConfig())
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    @classmethod
    def from_vision_text_pretrained(
        cls,
        vision: str,
        text: str,
        max_length: int = 128,
        run_ocr: bool = False,
        ocr_language: str | None = None,
        whole_poster: bool = False,
        text_prompt: str | None = None,
        poster_text_prompt: str | None = None,
    ) -> "PosterCLIPProcessor":
        """Returns the processor of two pretrained encoders.

        Args:
            vision: name or folder of the image encoder.
            text: name or folder of the text encoder.
            max_length: texts are cut at so many tokens, or fewer where the encoder takes no more.
            run_ocr: see the class.
            ocr_language: see the class.
            text_prompt, poster_text_prompt: see the class; by default the document and the query prompt that the text
                encoder's files of sentence-transformers name, if there are any.
            whole_poster: resize posters to the encoder's input size where its image processor would cut out their
                centre. A warning says how much that is.

        Raises:
            ValueError: `max_length` leaves no room for a text, or the image processor cannot resize without a crop.

        Example (needs the Hub):
            processor = PosterCLIPProcessor.from_vision_text_pretrained(
                "google/vit-base-patch16-224", "google-bert/bert-base-uncased"
            )
        """
        tokenizer = text_tokenizer(text, max_length)
        document, query = sentence_prompts(text)
        image_processor = AutoImageProcessor.from_pretrained(vision)
        if whole_poster and getattr(image_processor, "do_center_crop", False):
            resize = {"do_center_crop": False, "size": dict(image_processor.crop_size)}
            image_processor = AutoImageProcessor.from_pretrained(vision, **resize)
        if (share := cropped_share(image_processor)) > CROP_LIMIT:
            cut = f"{type(image_processor).__name__} cuts off {share:.0%} of a 2:3 poster"
            if whole_poster:
                raise ValueError(f"whole_poster: {cut}, and has no setting to resize it as a whole.")
            logger.warning(f"{cut}. With whole_poster (--whole_poster True) it resizes the poster as a whole.")
        processor = cls(
            image_processor,
            tokenizer,
            run_ocr,
            ocr_language,
            text_prompt=document if text_prompt is None else text_prompt,
            poster_text_prompt=query if poster_text_prompt is None else poster_text_prompt,
        )
        used = max(
            len(ids) for ids in tokenizer(["", processor.text_prompt, processor.poster_text_prompt])["input_ids"]
        )
        if used >= tokenizer.model_max_length:
            raise ValueError(
                f"max_length={tokenizer.model_max_length} leaves no room for a word: special tokens and a prompt are "
                f"{used} tokens."
            )
        return processor

    @property
    def prompt_ids(self) -> list[list[int]]:
        """The token ids with which texts begin that have a prompt, the longest first, for `CharNgrams`.

        They are the tokens that a prompt has before any text; its last characters can be part of a token of the text.
        """
        found = []
        for prompt in {self.text_prompt, self.poster_text_prompt} - {""}:
            texts = self.tokenizer([f"{prompt}{text}" for text in ("a", "The", "1", "é")])["input_ids"]
            same = takewhile(lambda ids: len(set(ids)) == 1, zip(*texts, strict=False))
            found.append([ids[0] for ids in same])
        return sorted((ids for ids in found if ids), key=lambda ids: (-len(ids), ids))

    def __call__(
        self,
        images: Any = None,
        text: Any = None,
        poster_text: Any = None,
        title: str | list[str] | None = None,
        text_prompt: str | None = None,
        **kwargs: Unpack[PosterCLIPProcessingKwargs],
    ) -> BatchFeature:
        """Returns model inputs of posters and/or plots; see the class.

        Args:
            images, text, poster_text, title: see the class.
            text_prompt: is put before each text and title in this call, in place of the processor's own.
            kwargs: those of `ProcessorMixin`.

        Raises:
            ValueError: an image cannot be used (it is named by its position, path or URL, with the reason), or the
                number of poster texts is not that of the posters, or that of titles not that of the plots.
        """
        posters: list[Image.Image | None] = []
        if images is not None:
            as_given = {**kwargs, **kwargs.get("images_kwargs", {})}.get("do_rescale") is False
            opened = [_open(image, position, as_given) for position, image in enumerate(each_image(images))]
            images, posters = [pixels for pixels, _ in opened], [poster for _, poster in opened]
        prompt = self.text_prompt if text_prompt is None else text_prompt
        if text is not None:
            text = prompted(text, prompt)
        if poster_text is None and self.run_ocr and posters:
            poster_text = [None] * len(posters)
        nothing_else = images is None and text is None and not (poster_text is None and title is None)
        batch = BatchFeature() if nothing_else else super().__call__(images=images, text=text, **kwargs)
        if poster_text is not None:
            batch.update(
                self._text_inputs(
                    "poster_", self._poster_texts(poster_text, posters), self.poster_text_prompt, **kwargs
                )
            )
        if title is not None:
            titles = [title] if isinstance(title, str) else title
            plots = [text] if isinstance(text, str) else text
            if plots is not None and len(titles) != len(plots):
                raise ValueError(f"title: {len(titles)} titles for {len(plots)} plots.")
            batch.update(self._text_inputs("title_", titles, prompt, **kwargs))
        return batch

    def _poster_texts(self, poster_text: Any, posters: list[Image.Image | None]) -> list[str]:
        """Returns the text of each poster, by OCR where it is given as None."""
        one = isinstance(poster_text, str) or all(isinstance(line, Mapping) for line in poster_text)
        texts = [poster_text] if one else list(poster_text)
        if posters and len(texts) != len(posters):
            raise ValueError(f"poster_text: {len(texts)} texts for {len(posters)} posters.")
        if self.run_ocr and posters:
            texts = [self._read(posters[i]) if lines is None else lines for i, lines in enumerate(texts)]
        return [compose_text(lines) for lines in texts]

    def _text_inputs(self, prefix: str, texts: list[str], prompt: str, **kwargs: Any) -> dict[str, Any]:
        """Returns the tokens of texts after a prompt, under names with a prefix; the mask of an empty text is 0."""
        inputs = super().__call__(text=prompted(texts, prompt), **kwargs)
        mask = inputs["attention_mask"]
        for row in [row for row, text in enumerate(texts) if not text]:
            mask[row] = [0] * len(mask[row]) if isinstance(mask[row], list) else 0
        return {f"{prefix}{name}": inputs[name] for name in ("input_ids", "attention_mask")}

    def _read(self, poster: Image.Image | None) -> list[Line]:
        """Returns the lines of a poster; none, with a warning, where they cannot be read."""
        if poster is None:
            logger.warning_once("Posters that are normalised tensors count as posters without text: OCR needs pixels.")
            return []
        try:
            return recognize_text(poster, self.ocr_language, self.ocr_sizes)
        except ImportError as error:
            logger.warning_once(f"Posters count as posters without text: {error}")
            return []


def cropped_share(image_processor: Any) -> float:
    """Returns the share of a 2:3 poster that an image processor cuts off, 0 to 1.

    It is measured on an image whose red value rises from left to right and whose green value from top to bottom.

    Example:
        >>> from transformers import CLIPImageProcessor, ViTImageProcessor
        >>> round(cropped_share(CLIPImageProcessor()), 1), round(cropped_share(ViTImageProcessor()), 1)
        (0.3, 0.0)
    """
    red, green = np.meshgrid((np.arange(400) + 0.5) / 400 * 255, (np.arange(600) + 0.5) / 600 * 255)
    poster = Image.fromarray(np.dstack([red, green, green]).round().astype(np.uint8))
    options = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
    pixels = np.asarray(image_processor(poster, **options)["pixel_values"][0], float)
    if pixels.ndim != 3:  # patches of the whole poster
        return 0.0
    # From the middle of the first pixel to the middle of the last is a pixel less than the whole side.
    height, width = (size / (size - 1) / 255 for size in pixels.shape[1:])
    return max(0.0, 1 - float(np.ptp(pixels[0]) * width * np.ptp(pixels[1]) * height))


def _open(image: Any, position: int, as_given: bool) -> tuple[Any, Image.Image | None]:
    """Returns what the image processor takes of an image, and the RGB image to read, None of a normalised one.

    Args:
        image: what the class takes.
        position: of the image, for messages.
        as_given: whether the image processor takes arrays and tensors as they are.
    """
    try:
        if isinstance(image, str | Path | bytes):
            poster = open_image(image)
        elif isinstance(image, Image.Image):
            poster = to_rgb(image)
        elif hasattr(image, "__array__"):
            values = to_numpy(image.float() if "bfloat16" in str(getattr(image, "dtype", "")) else image)
            if values.dtype.kind == "f" and np.isfinite(values).all() and (values < 0).any():
                return image, None
            poster = to_rgb(values)
            if as_given:
                return image, poster
        else:
            raise ValueError(f"{type(image).__name__} is no image")
    except (OSError, ValueError) as error:
        name = f" ({str(image)[:200]})" if isinstance(image, str | Path) else ""
        raise ValueError(f"images[{position}]{name}: {error}") from None
    return poster, poster


PosterCLIPProcessor.register_for_auto_class("AutoProcessor")
