"""The similarity of a poster and a movie taken apart: title, plot, image, n-grams, and the words that carried it."""

import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NAMED = 10  # words and n-grams that carried most


class Explains:
    """The part of a `PosterCLIPModel` that says why a poster and a movie are similar."""

    @torch.no_grad()
    def explain(
        self,
        tokenizer: Any,
        poster_text: str,
        image_features: Tensor,
        poster_text_features: Tensor,
        title_features: Tensor,
        plot_features: Tensor,
    ) -> dict[str, Any]:
        """Returns the cosine similarity of a poster and a movie, and what it is the sum of.

        Both embeddings are weighted sums of parts before they are normalised, so the similarity is a sum too.

        Args:
            tokenizer: the model's.
            poster_text: the text on the poster, "" if there is none.
            image_features: (1, feature), of the poster.
            poster_text_features: (1, feature + char_ngram_dim), of its text.
            title_features, plot_features: likewise, from `movie_features` of the movie's titles and of its plots alone.

        Returns:
            `similarity`; `parts`, by name: `title`, `plot` and `image` of the dense embeddings (the poster's text with
            titles and plots, and its image with both), `title_ngrams` and `plot_ngrams`; and `words` and `ngrams`, the
            words and single n-grams of the poster's text that carried the n-gram parts, each with what it adds to the
            similarity, the largest first.
        """
        model: Any = self
        size = model.text_projection.in_features
        poster, poster_ngrams = _split(model, model.embed_posters(image_features, poster_text_features)[0])
        movie, movie_ngrams = _split(model, model.embed_texts(title_features + plot_features)[0])
        image = F.normalize(model.visual_projection(image_features), dim=-1)[0]
        text = F.normalize(model.text_projection(poster_text_features[:, :size]), dim=-1)[0]
        image, text = _scaled((model.image_weight * image if poster_text else image, text), poster)
        sides = title_features, plot_features
        title, plot = _scaled([model.text_projection(of[:, :size])[0] for of in sides], movie)
        title_ngrams, plot_ngrams = _scaled([of[0, size:] for of in sides], movie_ngrams)
        parts = {
            "title": text @ title,
            "plot": text @ plot,
            "image": image @ movie,
            "title_ngrams": poster_ngrams @ title_ngrams,
            "plot_ngrams": poster_ngrams @ plot_ngrams,
        }
        words: dict[str, float] = {}
        ngrams: dict[str, float] = {}
        if model.config.char_ngram_dim:
            counts = poster_text_features[0, size:]
            scale = poster_ngrams.norm() / counts.norm().clamp(min=1e-12)
            for word in re.findall(r"\w(?:\S*\w)?", poster_text):
                ids = torch.tensor(tokenizer(word, add_special_tokens=False)["input_ids"], device=counts.device)
                for ngram, entry, value in model.char_ngrams.spelled(ids) if len(ids) else ():
                    added = float(value * scale * movie_ngrams[entry])
                    words[word] = words.get(word, 0.0) + added
                    ngrams[ngram] = ngrams.get(ngram, 0.0) + added
        return {
            "similarity": float(poster @ movie + poster_ngrams @ movie_ngrams),
            "parts": {name: float(part) for name, part in parts.items()},
            "words": _largest("word", words),
            "ngrams": _largest("ngram", ngrams),
        }


def _split(model: Any, embed: Tensor) -> tuple[Tensor, Tensor]:
    return embed[: model.config.projection_dim], embed[model.config.projection_dim :]


def _scaled(parts: Sequence[Tensor], whole: Tensor) -> list[Tensor]:
    """Returns parts on the scale on which their sum is the whole."""
    scale = whole.norm() / torch.stack(list(parts)).sum(0).norm().clamp(min=1e-12)
    return [part * scale for part in parts]


def _largest(kind: str, added: dict[str, float]) -> list[dict[str, Any]]:
    """Returns those that add most to the similarity, of those that add anything."""
    found = sorted(added.items(), key=lambda item: -item[1])[:NAMED]
    return [{kind: name, "similarity": value} for name, value in found if value > 0]
