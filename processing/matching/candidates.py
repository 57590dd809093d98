"""The first stage of matching: the candidates that embeddings give, and those whose title is on the poster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process

from processing.pair_retrieval.hybrid_vectors import Candidates, HybridVectors
from processing.pair_retrieval.ranking import blocks

from .pair_text import MovieText, PosterText

Dense = NDArray[np.float32]
Rows = NDArray[np.intp]

CANDIDATES = 30  # movies of a poster that the second stage looks at, the most similar by embedding
TITLE_CANDIDATES = 10  # and the most similar by title


@dataclass
class Posters:
    """The posters' side of a match: embeddings, and the texts that are printed on them."""

    embeddings: HybridVectors
    texts: Sequence[PosterText]

    @property
    def strings(self) -> list[list[str]]:
        """What may be the title of each poster, without spaces."""
        return [text.groups for text in self.texts]

    def select(self, rows: Rows) -> Posters:
        """Returns some of the posters."""
        return Posters(self.embeddings[rows], [self.texts[row] for row in rows])


@dataclass
class Movies:
    """The movies' side of a match: embeddings of everything, of the titles alone and of the plots alone, and titles."""

    embeddings: HybridVectors
    titles: HybridVectors
    plots: HybridVectors
    texts: Sequence[MovieText]

    @property
    def strings(self) -> list[list[str]]:
        """The titles of each movie, without spaces."""
        return [text.letters for text in self.texts]

    def select(self, rows: Rows) -> Movies:
        """Returns some of the movies."""
        embeddings, titles, plots = (part[rows] for part in (self.embeddings, self.titles, self.plots))
        return Movies(embeddings, titles, plots, [self.texts[row] for row in rows])


def candidate_pairs(queries: Posters | Movies, pool: Posters | Movies) -> tuple[Rows, Rows]:
    """Returns query and candidate of each candidate pair, (pairs,) both, those of a query together.

    They are the most similar by embedding, and the most similar by title, because a title that OCR misread has other
    n-grams.

    Args:
        queries: posters or movies.
        pool: the other side.
    """
    by_embedding = most_similar(queries.embeddings, pool.embeddings)
    by_title = most_similar_strings(queries.strings, pool.strings)
    found = [np.array([*dict.fromkeys([*of, *more])], np.intp) for of, more in zip(by_embedding, by_title, strict=True)]
    rows = np.repeat(np.arange(len(found)), [len(of) for of in found])
    return rows, np.concatenate(found) if found else np.zeros(0, np.intp)


def most_similar_strings(
    queries: Sequence[Sequence[str]], pool: Sequence[Sequence[str]], count: int = TITLE_CANDIDATES
) -> list[list[int]]:
    """Returns the rows of the pool one of whose strings is most similar to one of each query's, best first.

    Strings are compared by edit distance (`rapidfuzz.fuzz.ratio`); rows that have nothing in common are left out.

    Example:
        >>> most_similar_strings([["twoifbysca", "sandrabullock"]], [["braveheart"], ["twoifbysea"], []], count=1)
        [[1]]
    """
    strings = [string for of in pool for string in of]
    owners = np.repeat(np.arange(len(pool)), [len(of) for of in pool])
    found = []
    for query in queries:
        best = np.zeros(len(pool), np.float32)
        if query and strings:
            similar = process.cdist([*dict.fromkeys(query)], strings, dtype=np.float32, workers=-1)
            np.maximum.at(best, owners, similar.max(0))
        least = np.partition(best, -count)[-count] if len(pool) > count else 0
        rows = np.flatnonzero((best >= least) & (best > 0))
        found.append(rows[np.argsort(-best[rows], kind="stable")][:count].tolist())
    return found


def most_similar(queries: HybridVectors, pool: HybridVectors, count: int = CANDIDATES) -> Rows:
    """Returns the most similar rows of the pool for each query, best first, (queries, count or less).

    Queries go in blocks, so memory grows with the pool, not with its product with the queries.
    """
    count = min(count, len(pool))
    found, candidates = np.empty((len(queries), count), np.intp), Candidates(pool)
    for part in blocks(len(queries), len(pool)):
        scores = candidates.scores(queries[part])
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        best.sort(axis=1)
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        found[part] = np.take_along_axis(best, order, 1)
    return found


def pair_dots(queries: HybridVectors, rows: Rows, pool: HybridVectors, columns: Rows) -> tuple[Dense, Dense]:
    """Returns the dot products of pairs of rows, of the dense parts and of the n-gram parts, (pairs,) each."""
    dense, ngrams = np.empty((2, len(rows)), np.float32)
    for part in blocks(len(rows), pool.dense.shape[1]):
        dense[part], ngrams[part] = queries[rows[part]].dots(pool[columns[part]])
    return dense, ngrams
