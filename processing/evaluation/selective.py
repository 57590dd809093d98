"""Selective prediction: how many answers reach a precision, and how well confidences are calibrated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

PRECISIONS = (0.9, 0.95, 0.99)
BINS = 10
BOOTSTRAP = 1000


def coverage(confidences: ArrayLike, right: ArrayLike, precision: float) -> float:
    """Returns the largest share of answers that can be given, most confident first, at a precision.

    This is a point of the risk-coverage curve (El-Yaniv and Wiener 2010, https://jmlr.org/papers/v11/el-yaniv10a.html).
    Of answers that are equally confident all are given or none.

    Example:
        >>> coverage([0.9, 0.8, 0.7, 0.1], [True, True, False, False], precision=0.6)
        0.75
    """
    precisions, shares = _curve(confidences, right)
    reached = np.flatnonzero(precisions >= precision)
    return float(shares[reached[-1]]) if len(reached) else 0.0


def risk_coverage(confidences: ArrayLike, right: ArrayLike, seed: int = 0) -> dict[str, Any]:
    """Returns the coverage at each of PRECISIONS, with its 95 % bootstrap interval, [low, high].

    Args:
        confidences: (answers,).
        right: (answers,) whether each is right.
        seed: of the bootstrap.
    """
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, bool)
    draws = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAP, len(values)))
    found = {}
    for precision in PRECISIONS:
        drawn = [coverage(values[draw], hits[draw], precision) for draw in draws]
        found[f"{precision:g}"] = {
            "coverage": coverage(values, hits, precision),
            "interval": [float(bound) for bound in np.quantile(drawn, (0.025, 0.975))],
        }
    return found


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


def _curve(confidences: ArrayLike, right: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision and coverage at each distinct confidence, from the highest."""
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, bool)
    order = np.argsort(-values, kind="stable")
    counts = np.arange(1, len(values) + 1)
    ends = np.append(np.diff(values[order]) < 0, True)[: len(values)]
    return (np.cumsum(hits[order]) / counts)[ends], (counts / max(len(values), 1))[ends]
