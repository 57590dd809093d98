"""Fits the second stage of matching to a model, from the movies that it was trained and validated on."""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from processing.data.titles import all_titles
from processing.matching.second_stage import MIN_CALIBRATION, LabelledPool, SecondStage
from scripts.common.features import FeatureEncoder
from scripts.common.matching.match_sides import embed_movies, embed_posters
from scripts.common.matching.matcher import Matcher

POOL_SIZE = 1000  # movies of a training pool
MIN_TRAINING = 20  # movies


def fit_matcher(matcher: Matcher, training: Dataset, validation: Dataset | None, seed: int = 0) -> str:
    """Fits the second stage of a matcher.

    The scorer learns from pools of training movies. The confidence is calibrated on validation movies, which the
    model has not been trained on; where these are fewer than `MIN_CALIBRATION`, on training movies too, which makes it
    too high, and where all together are fewer there is none.

    Args:
        matcher: its `stage` and `calibration` are set.
        training: movies with the column `poster_text`.
        validation: movies likewise; None if there are none.
        seed: of the pools.

    Returns:
        One line that says what the confidence was calibrated on, or why there is none.
    """
    matcher.stage = matcher.calibration = None
    if len(training) < MIN_TRAINING:
        return f"Matching has no second stage: {len(training)} training movies are fewer than {MIN_TRAINING}."
    if not any(all_titles(training)):
        return "Matching has no second stage: it looks at titles, and the catalogue has none."
    held_out = len(validation) if validation is not None else 0
    calibrates_on = ["validation"] if held_out else []
    if held_out < MIN_CALIBRATION:
        calibrates_on.append("training")
    sets = {"training": training, **({"validation": validation} if validation is not None and held_out else {})}
    pools = {name: _pools(matcher.encoder, movies, seed) for name, movies in sets.items()}
    try:
        matcher.stage = SecondStage.fit(
            pools["training"], [pool for name in calibrates_on for pool in pools[name]], seed
        )
    except ValueError as error:
        return f"Matching has no second stage: {error}."
    count = sum(len(sets[name]) for name in calibrates_on)
    if matcher.stage.confidence is None:
        return f"Matches have no confidence: {count} movies are too few to calibrate it on."
    matcher.calibration = {"splits": calibrates_on, "posters": count}
    caution = "" if calibrates_on == ["validation"] else "; on movies that the model was trained on it is too high"
    return f"The confidence of matches is calibrated on {count:,} movies ({' and '.join(calibrates_on)}){caution}"


def _pools(encoder: FeatureEncoder, movies: Dataset, seed: int) -> list[LabelledPool]:
    """Returns pools of about POOL_SIZE movies, drawn at random."""
    posters, table = embed_posters(encoder, movies), embed_movies(encoder, movies)
    order = np.random.default_rng(seed).permutation(len(movies))
    parts = np.array_split(order, max(1, round(len(movies) / POOL_SIZE)))
    return [LabelledPool.of(posters.select(part), table.select(part), np.arange(len(part))) for part in parts]
