"""What a matcher reaches on a pool of movies whose posters are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from processing.evaluation.intervals import bootstrap_intervals
from processing.evaluation.retrieval import PoolResult
from processing.evaluation.selective import PRECISIONS, calibration, risk_coverage, share
from processing.matching.candidates import Movies, Posters, most_similar
from processing.matching.confidence import FLOOR, Answers, Confidence, most_certain
from processing.matching.second_stage import LabelledPool, SecondStage, candidate_pairs
from processing.pair_retrieval.hybrid_vectors import Candidates
from scripts.common.matching.match_sides import embed_movies, embed_posters
from scripts.common.matching.matcher import Matcher

Scores = NDArray[np.float64]


def evaluate_matcher(matcher: Matcher, movies: Dataset, seed: int = 0) -> dict[str, Any]:
    """Returns what a matcher reaches, JSON-ready, by what it knows of a movie: titles used or hidden, plots all or one.

    For each: the ranks of the first stage alone and of both, both ways; the share of right pairs where the pool is
    matched one to one; coverage, precision and calibration of the confidence; and the same where half of the movies
    are not in the table.

    Args:
        matcher: with or without a second stage, which is not used where titles are hidden.
        movies: the pool, with the column `poster_text`; each has one poster.
        seed: of intervals, and of the draw of movies that are not in the table.
    """
    posters = embed_posters(matcher.encoder, movies)
    first = movies.remove_columns("plots").add_column("plots", [plots[:1] for plots in movies["plots"]])
    results = {}
    for titles in ("use", "hide"):
        for plots, table in (("all", movies), ("one", first)):
            side = embed_movies(matcher.encoder, table, titles)
            results[f"titles={titles}, plots={plots}"] = _evaluate(
                posters, side, matcher.stage if titles == "use" else None, seed
            )
    return results


def _evaluate(posters: Posters, movies: Movies, stage: SecondStage | None, seed: int) -> dict[str, Any]:
    similarities = Candidates(movies.embeddings).scores(posters.embeddings)
    results: dict[str, Any] = {"first_stage": _ranks(similarities, similarities.T, seed)}
    if stage is None:
        return results
    rows, columns = candidate_pairs(posters, movies)
    found = most_similar(movies.embeddings, posters.embeddings)
    other_rows, other_columns = found.ravel(), np.repeat(np.arange(len(found)), found.shape[1])
    scores = stage.scores(posters, movies, rows, columns)
    other_scores = stage.scores(posters, movies, other_rows, other_columns)
    results["both_stages"] = _ranks(
        _reranked(similarities, rows, columns, scores),
        _reranked(similarities.T, other_columns, other_rows, other_scores),
        seed,
    )
    results["right_among_candidates"] = share(np.bincount(rows, rows == columns, minlength=len(posters.texts)) > 0)
    pool = LabelledPool(rows, columns, np.empty((len(rows), 0), np.float32), np.arange(len(posters.texts)), len(found))
    results["one_to_one"] = {"right_pairs": share(pool.best_two(scores, exclusive=True).right)}
    halved = np.random.default_rng(seed).random(len(found)) < 0.5
    if stage.confidence is not None and stage.one_to_one_confidence is not None:
        results["complete_table"] = _selective(stage.confidence, pool.best_two(scores), seed)
        results["half_of_the_table"] = _selective(stage.confidence, pool.best_two(scores, halved), seed)
        exclusive = pool.best_two(scores, exclusive=True)
        results["one_to_one"] |= _selective(stage.one_to_one_confidence, exclusive, seed)
    return results


def _ranks(image_to_text: Scores, text_to_image: Scores, seed: int) -> dict[str, Any]:
    """Returns metrics of both ways with intervals; the right answers are on the diagonals, ties count against them."""
    ids = np.arange(len(image_to_text))
    ranks = [(scores >= scores.diagonal()[:, None]).sum(1) for scores in (image_to_text, text_to_image)]
    pool = PoolResult(ids, ids, *ranks)
    return {**pool.summary(), "intervals": bootstrap_intervals(pool, seed=seed)}


def _reranked(similarities: Scores, queries: NDArray[np.intp], answers: NDArray[np.intp], scores: Scores) -> Scores:
    """Returns scores in which the candidates come before all others, which keep their order."""
    reranked = similarities.astype(np.float64)
    # The scores of candidates are log-odds, far above FLOOR - 100; similarities lie between -1 and 1.
    reranked += FLOOR - 100
    reranked[queries, answers] = scores
    return reranked


def _selective(confidence: Confidence, answers: Answers, seed: int) -> dict[str, Any]:
    """Returns coverage, calibration and what is accepted at each of PRECISIONS."""
    probabilities = confidence.probabilities(answers.first, answers.second)
    accepted = {f"{precision:g}": most_certain(probabilities.right, precision) for precision in PRECISIONS}
    return {
        "coverage": risk_coverage(probabilities.right, answers.right, seed),
        "calibration": calibration(probabilities.right, answers.right),
        "accepted": {
            asked: {
                "posters": share(mask),
                "precision": share(answers.right[mask]),
                "absent_accepted": share(mask[~answers.in_table]),
            }
            for asked, mask in accepted.items()
        },
        "estimated_share_in_table": probabilities.share_in_table,
    }
