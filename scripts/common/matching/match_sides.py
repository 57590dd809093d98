"""The two sides of a match, embedded: posters and movies, block by block."""

from __future__ import annotations

import torch
from datasets import Dataset

from modeling import PosterCLIPModel
from processing.data.titles import Titles, all_titles
from processing.matching.candidates import Movies, Posters, SplitEmbeddings
from processing.matching.pair_text import MovieText, PosterText
from processing.posterclip.ocr_text import compose_text
from scripts.common.features import FeatureEncoder

BLOCK = 1000  # posters or movies whose n-gram embeddings are in memory at a time before they become sparse


def embed_posters(encoder: FeatureEncoder, posters: Dataset) -> Posters:
    """Returns the posters' side of a match.

    Args:
        encoder: of the model.
        posters: with the columns `image` and `poster_text`, in which every poster has its lines.
    """
    model, blocks = encoder.model, []
    for start in range(0, len(posters), BLOCK):
        part = posters.select(range(start, min(start + BLOCK, len(posters))))
        texts = None
        if model.config.use_poster_text:
            texts = encoder.poster_texts([compose_text(lines) for lines in part["poster_text"]]).to(model.device)
        with torch.no_grad():
            embeds = model.embed_posters(encoder.images(part).to(model.device), texts).float().cpu().numpy()
        blocks.append(SplitEmbeddings.split(embeds, model.config.projection_dim))
    return Posters(SplitEmbeddings.joined(blocks), [PosterText(lines or []) for lines in posters["poster_text"]])


def embed_movies(encoder: FeatureEncoder, movies: Dataset, titles: str = "use") -> Movies:
    """Returns the movies' side of a match.

    Args:
        encoder: of the model.
        movies: with the column `plots`, and `title`, `other_titles` and `year` where they are known.
        titles: "hide" embeds movies by their plots alone.
    """
    names = all_titles(movies) if titles == "use" else [[] for _ in range(len(movies))]
    plots, model = movies["plots"][:], encoder.model
    blocks: list[list[SplitEmbeddings]] = []
    for start in range(0, len(plots), BLOCK):
        part = slice(start, start + BLOCK)
        empty: Titles = [[] for _ in plots[part]]
        named, told = encoder.movies(names[part], empty), encoder.movies(empty, plots[part])
        # The feature of a movie is the sum of those of its titles and its plots alone.
        blocks.append([_embedded(model, features) for features in (named + told, named, told)])
    years = movies["year"][:] if "year" in movies.column_names else [None] * len(movies)
    texts = [MovieText(of_movie, year) for of_movie, year in zip(names, years, strict=True)]
    whole, of_titles, of_plots = (SplitEmbeddings.joined(part) for part in zip(*blocks, strict=True))
    return Movies(whole, of_titles, of_plots, texts)


@torch.no_grad()
def _embedded(model: PosterCLIPModel, text_features: torch.Tensor) -> SplitEmbeddings:
    embeds = model.embed_texts(text_features.to(model.device)).float().cpu().numpy()
    return SplitEmbeddings.split(embeds, model.config.projection_dim)
