"""The decisions of a match: which movie each poster gets, and what is accepted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from .candidates import Rows
from .confidence import Probabilities, most_certain
from .logistic import Vector

MORE_LIKELY = 0.5
ACCEPTED, REVIEW, ABSENT, FAILED = "accepted", "review", "not in the table", "failed"


def one_to_one(rows: Rows, columns: Rows, scores: Vector) -> NDArray[np.bool_]:
    """Returns which candidate pairs are left where a movie has one poster at most, (pairs,).

    The assignment maximises the sum of log(1 + odds) over its pairs, so that a pair which is surely wrong counts
    nothing and takes no movie from a likely one. A poster may stay without a movie. Each pair whose movie went to
    another poster is left out; a poster that lost all its candidates is unmatched.

    Args:
        rows, columns: (pairs,) poster and movie of each candidate pair.
        scores: (pairs,) log-odds.

    Example:
        >>> rows, columns = np.array([0, 0, 1]), np.array([0, 1, 0])
        >>> one_to_one(rows, columns, np.array([2.0, 1.0, 4.0])).tolist()  # the second poster takes the first movie
        [False, True, True]
    """
    if not len(rows):
        return np.zeros(0, bool)
    posters, movies = int(rows.max()) + 1, int(columns.max()) + 1
    # An entry of 0 would be no edge; the dummy movie of each poster costs just that little more than nothing.
    gains = np.logaddexp(0, scores) + 1e-9
    spare = np.arange(posters)
    costs = sparse.csr_matrix(
        (
            np.concatenate([-gains, np.full(posters, -1e-12)]),
            (np.concatenate([rows, spare]), np.concatenate([columns, movies + spare])),
        ),
        shape=(posters, movies + posters),
    )
    _, chosen = min_weight_full_bipartite_matching(costs)
    owner = np.full(movies + posters, -1)
    owner[chosen] = spare
    return (owner[columns] == rows) | (owner[columns] == -1)


def statuses(probabilities: Probabilities | None, matched: NDArray[np.bool_], precision: float) -> list[str]:
    """Returns the status of each poster.

    Accepted are the most certain posters, as many as may be while the precision is expected among them, and of these
    only those that are more likely right than wrong: in a batch of certain ones a few doubtful ones would not lower the
    mean enough. Not in the table are those most certainly absent, by the same rule. All others are for review; without
    a confidence all are.

    Args:
        probabilities: of the posters, None without a calibrated confidence.
        matched: (posters,) which posters have a first candidate.
        precision: the share of accepted matches that shall be right.
    """
    if probabilities is None:
        return [REVIEW] * len(matched)
    right, absence = np.where(matched, probabilities.right, 0.0), 1 - probabilities.in_table
    accepted = most_certain(right, precision) & (right > MORE_LIKELY)
    absent = most_certain(absence, precision) & (absence > MORE_LIKELY) & ~accepted
    return [ACCEPTED if yes else ABSENT if no else REVIEW for yes, no in zip(accepted, absent, strict=True)]
