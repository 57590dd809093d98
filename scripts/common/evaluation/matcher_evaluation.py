"""What the second stage of matching reaches on a pool of movies whose posters are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processing.evaluation.reranking import reranked
from processing.evaluation.retrieval import PoolResult
from processing.evaluation.selective import PRECISIONS, calibration, risk_coverage, risk_coverage_curve, share
from processing.matching.candidates import CANDIDATES, Movies, Posters, Rows, candidate_pairs
from processing.matching.confidence import Answers, Confidence
from processing.matching.matches import ACCEPTED, statuses
from processing.matching.second_stage import LabelledPool, SecondStage
from processing.pair_retrieval.ranking import DIRECTIONS


@dataclass(frozen=True)
class BothStages:
    """A pool whose candidates were scored by the second stage.

    Args:
        stage: the second stage.
        candidates: of each poster.
        scores: (pairs,) log-odds of these.
        ranks: of both stages.
    """

    stage: SecondStage
    candidates: LabelledPool
    scores: NDArray[np.float64]
    ranks: PoolResult

    @classmethod
    def of(
        cls, stage: SecondStage, posters: Posters, movies: Movies, answers: Rows, first_stage: PoolResult
    ) -> BothStages:
        """Returns the pool, both ways: the candidates of each poster, and those of each movie.

        Args:
            stage: the second stage.
            posters, movies: the two sides, embedded.
            answers: (posters,) the place of each poster's movie among the movies.
            first_stage: their ranks by similarity.
        """
        pool = LabelledPool.of(posters, movies, answers)
        scores = stage.scorer.log_odds(pool.features)
        asked, found = candidate_pairs(movies, posters)
        reverse = stage.scores(posters, movies, found, asked)
        ranks = first_stage.right_ranks()
        both = (
            reranked(ranks[DIRECTIONS[0]], pool.rows, scores, pool.right, CANDIDATES, pool.movies),
            reranked(ranks[DIRECTIONS[1]], asked, reverse, answers[found] == asked, CANDIDATES, len(answers)),
        )
        ids = first_stage.image_ids, first_stage.text_ids
        return cls(stage, pool, scores, PoolResult.of(*ids, dict(zip(DIRECTIONS, both, strict=True))))

    def top_answers(self, k: int) -> tuple[Rows, NDArray[np.float64]]:
        """Returns the k best movies of each poster and their scores, (posters, k or less) each, best first."""
        rows = self.candidates.rows
        order = np.lexsort((-self.scores, rows))
        counts = np.bincount(rows)
        best = order[(np.cumsum(counts) - counts)[:, None] + np.arange(min(k, counts.min()))]
        return self.candidates.columns[best], self.scores[best]

    def metrics(self, seed: int = 0) -> dict[str, Any]:
        """Returns what is accepted and how much of it is right, JSON-ready.

        Args:
            seed: of intervals, and of the draw of movies that are taken out of the table.

        Returns:
            `right_among_candidates`, a share of posters; `complete_table`, `half_of_the_table` (half of the movies
            were taken out) and `one_to_one` (a movie has one poster at most; only where that is so), each with what
            `selective_metrics` gives if there is a confidence; and `right_pairs` of `one_to_one`, a share of posters.
        """
        pool, stage = self.candidates, self.stage
        found: dict[str, Any] = {
            "right_among_candidates": share(np.bincount(pool.rows, pool.right, minlength=len(pool.answers)) > 0)
        }
        halved = np.random.default_rng(seed).random(pool.movies) < 0.5
        if stage.confidence is not None:
            found["complete_table"] = selective_metrics(stage.confidence, pool.best_two(self.scores), seed)
            found["half_of_the_table"] = selective_metrics(stage.confidence, pool.best_two(self.scores, halved), seed)
        if len(pool.answers) == pool.movies:
            exclusive = pool.best_two(self.scores, exclusive=True)
            found["one_to_one"] = {"right_pairs": share(exclusive.right)}
            if stage.one_to_one_confidence is not None:
                found["one_to_one"] |= selective_metrics(stage.one_to_one_confidence, exclusive, seed)
        return found


def selective_metrics(confidence: Confidence, answers: Answers, seed: int = 0) -> dict[str, Any]:
    """Returns coverage, calibration and what is accepted at each of PRECISIONS.

    `coverage` is what could be answered if the threshold were chosen by the right answers; `accepted` is what
    `Matcher.match` accepts, with the precision that this reaches.
    """
    probabilities = confidence.probabilities(answers.first, answers.second)
    every = np.ones(len(answers.right), bool)
    accepted = {
        f"{precision:g}": np.array(statuses(probabilities, every, precision)) == ACCEPTED for precision in PRECISIONS
    }
    return {
        "coverage": risk_coverage(probabilities.right, answers.right, seed),
        "curve": risk_coverage_curve(probabilities.right, answers.right),
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
