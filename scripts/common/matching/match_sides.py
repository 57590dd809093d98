"""The two sides of a match, embedded: posters and movies."""

from __future__ import annotations

from datasets import Dataset

from processing.data.titles import all_titles
from processing.matching.candidates import Movies, Posters
from processing.matching.pair_text import MovieText, PosterText
from scripts.common.features import FeatureEncoder


def embed_posters(encoder: FeatureEncoder, posters: Dataset) -> Posters:
    """Returns the posters' side of a match.

    Args:
        encoder: of the model.
        posters: with the columns `image` and `poster_text`, in which every poster has its lines.
    """
    return Posters(encoder.poster_embeddings(posters), [PosterText(lines or []) for lines in posters["poster_text"]])


def embed_movies(encoder: FeatureEncoder, movies: Dataset, titles: str = "use", plots: str = "all") -> Movies:
    """Returns the movies' side of a match.

    Args:
        encoder: of the model.
        movies: with the column `plots`, and `title`, `other_titles` and `year` where they are known.
        titles: "hide" embeds movies by their plots alone.
        plots: "one" embeds movies by their first plot.
    """
    names = all_titles(movies) if titles == "use" else [[] for _ in range(len(movies))]
    told_by = [of[:1] if plots == "one" else of for of in movies["plots"]]
    empty: list[list[str]] = [[]] * len(movies)
    named, told = encoder.movies(names, empty), encoder.movies(empty, told_by)
    # The feature of a movie is the sum of those of its titles and its plots alone.
    whole, of_titles, of_plots = (encoder.embed_texts(features) for features in (named + told, named, told))
    years = movies["year"][:] if "year" in movies.column_names else [None] * len(movies)
    texts = [MovieText(of_movie, year) for of_movie, year in zip(names, years, strict=True)]
    return Movies(whole, of_titles, of_plots, texts)
