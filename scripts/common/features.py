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
from scipy.sparse import csr_array, vstack
from torch import Tensor
from transformers import PreTrainedModel

from modeling import PosterCLIPModel
from modeling.inference.encoding import encode_images, encode_texts
from modeling.inference.feature_cache import FeatureCache, add_weights
from modeling.posterclip.encoders import is_frozen
from modeling.training.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.catalogue.fingerprints import plot_keys, plot_settings, poster_settings
from processing.catalogue.poster_manifest import poster_keys
from processing.data.collation import MoviePairs, first_plots, image_batches
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.posterclip.ocr_text import compose_text
from processing.posterclip.text_files import prompted

BLOCK = 1024  # texts that are tokenized at a time, and rows whose n-grams are dense


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

    Raises:
        ValueError: the batch size is less than 1.
    """

    model: PosterCLIPModel
    processor: PosterCLIPProcessor
    batch_size: int = 32
    cache: str = "none"
    accelerator: Accelerator | None = None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size: {self.batch_size} posters or texts at a time are too few.")

    def images(self, movies: Dataset) -> Tensor:
        """Returns the features of the movies' posters, (movies, feature)."""

        def encode(rows: Sequence[int]) -> Tensor:
            batches = image_batches(movies.select(rows), self.processor, self.batch_size)
            return encode_images(self.model, batches, self.autocast)

        if self.cache == "none":
            return encode(range(len(movies)))
        settings = image_settings(self.model, self.processor)
        return self._cached(self.model.vision_model, settings, poster_keys(movies), encode)

    def texts(self, texts: Sequence[str]) -> HybridVectors:
        """Returns the features of movies' titles and plots: pooled features, and n-grams as the sparse part."""
        return self._texts(texts, self.processor.text_prompt)

    def _texts(self, texts: Sequence[str], prompt: str) -> HybridVectors:
        if not texts:
            return HybridVectors(np.zeros((0, self._feature_size), np.float32), self._char_ngrams([]))
        texts = prompted(list(texts), prompt)
        input_ids: list[list[int]] = []
        for start in range(0, len(texts), BLOCK):  # a tokenizer takes some kilobytes a text until it is done
            part = texts[start : start + BLOCK]
            input_ids += self.processor(text=part, text_prompt="", padding=False)["input_ids"]

        def encode(rows: Sequence[int]) -> Tensor:
            tokens = [input_ids[row] for row in rows]
            return encode_texts(self.model, self.processor.tokenizer, tokens, self.batch_size, self.autocast)

        if self.cache == "none":
            pooled = encode(range(len(texts)))
        else:
            settings = text_settings(self.model, self.processor)
            pooled = self._cached(self.model.text_model, settings, plot_keys(texts), encode)
        return HybridVectors(pooled.numpy(), self._char_ngrams(input_ids))

    def poster_texts(self, texts: Sequence[str]) -> HybridVectors:
        """Returns the features of posters' texts, as `texts` does, with zeros for a poster without text."""
        features = self._texts(texts, self.processor.poster_text_prompt)
        has_text = np.array([[bool(text)] for text in texts])
        return HybridVectors(features.dense * has_text, features.sparse)  # an empty text has no n-grams

    def movies(self, titles: Sequence[Sequence[str]], plots: Sequence[Sequence[str]]) -> HybridVectors:
        """Returns the features of movies out of all their titles and plots, like those of `texts`.

        A movie without titles or plots has the feature of what it has; one without either is a row of zeros.
        """
        texts: list[str] = []
        is_title: list[bool] = []
        for of_titles, of_plots in zip(titles, plots, strict=True):
            texts += [*of_titles, *of_plots]
            is_title += [True] * len(of_titles) + [False] * len(of_plots)
        counts = [len(of_titles) + len(of_plots) for of_titles, of_plots in zip(titles, plots, strict=True)]
        owners, ends = np.repeat(np.arange(len(titles)), counts), np.concatenate([[0], np.cumsum(counts)])
        features = self.texts(texts)

        def combined(part: slice) -> Tensor:
            rows = slice(ends[part.start], ends[part.stop])
            own, marks = torch.from_numpy(owners[rows] - part.start), torch.tensor(is_title[rows], dtype=torch.bool)
            device, count = self.model.device, part.stop - part.start
            return self.model.movie_features(self._tensor(features[rows]), own.to(device), marks.to(device), count)

        return self._in_blocks(len(titles), combined, self._feature_size)

    def embeddings(self, movies: Dataset) -> tuple[HybridVectors, HybridVectors]:
        """Returns the embeddings of the movies' posters and of their first plots."""
        plots = [plot for plots in first_plots(movies) for plot in plots]
        return self.poster_embeddings(movies), self.embed_texts(self.texts(plots))

    def poster_embeddings(self, movies: Dataset) -> HybridVectors:
        """Returns the embeddings of the movies' posters, from the columns `image` and `poster_text`."""
        poster_texts = None
        if self.model.config.use_poster_text:
            poster_texts = self.poster_texts([compose_text(lines) for lines in movies["poster_text"]])
        return self.embed_posters(self.images(movies), poster_texts)

    def embed_posters(self, images: Tensor, texts: HybridVectors | None = None) -> HybridVectors:
        """Returns the embeddings of posters.

        Args:
            images: (posters, feature), from `images`.
            texts: the features of their texts, from `poster_texts`; None if no poster has text.
        """

        def embedded(part: slice) -> Tensor:
            text = None if texts is None else self._tensor(texts[part])
            return self.model.embed_posters(images[part].to(self.model.device), text)

        return self._in_blocks(len(images), embedded, self.model.config.projection_dim)

    def embed_texts(self, features: HybridVectors) -> HybridVectors:
        """Returns the embeddings of features from `texts` or `movies`."""
        return self._in_blocks(
            len(features),
            lambda part: self.model.embed_texts(self._tensor(features[part])),
            self.model.config.projection_dim,
        )

    @torch.no_grad()
    def _char_ngrams(self, input_ids: Sequence[Sequence[int]]) -> csr_array:
        # N-grams are quickly made, and their weights are this model's: they are not cached.
        parts = [csr_array((0, self.model.config.char_ngram_dim), dtype=np.float32)]
        if not self.model.config.char_ngram_dim:
            return csr_array((len(input_ids), 0), dtype=np.float32)
        for start in range(0, len(input_ids), self.batch_size):
            tokens = {"input_ids": input_ids[start : start + self.batch_size]}
            batch = self.processor.tokenizer.pad(tokens, return_tensors="pt").to(self.model.device)
            ngrams = self.model.char_ngrams(batch["input_ids"], batch["attention_mask"])
            parts.append(csr_array(ngrams.float().cpu().numpy()))
        return csr_array(vstack(parts, format="csr"))

    @property
    def _feature_size(self) -> int:
        return self.model.text_projection.in_features

    def _tensor(self, features: HybridVectors) -> Tensor:
        return torch.from_numpy(features.to_array()).to(self.model.device)

    @torch.no_grad()
    def _in_blocks(self, rows: int, compute: Callable[[slice], Tensor], dense_dim: int) -> HybridVectors:
        """Returns the vectors that `compute` returns for parts of the rows, each made sparse before the next."""
        starts = range(0, max(rows, 1), BLOCK)
        vectors = (compute(slice(start, min(start + BLOCK, rows))).float().cpu().numpy() for start in starts)
        return HybridVectors.joined([HybridVectors.from_array(block, dense_dim) for block in vectors])

    def _cached(
        self, encoder: PreTrainedModel, settings: list[str], keys: list[str], encode: Callable[[Sequence[int]], Tensor]
    ) -> Tensor:
        cache = FeatureCache(Path(self.cache).expanduser(), encoder, settings, self.dtype)
        if self.accelerator and self.accelerator.num_processes > 1:
            cache.fill(keys, encode, self.accelerator.process_index, self.accelerator.num_processes)
            self.accelerator.wait_for_everyone()
        return cache.features(keys, encode)


