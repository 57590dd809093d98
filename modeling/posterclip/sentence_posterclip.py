"""The sentence-transformers module of a saved PosterCLIP: `SentenceTransformer(FOLDER, trust_remote_code=True)`.

sentence-transformers accepts any module with these methods, so nothing here imports it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoProcessor, PreTrainedModel, ProcessorMixin

# The trainer of sentence-transformers takes each key that ends in `_input_ids` for a column of its own.
RENAMED = {"poster_input_ids": "poster_text_ids", "poster_attention_mask": "poster_text_mask"}


class SentencePosterCLIP(nn.Module):
    """A module that embeds posters and plots, in one batch or apart, for `encode` and for training.

    A string is always a text, never a path or a URL, so a query from a stranger opens no file. A poster is anything
    else: `{"image": image, "text": the poster's own text}`, in which the image may also be a path, URL or data URI
    and the text may be missing, or an image by itself: a PIL image, array, tensor, `pathlib.Path` or bytes. Images are
    opened by the processor, which also reads the text of a poster that comes without, if the model uses poster text.
    `{"text": a text}` is a text too.

    Args:
        model: a `PosterCLIPModel`.
        processor: its `PosterCLIPProcessor`.

    Example (of a saved folder):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer("build/demo/model", trust_remote_code=True)
        posters = model.encode([{"image": "posters/jaws.jpg"}, {"image": "posters/alien.jpg", "text": "ALIEN"}])
        scores = model.similarity(posters, model.encode(["A shark hunts swimmers."]))
    """

    save_in_root = True
    modalities = ("text", "image", "message")  # "message" allows a batch of posters and texts

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        super().__init__()
        self.model = model
        self.processor = processor

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of plots and poster texts."""
        return self.processor.tokenizer

    @property
    def max_seq_length(self) -> int:
        """The number of tokens at which a text is cut; it can be set, and is saved with the processor."""
        return self.tokenizer.model_max_length

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        self.tokenizer.model_max_length = length

    def get_embedding_dimension(self) -> int:
        """Returns the length of an embedding."""
        return self.model.config.projection_dim + self.model.config.char_ngram_dim

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, max_length: int | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Returns the model inputs of a batch, and `is_poster`, (batch,), which of them are posters.

        Args:
            inputs: texts and posters, see the class.
            prompt: is put before each text in place of the processor's own, not before the text of a poster.
            max_length: the number of tokens at which texts are cut in this call; `max_seq_length` by default.

        Raises:
            ValueError: a mapping is neither a poster nor a text.
        """
        posters = [_poster(value) for value in inputs]
        given: dict[str, Any] = {}
        if texts := [
            value if isinstance(value, str) else value["text"]
            for value, poster in zip(inputs, posters, strict=True)
            if poster is None
        ]:
            given["text"] = texts
            given["text_prompt"] = prompt or None
        if shown := [poster for poster in posters if poster is not None]:
            given["images"] = [poster["image"] for poster in shown]
            given["poster_text"] = [poster.get("text") for poster in shown]
        if max_length is not None:
            given["max_length"] = max_length
        batch = self.processor(**given, return_tensors="pt")
        is_poster = torch.tensor([poster is not None for poster in posters])
        return {**{RENAMED.get(name, name): value for name, value in batch.items()}, "is_poster": is_poster}

    def forward(self, features: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        """Returns the features and `sentence_embedding`, (batch, projection_dim + char_ngram_dim)."""
        is_poster = features["is_poster"]
        names = {short: name for name, short in RENAMED.items()}
        outputs = self.model(**{names.get(key, key): value for key, value in features.items() if key != "is_poster"})
        sides = [side for side in (outputs.image_embeds, outputs.text_embeds) if side is not None]
        # The model returns posters first and texts after them; this brings them back to the order of the batch.
        order = (~is_poster).long().argsort(stable=True).argsort()
        return {**features, "sentence_embedding": torch.cat(sides)[order]}

    def save(self, output_path: str, **kwargs: Any) -> None:
        """Saves model and processor as transformers does, so that either library loads the folder."""
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
        """Loads the module of a folder or Hub repository; the arguments are those of `SentenceTransformer`.

        Raises:
            ValueError: `backend` is not "torch".
        """
        if backend != "torch":
            raise ValueError(f"backend={backend!r}: PosterCLIP runs in torch here; scripts/export.py writes ONNX.")
        hub = {**hub, "subfolder": subfolder, "cache_dir": cache_folder}
        model = AutoModel.from_pretrained(model_name_or_path, **hub, **(config_kwargs or {}), **(model_kwargs or {}))
        return cls(model, AutoProcessor.from_pretrained(model_name_or_path, **hub, **(processor_kwargs or {})))


def _poster(value: Any) -> dict[str, Any] | None:
    """Returns an input as a poster, `image` and maybe `text`; None for a text."""
    if isinstance(value, str):
        return None
    if not isinstance(value, Mapping):
        return {"image": value}
    if not value or not value.keys() <= {"image", "text"}:
        raise ValueError(f"An input is a text, a poster or {{'image': ..., 'text': ...}}, not one with {[*value]}.")
    return dict(value) if "image" in value else None
