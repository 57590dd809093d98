"""A small evaluation, with titles and genres that would harm a careless page."""

import numpy as np
from datasets import Dataset
from PIL import Image

from processing.catalogue.movies import MOVIE_FEATURES
from processing.evaluation.groups import group_metrics
from processing.evaluation.intervals import bootstrap_intervals
from processing.evaluation.one_to_one import match_one_to_one
from processing.evaluation.pool_sizes import pool_size_metrics
from processing.evaluation.retrieval import evaluate_pool, legacy_protocol, top_answers
from processing.evaluation.selective import PRECISIONS, calibration, risk_coverage, risk_coverage_curve, share
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


def matching(error=0.0):
    """What matching reaches: three confidences of a hundred posters each, too high by `error`."""
    rng = np.random.default_rng(3)
    confidences = rng.random(100)
    right = rng.random(100) < confidences - error
    given = {f"{precision:g}": confidences > precision for precision in PRECISIONS}
    found = {
        "coverage": risk_coverage(confidences, right),
        "curve": risk_coverage_curve(confidences, right),
        "calibration": calibration(confidences, right),
        "accepted": {
            asked: {"posters": share(mask), "precision": share(right[mask]), "absent_accepted": share([])}
            for asked, mask in given.items()
        },
    }
    return {
        "right_among_candidates": share(np.arange(100) < 93),
        "complete_table": found,
        "half_of_the_table": found,
        "one_to_one": {"right_pairs": share(np.arange(100) < 87), **found},
    }


def evaluation(noise=1.5):
    """Movies, embeddings, best answers, pool and results."""
    rows, embeds = movies(), embeddings(noise)
    ids = rows["id"][:]
    pool = evaluate_pool(*embeds, ids, ids)
    metrics = {**pool.summary(), "intervals": bootstrap_intervals(pool)}
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
        "titles": "use",
        "plots": "all",
        "both_stages": True,
        "mask_titles": False,
        "remove_poster_text": False,
        "catalogue": report,
        "data_fingerprint": {"test": "5e1f" * 16},
        "metrics": metrics,
        "known": [
            {"titles": titles, "plots": plots, "both_stages": both, "metrics": metrics}
            for titles, plots, both in (("use", "all", True), ("use", "all", False), ("hide", "one", False))
        ],
        "matching": matching(),
        "pool_sizes": {way: pool_size_metrics(getattr(pool, way), COUNT, [10]) for way in DIRECTIONS},
        "groups": group_metrics(pool, rows),
        "one_to_one": match_one_to_one(*embeds, ids, ids, 10.0),
        "legacy_protocol": legacy_protocol(pool, ids[:10]),
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
    return rows, embeds, top_answers(*embeds, 4), pool, results


def comparison(first, second):
    """Of two evaluations: R@1 clearly better, MRR not clearly, the mean rank clearly worse."""
    found = {
        "R@1": {"difference": 0.1, "interval": [0.05, 0.15]},
        "MRR": {"difference": 0.0123, "interval": [-0.01, 0.03]},
        "mean_rank": {"difference": 1.5, "interval": [0.5, 2.5]},
    }
    return {
        "models": ["runs/a", f"runs/{HARM}"],
        "split": "test",
        "results": [first, second],
        "differences": {way: found for way in DIRECTIONS},
    }