class DenseRows:
    """Vectors that stay sparse in memory and whose rows are dense tensors, for the batches of a training."""

    def __init__(self, vectors: HybridVectors) -> None:
        self.vectors = vectors

    def __getitem__(self, row: int) -> Tensor:
        """Returns a vector, (dimensions,)."""
        return torch.from_numpy(self.vectors.row(int(row)))


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
        pairs.text_features = DenseRows(encoder.texts([plot for plots in pairs.plots for plot in plots]))
        if pairs.poster_text is not None:
            pairs.poster_text_features = DenseRows(encoder.poster_texts(pairs.poster_text))
        if pairs.titles is not None:
            pairs.title_features = DenseRows(encoder.texts([title for titles in pairs.titles for title in titles]))


def image_settings(model: PosterCLIPModel, processor: PosterCLIPProcessor) -> list[str]:
    """Returns what an image feature depends on beside the poster and the encoder's weights."""
    return [model.config.vision_pooling, poster_settings(processor)]


def text_settings(model: PosterCLIPModel, processor: PosterCLIPProcessor) -> list[str]:
    """Returns what a text feature depends on beside the text, with its prompt, and the encoder's weights."""
    return [model.config.text_pooling, json.dumps(model.config.text_head), plot_settings(processor)]


def model_key(model: PosterCLIPModel, processor: PosterCLIPProcessor) -> str:
    """Returns a hash of all that an embedding depends on beside its poster or text: weights, pooling, processing."""
    settings = [*image_settings(model, processor), *text_settings(model, processor), str(model.config.use_poster_text)]
    settings += [processor.text_prompt, processor.poster_text_prompt]
    digest = hashlib.sha256(json.dumps(settings).encode())
    add_weights(digest, model)
    return digest.hexdigest()
