"""The second stage of matching: a score for each pair of a poster and a candidate, and the confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .candidates import Movies, Posters, Rows, candidate_pairs
from .confidence import FLOOR, Answers, Confidence
from .logistic import LogisticModel, Vector
from .matches import one_to_one
from .pair_features import PAIR_FEATURES, pair_features

MIN_CALIBRATION = 100  # posters; of fewer, a precision of 95 % could not be told from 90 %
TIE = 1e-6  # difference of log-odds up to which scores tie: their features are float32
POOL_SHARES = (1.0, 0.3, 0.1)  # of a pool's movies, in the pools that the confidence is calibrated on


@dataclass(frozen=True)
class LabelledPool:
    """Candidate pairs of a pool in which every poster's movie is known.

    Args:
        rows, columns: (pairs,) poster and movie of each pair.
        features: (pairs, PAIR_FEATURES).
        answers: (posters,) the place of each poster's movie among the movies.
        movies: number of movies.
    """

    rows: Rows
    columns: Rows
    features: NDArray[np.float32]
    answers: Rows
    movies: int

    @classmethod
    def of(cls, posters: Posters, movies: Movies, answers: ArrayLike) -> LabelledPool:
        """Returns the pairs of the posters and their candidates."""
        rows, columns = candidate_pairs(posters, movies)
        features = pair_features(posters, movies, rows, columns)
        return cls(rows, columns, features, np.asarray(answers, np.intp), len(movies.texts))

    @property
    def right(self) -> NDArray[np.bool_]:
        """(pairs,) whether the movie is the poster's."""
        return self.columns == self.answers[self.rows]

    def best_two(
        self,
        scores: Vector,
        in_table: NDArray[np.bool_] | None = None,
        asked: NDArray[np.bool_] | None = None,
        exclusive: bool = False,
    ) -> Answers:
        """Returns the best two scores of posters.

        Args:
            scores: (pairs,).
            in_table: (movies,) which movies are in the table; all by default.
            asked: (posters,) which posters are matched; all by default.
            exclusive: whether a movie has one poster at most, see `one_to_one`.
        """
        in_table = np.ones(self.movies, bool) if in_table is None else in_table
        asked = np.ones(len(self.answers), bool) if asked is None else asked
        kept = in_table[self.columns] & asked[self.rows]
        if exclusive:
            assigned_by = scores - TIE * self.right  # of equal assignments the one with the fewest right pairs
            kept[kept] = one_to_one(self.rows[kept], self.columns[kept], assigned_by[kept])
        rows, kept_scores, right = self.rows[kept], scores[kept], self.right[kept]
        # Of equal scores the wrong one comes first: a tie counts against the model.
        order = np.lexsort((right, -kept_scores, rows))
        posters = np.arange(len(self.answers))
        places = np.searchsorted(rows[order], posters)[:, None] + [0, 1]
        counts = np.bincount(rows, minlength=len(posters))[:, None]
        found = np.where(counts > [0, 1], np.append(order, -1)[np.minimum(places, len(order))], -1)
        best, second = np.append(kept_scores, FLOOR)[found].T
        answers = Answers(best, second, np.append(right, False)[found[:, 0]], in_table[self.answers])
        return answers.select(asked)


@dataclass(frozen=True)
class SecondStage:
    """A logistic regression on the features of a pair, and the confidence that was calibrated on its scores.

    Args:
        scorer: over PAIR_FEATURES; its log-odds are the score of a pair.
        confidence: None where there were too few posters to calibrate it.
        one_to_one_confidence: the same for matches in which a movie has one poster at most.
    """

    scorer: LogisticModel
    confidence: Confidence | None
    one_to_one_confidence: Confidence | None

    @classmethod
    def fit(cls, training: Sequence[LabelledPool], calibration: Sequence[LabelledPool], seed: int = 0) -> SecondStage:
        """Returns the second stage that fits pools of known movies.

        Args:
            training: pools whose candidates the scorer learns to tell from the right movies.
            calibration: pools that the confidence is calibrated on, whole and in parts (`POOL_SHARES`), with all of
                their movies and with half of them. With fewer than `MIN_CALIBRATION` posters, or without a right
                answer among them, there is no confidence.
            seed: of the draws of movies.

        Raises:
            ValueError: no poster's movie is among its candidates, or nothing else is.
        """
        right = np.concatenate([pool.right for pool in training])
        if right.all() or not right.any():
            raise ValueError(f"{'all' if len(right) and right.all() else 'none'} of the candidates are right")
        scorer = LogisticModel.fit(PAIR_FEATURES, np.concatenate([pool.features for pool in training]), right)
        if sum(len(pool.answers) for pool in calibration) < MIN_CALIBRATION:
            return cls(scorer, None, None)
        return cls(scorer, *(_calibrated(scorer, calibration, exclusive, seed) for exclusive in (False, True)))

    def scores(self, posters: Posters, movies: Movies, rows: Rows, columns: Rows) -> Vector:
        """Returns the log-odds of pairs, (pairs,)."""
        return self.scorer.log_odds(pair_features(posters, movies, rows, columns))

    def to_dict(self) -> dict[str, Any]:
        """Returns the second stage as JSON takes it."""
        return {
            "scorer": self.scorer.to_dict(),
            "confidence": self.confidence and self.confidence.to_dict(),
            "one_to_one_confidence": self.one_to_one_confidence and self.one_to_one_confidence.to_dict(),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> SecondStage:
        """Returns the second stage that `to_dict` gave.

        Raises:
            ValueError: it was fitted to other features than those of this code.
        """
        scorer, names = LogisticModel.from_dict(saved["scorer"]), ("confidence", "one_to_one_confidence")
        if tuple(scorer.weights) != PAIR_FEATURES:
            raise ValueError("its features are not those of this version: train the model again")
        return cls(scorer, *(saved[name] and Confidence.from_dict(saved[name]) for name in names))


def _calibrated(scorer: LogisticModel, pools: Sequence[LabelledPool], exclusive: bool, seed: int) -> Confidence | None:
    """Returns the confidence that fits pools, None where no answer is right."""
    random = np.random.default_rng(seed)
    complete: list[Answers] = []
    halved: list[Answers] = []
    for pool in pools:
        scores = scorer.log_odds(pool.features)
        for share in POOL_SHARES:
            drawn = random.random(pool.movies) < share
            asked = drawn[pool.answers]
            complete.append(pool.best_two(scores, drawn, asked, exclusive))
            halved.append(pool.best_two(scores, drawn & (random.random(pool.movies) < 0.5), asked, exclusive))
    known = Answers.joined(complete)
    return Confidence.fit(known, Answers.joined(halved)) if known.right.any() else None
