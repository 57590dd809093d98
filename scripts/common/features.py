"""What the commands share: posters and plots to features, through the cache where there is one."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel

from modeling import PosterCLIPModel
from modeling.inference.encoding import encode_plots, encode_posters
from modeling.inference.feature_cache import FeatureCache, add_weights
from modeling.posterclip.encoders import is_frozen
from modeling.training.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.catalogue.fingerprints import plot_keys, plot_settings, poster_keys, poster_settings
from processing.data.collation import MoviePairs, PosterBatches, text_batches

TEXT_INPUTS = ("input_ids", "attention_mask")


@dataclass
class Encoder:
    """Encodes posters and plots, each once.

    Args:
        model: its encoders must be frozen if there is a cache.
        processor: of the model.
        batch_size: posters or plots at a time.
        workers: processes that decode posters.
        cache: folder of features; "none" encodes everything and keeps nothing.
        accelerator: of several processes, each encodes its share of what the cache lacks.
        autocast: a context for the encoders.
        dtype: what they compute in.
    """

    model: PosterCLIPModel
    processor: PosterCLIPProcessor
    batch_size: int = 32
    workers: int = 0
    cache: str = "none"
    accelerator: Accelerator | None = None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    dtype: torch.dtype = torch.float32

    def posters(self, movies: Dataset) -> Tensor:
        """Features of the movies' posters, (movies, feature)."""

        def encode(rows: Sequence[int]) -> Tensor:
            size, workers = self.batch_size, self.workers
            batches = PosterBatches(movies.select(rows), self.processor, batch_size=size, workers=workers)
            return encode_posters(self.model, batches, self.autocast)

        if self.cache == "none":
            return encode(range(len(movies)))
        settings = [self.model.config.vision_pooling, poster_settings(self.processor)]
        return self._cached(self.model.vision_model, settings, poster_keys(movies), encode)

    def plots(self, plots: Sequence[str]) -> Tensor:
        """Features of plots, (plots, feature), with their bags of characters if the model has such."""

        def encode(rows: Sequence[int]) -> Tensor:
            batches = text_batches([plots[row] for row in rows], self.processor, batch_size=self.batch_size)
            return encode_plots(self.model, batches, self.autocast)

        if self.cache == "none":
            return encode(range(len(plots)))
        settings = [self.model.config.text_pooling, plot_settings(self.processor)]
        size = self.model.text_projection.in_features
        pooled = self._cached(self.model.text_model, settings, plot_keys(plots), lambda rows: encode(rows)[:, :size])
        if not self.model.config.char_ngram_dim:
            return pooled
        # Bags are quickly made, and weigh 4-grams by what this model was fitted to.
        batches = text_batches(plots, self.processor, batch_size=self.batch_size)
        parts, device = [], self.model.device
        for part, batch in zip(pooled.split(self.batch_size), batches, strict=True):
            parts.append(
                self.model.with_char_ngrams(part.to(device), *(batch[name].to(device) for name in TEXT_INPUTS)).cpu()
            )
        return torch.cat(parts)

    def poster_text(self, texts: Sequence[str]) -> Tensor:
        """Features of posters' texts as of plots, (posters, feature), zeros where there is none."""
        return self.plots(texts) * torch.tensor([[bool(text)] for text in texts])

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
    encoder = Encoder(
        model,
        processor,
        batch_size=run.per_device_eval_batch_size,
        workers=run.dataloader_num_workers,
        cache=cache,
        accelerator=trainer.accelerator,
        autocast=trainer.compute_loss_context_manager,
        dtype=torch.bfloat16 if run.bf16 else torch.float16 if run.fp16 else model.dtype,
    )
    if is_frozen(model.vision_model):
        pairs.image_features = encoder.posters(pairs.movies)
    if is_frozen(model.text_model):
        pairs.text_features = encoder.plots([plot for plots in pairs.plots for plot in plots])
        if pairs.poster_text is not None:
            pairs.poster_text_features = encoder.poster_text(pairs.poster_text)


def model_key(model: PosterCLIPModel, processor: PosterCLIPProcessor) -> str:
    """The hash of all that an embedding depends on beside its poster or plot: weights, pooling, processing."""
    config = model.config
    about = [config.vision_pooling, config.text_pooling, str(config.use_poster_text)]
    digest = hashlib.sha256(json.dumps([*about, poster_settings(processor), plot_settings(processor)]).encode())
    add_weights(digest, model)
    return digest.hexdigest()
