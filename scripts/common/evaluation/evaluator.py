"""The evaluation of a model on a split of a catalogue: from a name to results, ranks and embeddings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import concatenate_datasets
from numpy.typing import NDArray

from processing.catalogue.catalogue import Catalogue
from processing.catalogue.fingerprints import fingerprint, poster_text_fingerprint, titles_fingerprint
from processing.data.masking import with_masked_titles
from processing.data.text_removal import with_poster_text_removed
from processing.evaluation.groups import group_metrics
from processing.evaluation.one_to_one import match_one_to_one, pair_orders
from processing.evaluation.pool_sizes import check_sizes, pool_size_metrics
from processing.evaluation.retrieval import PoolResult, legacy_protocol, movie_places, movie_rows, top_answers
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.pair_retrieval.ranking import DIRECTIONS
from scripts.common.command_line import read_posters
from scripts.common.evaluation.evaluation import Evaluation
from scripts.common.evaluation.known_pool import KnownPool, what_is_known
from scripts.common.evaluation.pool_arguments import PoolArguments
from scripts.common.matching.match_sides import embed_posters
from scripts.common.matching.matcher import Matcher
from scripts.common.training_record import find_trained_movies, read_record, refuse_trained_movies, reported

LEGACY_SPLITS = ("train", "validation", "test")  # the movies of the legacy protocol
SHOWN = 4  # movies of a poster on the page, at most
POOL_SIZES = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)


@dataclass
class PageContents:
    """What the page of an evaluation shows beside its results.

    Args:
        embeds: of posters and of their movies, a row for each poster.
        answers: the best movies of each poster, as rows, and their scores, (posters, k) each, best first.
    """

    embeds: tuple[HybridVectors, HybridVectors]
    answers: tuple[NDArray[np.intp], NDArray[np.float64]]


class Evaluator:
    """A model and the movies to evaluate it on. What can be wrong is an error before anything is encoded.

    Args:
        name: a saved folder or a Hub repository.
        catalogue: with the split to evaluate on.
        options: what is measured.
        ocr_language: of the posters; None for that of the model.

    Raises:
        ValueError: the pool holds movies that the model was trained on, or an option fits neither model nor pool; and
            what `Matcher.from_pretrained` and the catalogue raise.
    """

    def __init__(
        self, name: str, catalogue: Catalogue, options: PoolArguments, ocr_language: str | None = None
    ) -> None:
        self.name, self.options = name, options
        if options.split == "validation":
            catalogue = catalogue.with_validation()
        self.matcher = Matcher.from_pretrained(name)
        self.matcher.cache, self.matcher.batch_size = options.feature_cache, options.batch_size
        self.record = read_record(name)
        self.legacy = [split for split in LEGACY_SPLITS if split in catalogue.splits] if options.legacy_protocol else []
        splits = dict.fromkeys([options.split, *self.legacy])
        self.fingerprints = {split: fingerprint(catalogue.movies([split])) for split in splits}
        pool = catalogue.movies([options.split])
        self.trained_movies = find_trained_movies(self.record, pool)
        if not options.allow_trained_movies:
            refuse_trained_movies(self.trained_movies, name, f"{options.split} of {catalogue.source}", len(pool))
        self.known = what_is_known(pool)
        if options.titles == "use" and ("use", "one") not in self.known:
            raise ValueError(f"titles: no movie of {options.split} of {catalogue.source} has a title to use.")
        if (options.titles, options.plots) not in self.known:  # each movie has one plot, which is all of them
            self.known.append((options.titles, options.plots))
        reads = self.matcher.model.config.use_poster_text
        if reads:
            catalogue = read_posters(catalogue, self.matcher.processor, ocr_language, [*splits])
        self.catalogue = catalogue
        self.pools = {split: catalogue.movies([split]) for split in splits}
        self.trained = self._trained()
        self.poster_text = poster_text_fingerprint(self.pools[options.split]) if reads else None
        if options.mask_titles:
            self.pools = {split: with_masked_titles(movies) for split, movies in self.pools.items()}
        if options.remove_poster_text:
            self.pools = {split: with_poster_text_removed(movies) for split, movies in self.pools.items()}
        self.movies = self.pools[options.split]
        check_sizes(options.pool_sizes or [], len(movie_rows(self.movies["id"][:])))
        if options.one_to_one:
            pair_orders(self.movies["id"], self.movies["id"])

    def description(self) -> dict[str, Any]:
        """Returns what the evaluation is of: the part of its results that is known before it."""
        options = self.options
        return {
            "model": self.name,
            "split": options.split,
            "titles": options.titles,
            "plots": options.plots,
            "both_stages": options.titles == "use" and self.matcher.stage is not None,
            "mask_titles": options.mask_titles,
            "remove_poster_text": options.remove_poster_text,
            "data_fingerprint": self.fingerprints,
        }

    def evaluate(self) -> tuple[Evaluation, PageContents]:
        """Returns the evaluation, and what its page shows beside it.

        The ranks are those of both stages where titles are used and the model has a second stage.
        """
        options, encoder = self.options, self.matcher.encoder
        posters = embed_posters(encoder, self.movies)
        known: list[dict[str, Any]] = []
        for titles, plots in self.known:
            found = KnownPool.of(encoder, posters, self.movies, titles, plots, self.matcher.stage)
            known += found.results()
            if (titles, plots) == (options.titles, options.plots):
                asked = found
        pool, ids = asked.ranks, self.movies["id"][:]
        candidates = dict(zip(DIRECTIONS, (len(pool.text_ids), len(pool.image_ids)), strict=True))
        sizes = options.pool_sizes or [size for size in POOL_SIZES if size < len(pool.text_ids)]
        embeds = asked.embeds[0], asked.embeds[1][movie_places(ids)]
        results: dict[str, Any] = {
            **self.description(),
            "seed": 0,  # of the intervals
            "catalogue": self.catalogue.report(),
            "titles_fingerprint": titles_fingerprint(self.movies) if options.titles == "use" else None,
            "poster_text_fingerprint": self.poster_text,
            "training": reported(self.record),
            "trained_movies": self.trained_movies,
            "metrics": next(asked.results())["metrics"],
            "known": known,
            "pool_sizes": {way: pool_size_metrics(getattr(pool, way), of, sizes) for way, of in candidates.items()},
            "groups": group_metrics(pool, self.movies),
        }
        if asked.both_stages:
            results["matching"] = asked.both_stages.metrics()
        if options.one_to_one:
            scale = self.matcher.model.logit_scale.exp().item()
            results["one_to_one"] = match_one_to_one(*embeds, ids, ids, scale)
        if self.trained is not None:
            results["legacy_protocol"] = legacy_protocol(self._all_movies(), self.trained)
        best = asked.both_stages.top_answers(SHOWN) if asked.both_stages else top_answers(*asked.embeds, SHOWN)
        return Evaluation(results, pool), PageContents(embeds, (movie_rows(ids)[best[0]], best[1]))

    def _all_movies(self) -> PoolResult:
        """Returns the pool of the legacy protocol."""
        movies = concatenate_datasets([self.pools[split] for split in self.legacy])
        posters = embed_posters(self.matcher.encoder, movies)
        return KnownPool.of(self.matcher.encoder, posters, movies, self.options.titles, self.options.plots).first_stage

    def _trained(self) -> list[str] | None:
        """Returns the ids of the movies of the legacy protocol that the model was trained on; None without it."""
        given = self.options.trained_splits
        if not self.legacy:
            if given is not None:
                raise ValueError("trained_splits: only the legacy protocol (--legacy_protocol True) takes them.")
            return None
        if given is not None:
            if strange := set(given) - set(self.legacy):
                raise ValueError(f"trained_splits: {', '.join(sorted(strange))} is none of {', '.join(self.legacy)}.")
            return [movie for split in given for movie in self.pools[split]["id"]]
        trained: list[str] = []
        for split in self.legacy:
            found = find_trained_movies(self.record, self.pools[split])
            if found is None or not found["complete"]:
                raise ValueError(
                    f"legacy_protocol: the movies that {self.name} was trained on are not recorded, or not all. "
                    "Say by --trained_splits which splits it was trained on."
                )
            trained += found["trained_on"]
        return trained
