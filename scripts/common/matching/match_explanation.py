"""Why a poster and a movie are similar: titles, plots, n-grams, the image, and the words that carried the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset

from processing.posterclip.ocr_text import compose_text
from scripts.common.features import FeatureEncoder


@torch.no_grad()
def similarity_parts(
    encoder: FeatureEncoder, poster: Dataset, titles: Sequence[str], plots: Sequence[str]
) -> dict[str, Any]:
    """Returns the cosine similarity of a poster and a movie, taken apart by `PosterCLIPModel.explain`.

    Args:
        encoder: of the model.
        poster: one row with the columns `image` and `poster_text`.
        titles, plots: of the movie.
    """
    model = encoder.model
    text = compose_text(poster[0]["poster_text"]) if model.config.use_poster_text else ""
    sides = encoder.poster_texts([text]), encoder.movies([list(titles)], [[]]), encoder.movies([[]], [list(plots)])
    features = (torch.from_numpy(side.to_array()).to(model.device) for side in sides)
    return model.explain(encoder.processor.tokenizer, text, encoder.images(poster).to(model.device), *features)
