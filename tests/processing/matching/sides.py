"""Small sides of a match, made from vectors and texts."""

import numpy as np

from processing.matching.candidates import Movies, Posters
from processing.matching.pair_text import MovieText, PosterText
from processing.pair_retrieval.hybrid_vectors import HybridVectors


def split(dense, ngrams=None) -> HybridVectors:
    dense = np.asarray(dense, np.float32)
    ngrams = np.zeros((len(dense), 1), np.float32) if ngrams is None else np.asarray(ngrams, np.float32)
    return HybridVectors.from_array(np.concatenate([dense, ngrams], axis=1), dense.shape[1])


def titled_pool(count: int, unreadable: float, seed: int = 0) -> tuple[Posters, Movies]:
    """Posters that show their movie's title of two random words, or nothing that can be read; vectors say little."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice(list("abcdefghijklmnop"), 6)) for _ in range(2 * count)]
    titles = [" ".join(words[2 * i : 2 * i + 2]) for i in range(count)]
    lines = [["???"] if random.random() < unreadable else [title.upper(), "a film"] for title in titles]
    dense = random.normal(size=(count, 8))
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    noisy = dense + random.normal(size=dense.shape) / 3
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    movies = split(dense)
    texts = [MovieText([title]) for title in titles]
    return Posters(split(noisy), [PosterText(of) for of in lines]), Movies(movies, movies, movies, texts)
