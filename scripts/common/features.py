"""Features of posters and texts, through the cache where there is one."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from modeling import PosterCLIPModel
from modeling.inference.encoding import embed, encode_images, encode_texts
from modeling.inference.feature_cache import FeatureCache, add_weights
from modeling.posterclip.encoders import is_frozen
from modeling.training.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.catalogue.fingerprints import plot_keys, plot_settings, poster_keys, poster_settings
from processing.data.collation import MoviePairs, first_plots, image_batches
from processing.posterclip.ocr_text import compose_text


@dataclass
class FeatureEncoder:
    """Encodes posters and texts in batches, each distinct one once, and adds the n-grams of texts.

    Args:
        model: its encoders must be frozen if there is a cache.
        processor: the model's.
        batch_size: posters or texts at a time.
        cache: folder of features; "none" encodes everything and keeps nothing.
        accelerator: with several processes, each encodes its share of what the cache lacks.
        autocast: a context for the encoders.
        dtype: what they compute in.
    """

    model: PosterCLIPModel
    processor: PosterCLIPProcessor
    batch_size: int = 32
    cache: str = "none"
    accelerator: Accelerator | None = None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    dtype: torch.dtype = torch.float32

    def images(self, movies: Dataset) -> Tensor:
        """Returns the features of the movies' posters, (movies, feature)."""

        def encode(rows: Sequence[int]) -> Tensor:
            batches = image_batches(movies.select(rows), self.processor, self.batch_size)
            return encode_images(self.model, batches, self.autocast)

        if self.cache == "none":
            return encode(range(len(movies)))
        settings = [self.model.config.vision_pooling, poster_settings(self.processor)]
        return self._cached(self.model.vision_model, settings, poster_keys(movies), encode)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Returns the features of texts, (texts, feature + char_ngram_dim)."""
        input_ids = self.processor(text=list(texts), padding=False)["input_ids"]

        def encode(rows: Sequence[int]) -> Tensor:
            tokens = [input_ids[row] for row in rows]
            return encode_texts(self.model, self.processor.tokenizer, tokens, self.batch_size, self.autocast)

        if self.cache == "none":
            pooled = encode(range(len(texts)))
        else:
            settings = [self.model.config.text_pooling, plot_settings(self.processor)]
            pooled = self._cached(self.model.text_model, settings, plot_keys(texts), encode)
        return self._with_char_ngrams(pooled, input_ids)

    def poster_texts(self, texts: Sequence[str]) -> Tensor:
        """Returns the features of posters' texts, as `texts` does, with zeros for a poster without text."""
        return self.texts(texts) * torch.tensor([[bool(text)] for text in texts])

    def movies(self, titles: Sequence[Sequence[str]], plots: Sequence[Sequence[str]]) -> Tensor:
        """Returns the features of movies out of all their titles and plots, (movies, feature + char_ngram_dim).

        A movie without titles or plots has the feature of what it has; one without either is a row of zeros.
        """
        texts, owners, is_title = [], [], []
        for owner, (of_titles, of_plots) in enumerate(zip(titles, plots, strict=True)):
            texts += [*of_titles, *of_plots]
            owners += [owner] * (len(of_titles) + len(of_plots))
            is_title += [True] * len(of_titles) + [False] * len(of_plots)
        size = self.model.text_projection.in_features + self.model.config.char_ngram_dim
        features = self.texts(texts) if texts else torch.zeros(0, size)
        device = self.model.device
        with torch.no_grad():
            return self.model.movie_features(
                features.to(device),
                torch.tensor(owners, dtype=torch.long, device=device),
                torch.tensor(is_title, dtype=torch.bool, device=device),
                len(titles),
            ).cpu()

    def embeddings(self, movies: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the embeddings of the movies' posters and of their first plots, (movies, dimensions) each."""
        plots = [plot for plots in first_plots(movies) for plot in plots]
        poster_texts = None
        if self.model.config.use_poster_text:
            poster_texts = self.poster_texts([compose_text(lines) for lines in movies["poster_text"]])
        images, texts = embed(self.model, self.images(movies), self.texts(plots), poster_texts)
        return images.numpy(), texts.numpy()

    @torch.no_grad()
    def _with_char_ngrams(self, pooled: Tensor, input_ids: Sequence[Sequence[int]]) -> Tensor:
        # N-grams are quickly made, and their weights are this model's: they are not cached.
        if not self.model.config.char_ngram_dim:
            return pooled
        parts = []
        for start in range(0, len(input_ids), self.batch_size):
            rows = slice(start, start + self.batch_size)
            batch = self.processor.tokenizer.pad({"input_ids": input_ids[rows]}, return_tensors="pt")
            tokens = (batch[name].to(self.model.device) for name in ("input_ids", "attention_mask"))
            parts.append(self.model.with_char_ngrams(pooled[rows].to(self.model.device), *tokens).cpu())
        return torch.cat(parts)

    def _cached(
        self, encoder: PreTrainedModel, settings: list[str], keys: list[str], encode: Callable[[Sequence[int]], Tensor]
    ) -> Tensor:
        cache = FeatureCache(Path(self.cache).expanduser(), encoder, settings, self.dtype)
        if self.accelerator and self.accelerator.num_processes > 1:
            cache.fill(keys, encode, self.accelerator.process_index, self.accelerator.num_processes)
            self.accelerator.wait_for_everyone()
        return cache.features(keys, encode)


def add_features(pairs: MoviePairs, trainer: PosterCLIPTrainer, processor: PosterCLIPProcessor, cache: str) -> None:
    """Give pairs the features of frozen encoders in place of posters and plots."""
    run, model = trainer.args, trainer.clip
    encoder = FeatureEncoder(
        model,
        processor,
        batch_size=run.per_device_eval_batch_size,
        cache=cache,
        accelerator=trainer.accelerator,
        autocast=trainer.compute_loss_context_manager,
        dtype=torch.bfloat16 if run.bf16 else torch.float16 if run.fp16 else model.dtype,
    )
    if is_frozen(model.vision_model):
        pairs.image_features = encoder.images(pairs.movies)
    if is_frozen(model.text_model):
        pairs.text_features = encoder.texts([plot for plots in pairs.plots for plot in plots])
        if pairs.poster_text is not None:
            pairs.poster_text_features = encoder.poster_texts(pairs.poster_text)
        if pairs.titles is not None:
            pairs.title_features = encoder.texts([title for titles in pairs.titles for title in titles])


def model_key(model: PosterCLIPModel, processor: PosterCLIPProcessor) -> str:
    """Returns a hash of all that an embedding depends on beside its poster or text: weights, pooling, processing."""
    config = model.config
    settings = [config.vision_pooling, config.text_pooling, str(config.use_poster_text)]
    settings += [poster_settings(processor), plot_settings(processor)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    add_weights(digest, model)
    return digest.hexdigest()
