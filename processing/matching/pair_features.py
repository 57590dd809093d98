"""Features of pairs of a poster and a movie: what the second stage of matching looks at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .candidates import Movies, Posters, Rows, pair_dots
from .pair_text import TEXT_FEATURES, text_features

EMBEDDING_FEATURES = ("similarity", "title_embedding", "plot_embedding", "title_ngrams", "plot_ngrams")
PAIR_FEATURES = (*EMBEDDING_FEATURES, *TEXT_FEATURES)


def pair_features(posters: Posters, movies: Movies, rows: Rows, columns: Rows) -> NDArray[np.float32]:
    """Returns the features of pairs, (pairs, PAIR_FEATURES).

    A feature looks at its pair alone, never at the other candidates, so that a pair has the same features in every
    pool. `similarity` is that of the first stage; the other embedding features are its parts.

    Args:
        posters, movies: the two sides.
        rows: (pairs,) the poster of each pair.
        columns: (pairs,) the movie of each pair.
    """
    features = np.empty((len(rows), len(PAIR_FEATURES)), np.float32)
    features[:, 0] = np.sum(pair_dots(posters.embeddings, rows, movies.embeddings, columns), axis=0)
    for place, part in ((1, movies.titles), (2, movies.plots)):
        features[:, place], features[:, place + 2] = pair_dots(posters.embeddings, rows, part, columns)
    order = np.argsort(rows, kind="stable")
    for of_poster in np.split(order, np.flatnonzero(np.diff(rows[order])) + 1) if len(order) else ():
        texts = [movies.texts[column] for column in columns[of_poster]]
        features[of_poster, len(EMBEDDING_FEATURES) :] = text_features(posters.texts[rows[of_poster[0]]], texts)
    return features
