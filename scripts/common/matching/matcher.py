"""Matching posters with a table of movies, as a library.

matcher = Matcher.from_pretrained("runs/posterclip")
matches = matcher.match(read_posters("scans").rows, read_movies("movies.csv").rows, precision=0.95)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset, Features, Image, List, Value, concatenate_datasets
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from modeling import PosterCLIPModel
from processing import PosterCLIPProcessor
from processing.catalogue.ocr_cache import read_posters
from processing.catalogue.ocr_lines import LINES
from processing.catalogue.poster_manifest import check_posters
from processing.data.titles import all_titles
from processing.matching.candidates import Movies, Posters, candidate_pairs, pair_dots
from processing.matching.confidence import FLOOR
from processing.matching.matches import ABSENT, FAILED, statuses
from processing.matching.matches import one_to_one as left_one_to_one
from processing.matching.pair_features import pair_features
from processing.matching.pair_text import MovieText, PosterText, matched_lines
from processing.matching.second_stage import SecondStage
from scripts.common.command_line import FEATURE_CACHE, OCR_CACHE, load_model
from scripts.common.features import FeatureEncoder
from scripts.common.matching.match_explanation import similarity_parts
from scripts.common.matching.match_sides import embed_movies, embed_posters

FILE = "matcher.json"
SHOWN = 5  # candidates of a poster in the result

_CANDIDATE = {
    **{name: Value("string") for name in ("id", "title")},
    **{"year": Value("int64"), "confidence": Value("float64"), "similarity": Value("float64")},
    "matched": List(Value("string")),
}
MATCH_FEATURES = Features(
    {
        **{"poster": Value("string"), "status": Value("string")},
        **_CANDIDATE,
        **{"poster_text": List(Value("string")), "candidates": List(_CANDIDATE), "error": Value("string")},
    }
)


@dataclass
class Matcher:
    """A model, and the second stage that was fitted to it.

    Args:
        model: runs where it is.
        processor: the model's.
        stage: the second stage. It looks at titles: without it, or where titles are hidden or the table has none,
            candidates are ordered by similarity, there is no confidence, and every match is for review.
        calibration: what the confidence was calibrated on; None if there is no confidence.
        cache: folder that keeps the features of posters and texts; "none" keeps nothing.
        batch_size: posters or texts in the encoders at a time.
    """

    model: PosterCLIPModel
    processor: PosterCLIPProcessor
    stage: SecondStage | None = None
    calibration: Mapping[str, Any] | None = None
    cache: str = FEATURE_CACHE
    batch_size: int = 32

    @classmethod
    def from_pretrained(cls, name: str) -> Matcher:
        """Returns the matcher of a saved folder or a Hub repository; one without `matcher.json` has no second stage.

        Raises:
            ValueError: it is no PosterCLIP model, or its `matcher.json` is damaged or of another version.
        """
        model, processor = load_model(name)
        if torch.accelerator.is_available():
            model = model.to(torch.accelerator.current_accelerator())  # type: ignore[arg-type]
        path = _find(name)
        if path is None:
            return cls(model, processor)
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            return cls(model, processor, SecondStage.from_dict(saved["second_stage"]), saved["calibration"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no second stage that can be used: {error}") from None

    def save(self, folder: Path) -> None:
        """Writes `matcher.json` into the folder of the model, if there is a second stage."""
        if self.stage is not None:
            text = json.dumps({"second_stage": self.stage.to_dict(), "calibration": self.calibration}, indent=1)
            (folder / FILE).write_text(text, encoding="utf-8")

    @property
    def encoder(self) -> FeatureEncoder:
        """The encoder of posters and texts."""
        self.model.eval().requires_grad_(False)
        return FeatureEncoder(self.model, self.processor, self.batch_size, self.cache, dtype=self.model.dtype)

    def match(
        self,
        posters: Dataset,
        movies: Dataset,
        *,
        precision: float = 0.95,
        one_to_one: bool = False,
        titles: Literal["use", "hide"] = "use",
    ) -> Dataset:
        """Returns the movie of each poster, with a confidence and a status.

        Args:
            posters: with the columns `poster` (a name) and `image`, and maybe `poster_text`; what is not there, or
                None, is read by OCR. `processing.catalogue.one_side.read_posters` gives such rows.
            movies: with `id` and `title`, `plots` or both, and maybe `other_titles` and `year`; see `read_movies`.
            precision: the share of accepted matches that shall be right, above 0 and below 1.
            one_to_one: a movie has one poster at most; a poster may stay without a movie.
            titles: "hide" matches by plots alone, by the first stage and without a confidence: measured with titles
                hidden, the second stage found no more, and its confidence was too high.

        Returns:
            A row for each poster, in their order, with the columns of MATCH_FEATURES. `status` is "accepted", "review",
            "not in the table", and then there is no `id`, or "failed" for a poster that cannot be read, whose `error`
            says why. `confidence` is the probability that the movie is right, None without calibration; `similarity`
            is that of the first stage.

        Raises:
            ValueError: there are no posters or no movies, or the precision is not between 0 and 1.
        """
        if not 0 < precision < 1:
            raise ValueError(f"precision: {precision:g} is not between 0 and 1.")
        if not len(posters) or not len(movies):
            raise ValueError(f"Nothing can be matched: {len(posters)} posters and {len(movies)} movies.")
        lines, errors = self._poster_text(posters)
        embedded = self._embed_posters(posters, lines, errors)
        names = posters["poster"][:]
        results: dict[int, dict[str, Any]] = {
            row: {"poster": names[row], "status": FAILED, "error": reason} for row, reason in errors.items()
        }
        if embedded is not None:
            if not any(all_titles(movies)):
                titles = "hide"
            sides = embedded, embed_movies(self.encoder, movies, titles)
            answers = self._answers(*sides, movies, precision, one_to_one, self.stage if titles == "use" else None)
            readable = [row for row in range(len(posters)) if row not in errors]
            results |= {row: {"poster": names[row], **answer} for row, answer in zip(readable, answers, strict=True)}
        rows = [results[row] for row in range(len(posters))]
        return Dataset.from_list([{**dict.fromkeys(MATCH_FEATURES), **row} for row in rows], features=MATCH_FEATURES)

    def why(self, poster: Mapping[str, Any], movie: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the score of a poster and a movie, taken apart.

        Args:
            poster: with `image` and maybe `poster` and `poster_text`, as a row of `match`.
            movie: with `title`, `plots` or both, and maybe `other_titles` and `year`.

        Returns:
            What `similarity_parts` gives; `matched`, the lines that hold the title; and, with a second stage, `score`,
            its log-odds, and `score_parts`, what each feature adds to it.
        """
        posters = Dataset.from_list([{"poster": "poster", **poster}]).cast_column("image", Image())
        lines, errors = self._poster_text(posters)
        if errors:
            raise ValueError(f"The poster cannot be read: {errors[0]}.")
        shown = posters.select_columns("image").add_column("poster_text", lines, feature=LINES)
        movies = Dataset.from_list([{"plots": [], **movie}])
        titles = all_titles(movies)[0]
        found = similarity_parts(self.encoder, shown, titles, movies[0]["plots"])
        found["matched"] = matched_lines(PosterText(lines[0]), MovieText(titles))
        if titles and self.stage is not None:
            sides = embed_posters(self.encoder, shown), embed_movies(self.encoder, movies)
            features = pair_features(*sides, np.zeros(1, np.intp), np.zeros(1, np.intp))
            found["score"] = float(self.stage.scorer.log_odds(features)[0])
            values = zip(self.stage.scorer.weights.items(), features[0].tolist(), strict=True)
            found["score_parts"] = {name: weight * value for (name, weight), value in values}
        return found

    def _poster_text(self, posters: Dataset) -> tuple[list[Any], dict[int, str]]:
        """Returns the lines of each poster, and the reasons of those that cannot be read, by row."""
        given = posters["poster_text"][:] if "poster_text" in posters.column_names else [None] * len(posters)
        unread = [row for row, lines in enumerate(given) if lines is None]
        if not unread or not self.model.config.use_poster_text:
            return [lines or [] for lines in given], {}
        images = posters.select_columns(["poster", "image"]).select(unread).rename_column("poster", "id")
        images = images.cast_column("image", Image(decode=False))
        read, failed = read_posters(images, OCR_CACHE, self.processor.ocr_language, self.processor.ocr_sizes)
        for row, lines in zip(unread, read, strict=True):
            given[row] = lines
        return given, {unread[row]: reason for row, reason in failed.items()}

    def _embed_posters(self, posters: Dataset, lines: Sequence[Any], errors: dict[int, str]) -> Posters | None:
        """Returns the posters' side without those in `errors`, to which posters that cannot be decoded are added."""
        readable = [row for row in range(len(posters)) if row not in errors]
        if not readable:
            return None
        images = posters.select_columns("image").cast_column("image", Image())
        # Not by add_column, which hashes all the lines for the cache of datasets.
        texts = Dataset.from_dict({"poster_text": [lines[row] for row in readable]}, Features({"poster_text": LINES}))
        chosen = concatenate_datasets([images.select(readable), texts], axis=1)
        try:
            return embed_posters(self.encoder, chosen)
        except Exception:  # what a decoder meets in broken bytes is anything
            found, _ = check_posters(images.cast_column("image", Image(decode=False)), readable)
            if not found:
                raise
        errors.update(found)
        return self._embed_posters(posters, lines, errors)

    def _answers(
        self,
        posters: Posters,
        movies: Movies,
        table: Dataset,
        precision: float,
        exclusive: bool,
        stage: SecondStage | None,
    ) -> list[dict[str, Any]]:
        rows, columns = candidate_pairs(posters, movies)
        similarities = np.sum(pair_dots(posters.embeddings, rows, movies.embeddings, columns), axis=0)
        scores = stage.scores(posters, movies, rows, columns) if stage else similarities.astype(np.float64)
        if exclusive:
            kept = left_one_to_one(rows, columns, scores)
            rows, columns, scores, similarities = rows[kept], columns[kept], scores[kept], similarities[kept]
        order = np.lexsort((-scores, rows))
        starts = np.searchsorted(rows[order], np.arange(len(posters.texts) + 1))
        ranked = [order[start:end] for start, end in pairwise(starts)]
        best, second = ([scores[pairs[place]] if len(pairs) > place else FLOOR for pairs in ranked] for place in (0, 1))
        calibrated = stage and (stage.one_to_one_confidence if exclusive else stage.confidence)
        probabilities = calibrated.probabilities(best, second) if calibrated else None
        decided = statuses(probabilities, np.array([len(pairs) > 0 for pairs in ranked]), precision)
        shown = [name for name in ("id", "title", "year") if name in table.column_names]
        listed = table.select_columns(shown).to_list()
        answers = []
        for row, pairs in enumerate(ranked):
            confidences: Sequence[float | None] = [None] * len(pairs)
            if probabilities is not None and len(pairs):
                confidences = _shared(scores[pairs], probabilities.right[row], probabilities.in_table[row])
            candidates = []
            for pair, confidence in list(zip(pairs, confidences, strict=True))[:SHOWN]:
                movie = listed[columns[pair]]
                candidates.append(
                    {
                        **{"id": str(movie["id"]), "title": movie.get("title") or "", "year": movie.get("year")},
                        **{"confidence": confidence, "similarity": float(similarities[pair])},
                        "matched": matched_lines(posters.texts[row], movies.texts[columns[pair]]),
                    }
                )
            first = candidates[0] if candidates and decided[row] != ABSENT else {}
            texts = {"poster_text": [*dict.fromkeys(posters.texts[row].lines)], "candidates": candidates}
            answers.append({"status": decided[row], **first, **texts})
        return answers


def _shared(scores: np.ndarray, right: float, in_table: float) -> list[float]:
    """Returns the confidence of each candidate, best first.

    What the first leaves is shared by the odds of the others. None of them gets more than the first: the rest is for
    movies of the table that are no candidates.

    Example:
        >>> _shared(np.array([1.0, 0.0, 0.0]), right=0.5, in_table=0.75), _shared(np.zeros(2), right=0.25, in_table=1.0)
        ([0.5, 0.125, 0.125], [0.25, 0.25])
    """
    odds = np.exp(scores[1:] - scores[1:].max(initial=-np.inf)) if len(scores) > 1 else np.zeros(0)
    shares = max(in_table - right, 0.0) * odds / max(odds.sum(), 1e-300)
    return [float(right), *np.minimum(shares, right).tolist()]


def _find(name: str) -> Path | None:
    """Returns the file of the second stage of a model; None if the model has none."""
    if Path(name).is_dir():
        return Path(name) / FILE if (Path(name) / FILE).is_file() else None
    try:
        return Path(hf_hub_download(name, FILE))
    except EntryNotFoundError:
        return None
