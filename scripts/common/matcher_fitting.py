"""Fits the second stage of matching to a model, from the movies that it was trained and validated on."""

from __future__ import annotations

import logging

import numpy as np
from datasets import Dataset

from processing.matching.candidates import Movies, Posters
from processing.matching.second_stage import MIN_CALIBRATION, LabelledPool, SecondStage
from scripts.common.match_sides import embed_movies, embed_posters
from scripts.common.matcher import TITLES, Matcher

POOL_SIZE = 1000  # movies of a training pool
MIN_TRAINING = 20  # movies

logger = logging.getLogger(__name__)


def fit_matcher(matcher: Matcher, training: Dataset, validation: Dataset | None, seed: int = 0) -> str:
    """Fits the second stages of a matcher, for titles that are used and hidden.

    The scorer learns from pools of training movies. The confidence is calibrated on validation movies, which the
    model has not been trained on; where these are fewer than `MIN_CALIBRATION`, on training movies too, which makes it
    too high, and where all together are fewer there is none.

    Args:
        matcher: its `stages` and `calibration` are set.
        training: movies with the column `poster_text`.
        validation: movies likewise; None if there are none.
        seed: of the pools.

    Returns:
        One line that says what the confidence was calibrated on, or why there is none.
    """
    if len(training) < MIN_TRAINING:
        return f"Matching has no second stage: {len(training)} training movies are fewer than {MIN_TRAINING}."
    held_out = len(validation) if validation is not None else 0
    calibrates_on = ["validation"] if held_out else []
    if held_out < MIN_CALIBRATION:
        calibrates_on.append("training")
    encoder, stages = matcher.encoder, {}
    sets = {"training": training, **({"validation": validation} if validation is not None and held_out else {})}
    posters = {name: embed_posters(encoder, movies) for name, movies in sets.items()}
    for titles in TITLES:
        pools = {name: _pools(posters[name], embed_movies(encoder, sets[name], titles), seed) for name in sets}
        calibration = [pool for name in calibrates_on for pool in pools[name]]
        try:
            stages[titles] = SecondStage.fit(pools["training"], calibration, seed)
        except ValueError as error:
            logger.warning("no second stage for titles=%s: %s", titles, error)
    matcher.stages, matcher.calibration = stages, None
    count = sum(len(sets[name]) for name in calibrates_on)
    if not any(stage.confidence for stage in stages.values()):
        return f"Matches have no confidence: {count} movies are too few to calibrate it on."
    matcher.calibration = {"splits": calibrates_on, "posters": count}
    caution = "" if calibrates_on == ["validation"] else "; on movies that the model was trained on it is too high"
    return f"The confidence of matches is calibrated on {count:,} movies ({' and '.join(calibrates_on)}){caution}"


def _pools(posters: Posters, movies: Movies, seed: int) -> list[LabelledPool]:
    """Returns pools of about POOL_SIZE movies, drawn at random."""
    count = len(movies.texts)
    order = np.random.default_rng(seed).permutation(count)
    parts = np.array_split(order, max(1, round(count / POOL_SIZE)))
    return [LabelledPool.of(posters.select(part), movies.select(part), np.arange(len(part))) for part in parts]
