"""Logistic regression that is saved as readable JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

Vector = NDArray[np.float64]
Matrix = NDArray[np.floating]


@dataclass(frozen=True)
class LogisticModel:
    """A logistic regression: the log-odds are a weighted sum of named features.

    Args:
        weights: the weight of each feature, by name.
        intercept: the log-odds where all features are 0.

    Example:
        >>> model = LogisticModel.fit(["margin"], [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        >>> model.probabilities(np.array([[0.0], [3.0]])).round(1).tolist()
        [0.2, 0.8]
        >>> LogisticModel.from_dict(model.to_dict()) == model
        True
    """

    weights: Mapping[str, float]
    intercept: float

    @classmethod
    def fit(cls, names: Sequence[str], features: ArrayLike, labels: ArrayLike) -> LogisticModel:
        """Returns the model that fits labels of 0 and 1, with scikit-learn's regularisation of scaled features.

        Args:
            names: of the features.
            features: (rows, features).
            labels: (rows,).

        Raises:
            ValueError: all labels are the same.
        """
        scaler = StandardScaler()
        fitted = LogisticRegression(max_iter=1000).fit(scaler.fit_transform(features), labels)
        weights = fitted.coef_[0] / scaler.scale_
        intercept = fitted.intercept_[0] - weights @ scaler.mean_
        # Six digits are what the JSON file holds.
        return cls(
            {name: _six_digits(weight) for name, weight in zip(names, weights, strict=True)}, _six_digits(intercept)
        )

    def log_odds(self, features: Matrix) -> Vector:
        """Returns the log-odds of rows of features, (rows,)."""
        return np.asarray(features, np.float64) @ np.array(list(self.weights.values())) + self.intercept

    def probabilities(self, features: Matrix) -> Vector:
        """Returns the probabilities of rows of features, (rows,)."""
        return 1 / (1 + np.exp(-self.log_odds(features)))

    def to_dict(self) -> dict[str, Any]:
        """Returns the model as JSON takes it."""
        return {"weights": dict(self.weights), "intercept": self.intercept}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> LogisticModel:
        """Returns the model that `to_dict` gave."""
        return cls(dict(saved["weights"]), saved["intercept"])


def _six_digits(number: float) -> float:
    return float(f"{number:.6g}")
