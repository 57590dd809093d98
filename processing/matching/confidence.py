"""The confidence of matches: calibrated probabilities, and what may be accepted at a wanted precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .logistic import LogisticModel, Vector

FEATURES = ("score", "margin")
FLOOR = -10.0  # log-odds; below it scores say nothing more, and a poster without a second candidate has this one
# The share of posters whose movie is in the table is estimated as if so many more posters were half in, half not.
PRIOR_POSTERS = 10
ITERATIONS = 100


@dataclass(frozen=True)
class Answers:
    """The two best pair scores of each poster of a pool, with what is known of the first for calibration.

    Args:
        first, second: (posters,) log-odds of the best and the second-best candidate.
        right: (posters,) whether the first candidate is the poster's movie.
        in_table: (posters,) whether the poster's movie is in the table.
    """

    first: Vector
    second: Vector
    right: NDArray[np.bool_]
    in_table: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: list[Answers]) -> Answers:
        """Returns the answers of several pools as one."""
        return cls(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            np.concatenate([part.right for part in parts]),
            np.concatenate([part.in_table for part in parts]),
        )

    def select(self, posters: NDArray[np.bool_]) -> Answers:
        """Returns the answers of some of the posters."""
        return Answers(self.first[posters], self.second[posters], self.right[posters], self.in_table[posters])


@dataclass(frozen=True)
class Confidence:
    """Two logistic regressions on the first candidate's score and its margin over the second.

    One gives the probability that a poster's movie is in the table, where half of the movies are; the other gives the
    probability that the first candidate is right, if the movie is in the table. Their product is the confidence. How
    many movies are in the table is estimated from the posters themselves, by expectation maximisation
    (Saerens, Latinne and Decaestecker 2002, https://doi.org/10.1162/089976602753284446, equations 2.4 and 2.9).

    Args:
        in_table, right: the regressions.
        posters: number of posters that they were fitted to.

    Example:
        >>> names = FEATURES
        >>> certain = LogisticModel({"score": 1.0, "margin": 0.0}, 0.0)
        >>> probabilities = Confidence(certain, certain, posters=2).probabilities([9.0, -9.0], [-9.0, -9.0])
        >>> probabilities.right.round(2).tolist(), round(probabilities.share_in_table, 2)
        ([1.0, 0.0], 0.5)
    """

    in_table: LogisticModel
    right: LogisticModel
    posters: int

    @classmethod
    def fit(cls, complete: Answers, halved: Answers) -> Confidence:
        """Returns the confidence that fits the answers of two kinds of pools.

        Args:
            complete: of pools that hold the movie of every poster.
            halved: of pools that hold the movies of half of the posters.

        Raises:
            ValueError: none of the answers is right.
        """
        # An answer without any evidence counts as wrong, so that there is a wrong one in the easiest pools too.
        nothing = Answers(np.array([FLOOR]), np.array([FLOOR]), np.array([False]), np.array([False]))
        known = Answers.joined([complete, halved.select(halved.in_table), nothing])
        halved = Answers.joined([halved, nothing])
        return cls(
            LogisticModel.fit(FEATURES, _features(halved.first, halved.second), halved.in_table),
            LogisticModel.fit(FEATURES, _features(known.first, known.second), known.right),
            len(complete.first),
        )

    def probabilities(self, first: ArrayLike, second: ArrayLike) -> Probabilities:
        """Returns the probabilities of the posters of one match; see `Answers` for the arguments."""
        features = _features(first, second)
        before = self.in_table.probabilities(features)
        share, after = 0.5, before
        for _ in range(ITERATIONS):
            yes, no = before * share, (1 - before) * (1 - share)
            after = yes / (yes + no)
            share = float((after.sum() + PRIOR_POSTERS / 2) / (len(after) + PRIOR_POSTERS))
        return Probabilities(after * self.right.probabilities(features), after, share)

    def to_dict(self) -> dict[str, Any]:
        """Returns the confidence as JSON takes it."""
        return {"in_table": self.in_table.to_dict(), "right": self.right.to_dict(), "posters": self.posters}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Confidence:
        """Returns the confidence that `to_dict` gave."""
        in_table, right = (LogisticModel.from_dict(saved[name]) for name in ("in_table", "right"))
        return cls(in_table, right, saved["posters"])


@dataclass(frozen=True)
class Probabilities:
    """What `Confidence` says of the posters of one match.

    Args:
        right: (posters,) that the first candidate is the poster's movie.
        in_table: (posters,) that the poster's movie is in the table.
        share_in_table: the estimated share of posters whose movie is in the table.
    """

    right: Vector
    in_table: Vector
    share_in_table: float


def most_certain(probabilities: ArrayLike, precision: float) -> NDArray[np.bool_]:
    """Returns the largest set of the most certain whose mean probability reaches the precision, as a mask.

    The mean of calibrated probabilities is the expected share of right ones. Of equal probabilities all are in the
    set or none.

    Example:
        >>> most_certain([0.99, 0.2, 0.93, 0.93], precision=0.95).tolist()
        [True, False, True, True]
    """
    values = np.asarray(probabilities, np.float64)
    descending = np.sort(values)[::-1]
    means = np.cumsum(descending) / np.arange(1, len(values) + 1)
    ends = np.append(descending[1:] < descending[:-1], True) if len(values) else np.zeros(0, bool)
    reached = np.flatnonzero((means >= precision) & ends)
    return values >= descending[reached[-1]] if len(reached) else np.zeros(len(values), bool)


def _features(first: ArrayLike, second: ArrayLike) -> Vector:
    best, other = (np.maximum(np.asarray(scores, np.float64), FLOOR) for scores in (first, second))
    return np.stack([best, best - other], axis=1)
