"""The similarity of a poster and a movie taken apart: titles, plots, n-grams, the image, and single words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor

from processing.posterclip.ocr_text import compose_text
from scripts.common.features import FeatureEncoder

WORDS = 10  # that carried the n-gram part most


@torch.no_grad()
def similarity_parts(
    encoder: FeatureEncoder, poster: Dataset, titles: Sequence[str], plots: Sequence[str]
) -> dict[str, Any]:
    """Returns the cosine similarity of a poster and a movie, and the parts that it is the sum of.

    Both embeddings are weighted sums of parts before they are normalised, so the similarity is a sum too.

    Args:
        encoder: of the model.
        poster: one row with the columns `image` and `poster_text`.
        titles, plots: of the movie.

    Returns:
        `similarity`; `parts`, by name: `title`, `plot` and `image` of the dense embeddings (the poster's text with
        titles and plots, and its image with both), `title_ngrams` and `plot_ngrams`; and `words`, the words printed on
        the poster that carried the n-gram parts, each with its share of them.
    """
    model, size = encoder.model, encoder.model.text_projection.in_features
    text = compose_text(poster[0]["poster_text"]) if model.config.use_poster_text else ""
    image_features = encoder.images(poster).to(model.device)
    sides = encoder.poster_texts([text]), encoder.movies([list(titles)], [[]]), encoder.movies([[]], [list(plots)])
    text_features, of_titles, of_plots = (torch.from_numpy(side.to_array()).to(model.device) for side in sides)
    embed_poster, ngrams_poster = _split(model.embed_posters(image_features, text_features)[0], model)
    embed_movie, ngrams_movie = _split(model.embed_texts(of_titles + of_plots)[0], model)

    image = F.normalize(model.visual_projection(image_features), dim=-1)[0]
    if text:
        image = model.image_weight * image
    words = F.normalize(model.text_projection(text_features[:, :size]), dim=-1)[0]
    image, words = _scaled((image, words), embed_poster)
    dense = [model.text_projection(features[:, :size])[0] for features in (of_titles, of_plots)]
    title, plot = _scaled(dense, embed_movie)
    title_ngrams, plot_ngrams = _scaled([features[0, size:] for features in (of_titles, of_plots)], ngrams_movie)
    parts = {
        "title": words @ title,
        "plot": words @ plot,
        "image": image @ embed_movie,
        "title_ngrams": ngrams_poster @ title_ngrams,
        "plot_ngrams": ngrams_poster @ plot_ngrams,
    }
    carried = _words(encoder, text, text_features[0, size:], ngrams_poster, ngrams_movie)
    similarity = float(embed_poster @ embed_movie + ngrams_poster @ ngrams_movie)
    return {"similarity": similarity, "parts": {name: float(part) for name, part in parts.items()}, "words": carried}


def _split(embed: Tensor, model: Any) -> tuple[Tensor, Tensor]:
    return embed[: model.config.projection_dim], embed[model.config.projection_dim :]


def _scaled(parts: Sequence[Tensor], whole: Tensor) -> list[Tensor]:
    """Returns parts on the scale on which their sum is the whole."""
    scale = whole.norm() / torch.stack(list(parts)).sum(0).norm().clamp(min=1e-12)
    return [part * scale for part in parts]


def _words(
    encoder: FeatureEncoder, text: str, ngrams: Tensor, ngrams_poster: Tensor, ngrams_movie: Tensor
) -> list[dict[str, Any]]:
    """Returns the words of a poster's text and the similarity that their n-grams add, the largest first."""
    words = list(dict.fromkeys(text.split()))
    if not words or not len(ngrams):
        return []
    scale = ngrams_poster.norm() / ngrams.norm().clamp(min=1e-12)
    by_word = torch.from_numpy(encoder.texts(words).sparse @ ngrams_movie.cpu().numpy()) * scale.cpu()
    counts = torch.tensor([text.split().count(word) for word in words])
    found = sorted(zip((by_word * counts).tolist(), words, strict=True), reverse=True)[:WORDS]
    return [{"word": word, "similarity": similarity} for similarity, word in found if similarity > 0]
