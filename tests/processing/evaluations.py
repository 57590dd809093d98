"""A small evaluation, with titles and genres that would harm a careless page."""

import numpy as np
from datasets import Dataset
from PIL import Image

from processing.catalogue.movies import MOVIE_FEATURES
from processing.evaluation.groups import group_metrics
from processing.evaluation.intervals import bootstrap_intervals
from processing.evaluation.one_to_one import match_one_to_one
from processing.evaluation.pool_sizes import pool_size_metrics
from processing.evaluation.retrieval import evaluate_pool, legacy_protocol
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.pair_retrieval.ranking import DIRECTIONS

HARM = "<script>alert('\"&')</script>"
COUNT = 20


def movies():
    """Twenty movies; the first has a harmful title and genre, the last neither year nor genre."""
    genres = [["Drama", "War"], ["Drama"], ["Comedy $x^"]]
    rows = {
        "id": [str(number) for number in range(COUNT)],
        "image": [Image.new("RGB", (8, 12), (12 * number, 90, 60)) for number in range(COUNT)],
        "plots": [[f"{HARM} {number}"] for number in range(COUNT)],
        "title": [HARM, "W" * 200, *(f"Movie {number}" for number in range(2, COUNT))],
        "year": [1980 + number for number in range(COUNT - 1)] + [None],
        "genres": [[HARM], *(genres[number % 3] for number in range(2, COUNT)), []],
        "series": [str(number) for number in range(COUNT)],
        "other_titles": [[]] * COUNT,
        "poster_text": [[]] * COUNT,
    }
    return Dataset.from_dict(rows, MOVIE_FEATURES)


def embeddings(noise=1.5):
    """Embeddings of posters and plots, of which some find each other."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(COUNT, 8))
    texts = images + noise * rng.normal(size=(COUNT, 8))
    units = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, texts))
    return tuple(HybridVectors.from_array(side, dense_dim=6) for side in units)


def evaluation(noise=1.5):
    """Movies, embeddings, pool and results."""
    rows, embeds = movies(), embeddings(noise)
    ids = rows["id"][:]
    pool = evaluate_pool(*embeds, ids, ids)
    report = {
        "source": f"my_movies {HARM}",
        "rows": {"train": 1234, "test": COUNT},
        "bad_rows": {"count": 3, "lines": ["a", "b", "c"]},
        "plot_columns": ["plot", "intro"],
        "split_by": "series (seed 7)",
        "shared_series": 0,
        "shared_plots": 2,
        "poster_text": {"given": 11, "read": 9, "without_text": 4, "failed": []},
    }
    results = {
        "model": f"runs/{HARM}{'W' * 120}",
        "split": "test",
        "mask_titles": False,
        "remove_poster_text": False,
        "catalogue": report,
        "data_fingerprint": {"test": "5e1f" * 16},
        "metrics": {**pool.summary(), "intervals": bootstrap_intervals(pool)},
        "pool_sizes": {way: pool_size_metrics(getattr(pool, way), COUNT, [10]) for way in DIRECTIONS},
        "groups": group_metrics(pool, rows),
        "one_to_one": match_one_to_one(*embeds, ids, ids, 10.0),
        "legacy_protocol": legacy_protocol(*embeds, ids, np.arange(COUNT) < 10),
        "training": {
            "train_splits": ["train"],
            "catalogue": report,
            "data_fingerprint": {"train": "7a2c" * 16},
            "arguments": {"learning_rate": 0.00123},
        },
        "trained_movies": {"trained_on": [], "chosen_by": [], "complete": True},
        "versions": {"python": "3.11.7"},
        "time": "2026-01-02T03:04:05+00:00",
        "code": {"commit": "c0ffee" * 6, "dirty": True},
        "seed": 42,
    }
    return rows, embeds, pool, results


def comparison(first, second):
    """Of two evaluations: R@1 clearly better, MRR not clearly, the mean rank clearly worse."""
    found = {
        "R@1": {"difference": 0.1, "interval": [0.05, 0.15]},
        "MRR": {"difference": 0.0123, "interval": [-0.01, 0.03]},
        "mean_rank": {"difference": 1.5, "interval": [0.5, 2.5]},
    }
    return {
        "models": ["runs/a", f"runs/{HARM}"],
        "results": [first, second],
        "differences": {way: found for way in DIRECTIONS},
    }
