"""The evaluation of a model on a split of a catalogue: from a name to results, ranks and embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray

from processing.catalogue.catalogue import Catalogue
from processing.catalogue.fingerprints import fingerprint, poster_text_fingerprint
from processing.data.masking import with_masked_titles
from processing.data.text_removal import with_poster_text_removed
from processing.evaluation.groups import group_metrics
from processing.evaluation.intervals import bootstrap_intervals
from processing.evaluation.one_to_one import match_one_to_one, pair_orders
from processing.evaluation.pool_sizes import check_sizes, pool_size_metrics
from processing.evaluation.retrieval import evaluate_pool, legacy_protocol, movie_rows
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.pair_retrieval.ranking import DIRECTIONS
from scripts.common.command_line import FEATURE_CACHE, load_model, read_posters
from scripts.common.evaluation.evaluation import Evaluation
from scripts.common.features import FeatureEncoder
from scripts.common.training_record import find_trained_movies, read_record, refuse_trained_movies, reported

LEGACY_SPLITS = ("train", "validation", "test")  # the movies of the legacy protocol
POOL_SIZES = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)


@dataclass
class PoolArguments:
    """Which movies are the pool, and what is measured."""

    split: str = field(default="test", metadata={"help": "The split that is the pool."})
    allow_trained_movies: bool = field(
        default=False,
        metadata={"help": "Evaluate also where the model was trained on, or chosen by, movies of the pool; name them."},
    )
    mask_titles: bool = field(default=False, metadata={"help": "Evaluate on plots without their movie's title."})
    remove_poster_text: bool = field(
        default=False,
        metadata={"help": "Evaluate on posters whose text is painted over; needs poster_text in the catalogue."},
    )
    pool_sizes: list[int] | None = field(
        default=None,
        metadata={"help": "Sizes of smaller random pools to give expected results for; 10, 30, 100 ... by default."},
    )
    one_to_one: bool = field(
        default=False, metadata={"help": "Also match the pool as a whole, one plot for each poster."}
    )
    legacy_protocol: bool = field(
        default=False,
        metadata={"help": "Also evaluate train, validation and test as one pool, trained movies and others apart."},
    )
    trained_splits: list[str] | None = field(
        default=None,
        metadata={"help": "Legacy protocol: the splits trained on, for a model without a record of its movies."},
    )
    batch_size: int = field(default=32, metadata={"help": "Posters or plots encoded at a time."})
    feature_cache: str = field(default=FEATURE_CACHE, metadata={"help": "Folder of encoder features, or none."})


class Evaluator:
    """A model and the movies to evaluate it on. What can be wrong is an error before anything is encoded.

    Args:
        name: a saved folder or a Hub repository.
        catalogue: with the split to evaluate on.
        options: what is measured.
        ocr_language: of the posters; None for that of the model.

    Raises:
        ValueError: the pool holds movies that the model was trained on, or an option fits neither model nor pool; and
            what `load_model` and the catalogue raise.
    """

    def __init__(
        self, name: str, catalogue: Catalogue, options: PoolArguments, ocr_language: str | None = None
    ) -> None:
        self.name, self.options = name, options
        if options.split == "validation":
            catalogue = catalogue.with_validation()
        self.model, self.processor = load_model(name)
        self.record = read_record(name)
        legacy = [split for split in LEGACY_SPLITS if split in catalogue.splits] if options.legacy_protocol else []
        splits = dict.fromkeys([options.split, *legacy])
        self.fingerprints = {split: fingerprint(catalogue.movies([split])) for split in splits}
        pool = catalogue.movies([options.split])
        self.trained_movies = find_trained_movies(self.record, pool)
        if not options.allow_trained_movies:
            refuse_trained_movies(self.trained_movies, name, f"{options.split} of {catalogue.source}", len(pool))
        if self.model.config.use_poster_text:
            catalogue = read_posters(catalogue, self.processor, ocr_language)
        self.catalogue = catalogue
        self.pools = {split: catalogue.movies([split]) for split in splits}
        self.trained = self._trained_masks(legacy)
        self.poster_text = None
        if self.model.config.use_poster_text:
            self.poster_text = poster_text_fingerprint(self.pools[options.split])
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
            "mask_titles": options.mask_titles,
            "remove_poster_text": options.remove_poster_text,
            "data_fingerprint": self.fingerprints,
        }

    def evaluate(self) -> tuple[Evaluation, tuple[HybridVectors, HybridVectors]]:
        """Returns the evaluation, and the embeddings of posters and plots, a row each.

        A movie with several posters has a row for each. In the pool its plot is one candidate, the right one for all
        of its posters, and one query, for which all of them are right.
        """
        options, movies = self.options, self.movies
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        model = self.model.eval().requires_grad_(False).to(device)  # type: ignore[arg-type]
        encoder = FeatureEncoder(model, self.processor, options.batch_size, options.feature_cache, dtype=model.dtype)
        embeds = {split: encoder.embeddings(of) for split, of in self.pools.items()}
        (images, texts), ids = embeds[options.split], np.array(movies["id"][:])
        plots = movie_rows(ids)
        pool = evaluate_pool(images, texts[plots], ids, ids[plots])
        candidates = dict(zip(DIRECTIONS, (len(plots), len(images)), strict=True))
        sizes = options.pool_sizes or [size for size in POOL_SIZES if size < len(plots)]
        results: dict[str, Any] = {
            **self.description(),
            "seed": 0,  # of the intervals
            "catalogue": self.catalogue.report(),
            "poster_text_fingerprint": self.poster_text,
            "training": reported(self.record),
            "trained_movies": self.trained_movies,
            "metrics": {**pool.summary(), "intervals": bootstrap_intervals(pool, seed=0)},
            "pool_sizes": {way: pool_size_metrics(getattr(pool, way), of, sizes) for way, of in candidates.items()},
            "groups": group_metrics(pool, movies),
        }
        if options.one_to_one:
            scale = model.logit_scale.exp().item()
            results["one_to_one"] = match_one_to_one(*embeds[options.split], movies["id"], movies["id"], scale)
        if self.trained:
            pools = {split: self.pools[split] for split in self.trained}
            results["legacy_protocol"] = evaluate_legacy_protocol(pools, embeds, self.trained)
        return Evaluation(results, pool), embeds[options.split]

    def _trained_masks(self, splits: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
        """Returns by split which of its movies the model was trained on, (movies,)."""
        given = self.options.trained_splits
        if splits and given is not None:
            if strange := set(given) - set(splits):
                raise ValueError(f"trained_splits: {', '.join(sorted(strange))} is none of {', '.join(splits)}.")
            return {split: np.full(len(self.pools[split]), split in given) for split in splits}
        masks = {}
        for split in splits:
            found = find_trained_movies(self.record, self.pools[split])
            if found is None or not found["complete"]:
                raise ValueError(
                    f"legacy_protocol: the movies that {self.name} was trained on are not recorded, or not all. "
                    "Say by --trained_splits which splits it was trained on."
                )
            masks[split] = np.isin(self.pools[split]["id"], found["trained_on"])
        return masks


def evaluate_legacy_protocol(
    pools: dict[str, Dataset],
    embeds: dict[str, tuple[HybridVectors, HybridVectors]],
    trained: dict[str, NDArray[np.bool_]],
) -> dict[str, dict[str, float]]:
    """Returns the legacy protocol over all pools as one; `trained` says by pool which movies were trained on."""
    images, texts = (HybridVectors.joined(side) for side in zip(*(embeds[name] for name in pools), strict=True))
    ids = [movie for movies in pools.values() for movie in movies["id"]]
    return legacy_protocol(images, texts, ids, np.concatenate([trained[name] for name in pools]))
