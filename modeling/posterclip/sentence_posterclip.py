"""A saved PosterCLIP as sentence-transformers has its models: `SentenceTransformer(FOLDER, trust_remote_code=True)`.

It asks for duck typing alone, so nothing here imports sentence-transformers, and nobody needs it who does without.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModel, AutoProcessor, PreTrainedModel, ProcessorMixin

IMAGE_FILES = tuple(Image.registered_extensions())


class SentencePosterCLIP(nn.Module):
    """Posters and plots, mixed as they come, to embeddings that are alike where a poster fits a plot.

    An input is a plot (a text), or a poster: an image, the path of one (a `Path`, or a text that ends as image files
    do), or `{"image": an image or path, "text": what is printed on it}`. A poster without "text" is read as the
    processor reads posters: by OCR if the model reads them and the extra `ocr` is installed.

    Args:
        model: a `PosterCLIPModel`.
        processor: its `PosterCLIPProcessor`.

    Example (of a saved folder):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer("build/demo/model", trust_remote_code=True)
        posters = model.encode(["posters/jaws.jpg", {"image": "posters/alien.jpg", "text": "ALIEN"}])
        scores = model.similarity(posters, model.encode(["A shark hunts swimmers."]))
    """

    save_in_root = True
    modalities = ("text", "image", "message")  # the last of them allows a batch of both

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    @property
    def tokenizer(self) -> Any:
        """That of plots."""
        return self.processor.tokenizer

    @property
    def max_seq_length(self) -> int:
        """Tokens at which a plot is cut."""
        return self.tokenizer.model_max_length

    def get_embedding_dimension(self) -> int:
        """Length of an embedding."""
        return self.model.config.projection_dim + self.model.config.char_ngram_dim

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Model inputs of a batch, and `is_poster`, (batch,), which of them are posters.

        Args:
            inputs: plots and posters, see the class. ValueError for what is neither, OSError for a file that is none.
            prompt: is put before each plot.
        """
        is_poster = [_is_poster(value) for value in inputs]
        posters = [_poster(value) for value, shows in zip(inputs, is_poster, strict=True) if shows]
        plots = [f"{prompt or ''}{value}" for value, shows in zip(inputs, is_poster, strict=True) if not shows]
        given: dict[str, Any] = {"text": plots} if plots else {}
        if posters:
            given |= {"images": [poster["image"] for poster in posters]}
            given |= {"poster_text": [poster.get("text") for poster in posters]}
        return {**self.processor(**given, return_tensors="pt"), "is_poster": torch.tensor(is_poster)}

    def forward(self, features: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        """The features with the embeddings, `sentence_embedding`, (batch, projection_dim + char_ngram_dim)."""
        is_poster = features["is_poster"]
        outputs = self.model(**{name: value for name, value in features.items() if name != "is_poster"})
        sides = [side for side in (outputs.image_embeds, outputs.text_embeds) if side is not None]
        # Posters first, plots after them; back to the order in which they came.
        order = (~is_poster).long().argsort(stable=True).argsort()
        return {**features, "sentence_embedding": torch.cat(sides)[order]}

    def save(self, output_path: str, **kwargs: Any) -> None:
        """Save model and processor, as transformers do, for either library."""
        self.model.save_pretrained(output_path)
        self.processor.save_pretrained(output_path)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        cache_folder: str | None = None,
        backend: str = "torch",
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        **hub: Any,
    ) -> "SentencePosterCLIP":
        """That of a folder or Hub repository; the arguments are those of `SentenceTransformer`."""
        if backend != "torch":
            raise ValueError(f"backend={backend!r}: PosterCLIP has torch alone here; scripts/export.py writes ONNX.")
        hub = {**hub, "subfolder": subfolder, "cache_dir": cache_folder}
        model = AutoModel.from_pretrained(model_name_or_path, **hub, **(config_kwargs or {}), **(model_kwargs or {}))
        return cls(model, AutoProcessor.from_pretrained(model_name_or_path, **hub, **(processor_kwargs or {})))


def _is_poster(value: Any) -> bool:
    return not isinstance(value, str) or value.lower().endswith(IMAGE_FILES)


def _poster(value: Any) -> dict[str, Any]:
    poster = dict(value) if isinstance(value, Mapping) else {"image": value}
    if "image" not in poster or not poster.keys() <= {"image", "text"}:
        raise ValueError(f"A poster is {{'image': ..., 'text': ...}}, not one of {', '.join(map(repr, poster))}.")
    if isinstance(poster["image"], str | Path):
        poster["image"] = Image.open(poster["image"])
    return poster
