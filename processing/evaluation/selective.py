"""Selective prediction: how many answers reach a precision, and how well confidences are calibrated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

PRECISIONS = (0.9, 0.95, 0.99)
BINS = 10
BOOTSTRAP = 1000
POINTS = 100  # of a curve in a file

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def coverage(confidences: ArrayLike, right: ArrayLike, precision: float) -> float:
    """Returns the largest share of answers that can be given, most confident first, at a precision.

    This is a point of the risk-coverage curve (El-Yaniv and Wiener 2010, https://jmlr.org/papers/v11/el-yaniv10a.html).
    Of answers that are equally confident all are given or none.

    Example:
        >>> coverage([0.9, 0.8, 0.7, 0.1], [True, True, False, False], precision=0.6)
        0.75
    """
    hits, ends = _most_confident_first(confidences, right)
    return _coverage(*_curve(hits, ends, np.ones(len(hits), np.int64)), precision)


def risk_coverage(confidences: ArrayLike, right: ArrayLike, seed: int = 0) -> dict[str, Any]:
    """Returns the coverage at each of PRECISIONS, with its 95 % bootstrap interval, [low, high].

    Where all draws give 0 or all give 1, the bootstrap has no width, and the interval is that of `share`.

    Args:
        confidences: (answers,).
        right: (answers,) whether each is right.
        seed: of the bootstrap, which draws answers.
    """
    hits, ends = _most_confident_first(confidences, right)
    random, count = np.random.default_rng(seed), len(hits)

    def coverages(counts: NDArray[np.int64]) -> list[float]:
        curve = _curve(hits, ends, counts)
        return [_coverage(*curve, precision) for precision in PRECISIONS]

    draws = (np.bincount(random.integers(0, count, count), minlength=count) for _ in range(BOOTSTRAP))
    bounds = np.quantile([coverages(drawn) for drawn in draws], (0.025, 0.975), axis=0).T
    found = {}
    for precision, exact, (low, high) in zip(PRECISIONS, coverages(np.ones(count, np.int64)), bounds, strict=True):
        interval = [float(low), float(high)] if low < high else share(np.full(count, exact > 0))["interval"]
        found[f"{precision:g}"] = {"coverage": exact, "interval": interval}
    return found


def risk_coverage_curve(confidences: ArrayLike, right: ArrayLike) -> list[dict[str, float]]:
    """Returns points of the risk-coverage curve, at most POINTS, by growing coverage.

    Returns:
        For each point `coverage`, the share of answers given, and `precision`, the share of these that is right.

    Example:
        >>> risk_coverage_curve([0.9, 0.8], [True, False])
        [{'coverage': 0.5, 'precision': 1.0}, {'coverage': 1.0, 'precision': 0.5}]
    """
    hits, ends = _most_confident_first(confidences, right)
    precisions, shares = _curve(hits, ends, np.ones(len(hits), np.int64))
    shown = np.unique(np.linspace(0, len(shares) - 1, POINTS).round().astype(int))
    return [{"coverage": float(shares[place]), "precision": float(precisions[place])} for place in shown]


def calibration(confidences: ArrayLike, right: ArrayLike) -> dict[str, Any]:
    """Returns the expected calibration error and the reliability curve, over BINS bins of equal width.

    The error is the mean gap between confidence and share of right answers, weighted by the bins' numbers of answers
    (Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3).

    Example:
        >>> calibration([0.9, 0.9, 0.3, 0.3], [True, True, False, True])["error"].__round__(2)
        0.15
    """
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, bool)
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    curve = [
        {"confidence": float(values[bins == place].mean()), "right": float(hits[bins == place].mean()), "count": count}
        for place in range(BINS)
        if (count := int((bins == place).sum()))
    ]
    error = sum(point["count"] * abs(point["confidence"] - point["right"]) for point in curve) / len(values)
    return {"error": error, "curve": curve}


def share(hits: ArrayLike) -> dict[str, Any]:
    """Returns the share of hits with its 95 % Wilson interval and the number of trials.

    Example:
        >>> share([True, True, False, True])["share"]
        0.75
    """
    values = np.asarray(hits, bool)
    if not len(values):
        return {"share": None, "interval": None, "count": 0}
    low, high = binomtest(int(values.sum()), len(values)).proportion_ci(0.95, method="wilson")
    return {"share": float(values.mean()), "interval": [float(low), float(high)], "count": len(values)}


def _most_confident_first(confidences: ArrayLike, right: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Returns whether each answer is right, most confident first, and the last place of each distinct confidence."""
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, bool)
    order = np.argsort(-values, kind="stable")
    return hits[order], np.flatnonzero(np.append(np.diff(values[order]) < 0, True)[: len(values)])


def _curve(hits: NDArray[np.bool_], ends: NDArray[np.intp], counts: NDArray[np.int64]) -> Curve:
    """Returns precision and coverage at each end, where answers count as often as `counts` says."""
    given = np.cumsum(counts)[ends]
    return np.cumsum(counts * hits)[ends] / np.maximum(given, 1), given / max(counts.sum(), 1)


def _coverage(precisions: NDArray[np.float64], shares: NDArray[np.float64], precision: float) -> float:
    reached = np.flatnonzero(precisions >= precision)
    return float(shares[reached[-1]]) if len(reached) else 0.0
