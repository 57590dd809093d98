"""A model judged on a split of a catalogue: from a name to results, ranks and embeddings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from datasets import Dataset

from processing.catalogue.catalogue import Catalogue
from processing.catalogue.fingerprints import fingerprint
from processing.data.masking import with_masked_titles
from processing.data.text_removal import with_poster_text_removed
from processing.evaluation.estimates import bootstrap_intervals, check_sizes, paired_differences, pool_size_metrics
from processing.evaluation.groups import group_metrics
from processing.evaluation.one_to_one import match_one_to_one, pair_orders
from processing.evaluation.retrieval import PoolResult, evaluate_pool, legacy_protocol
from processing.pair_retrieval.ranking import DIRECTIONS, Embeddings
from processing.reporting.results import check_same_data, read_evaluation, read_results, write_results
from scripts.common.command_line import FEATURE_CACHE, load_model, read_posters
from scripts.common.features import FeatureEncoder

RESULTS, RANKS = "results.json", "ranks.parquet"
LEGACY_SPLITS = ("train", "validation", "test")  # the movies of the legacy protocol
POOL_SIZES = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)
# What a report says of how a model was trained, beside its data.
PROCEDURE = (
    *("learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim", "num_train_epochs", "max_steps"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "bf16", "fp16", "seed", "metric_for_best_model"),
    *("augment", "mask_names", "poster_text_dropout", "genre_weight", "layer_decay", "chunk_size"),
)


@dataclass
class PoolArguments:
    """Which movies are the pool, and how it is judged."""

    split: str = field(default="test", metadata={"help": "The split that is the pool."})
    mask_titles: bool = field(default=False, metadata={"help": "Evaluate on plots without their movie's title."})
    remove_poster_text: bool = field(
        default=False, metadata={"help": "Evaluate on posters whose text is painted over; needs poster_text."}
    )
    pool_sizes: list[int] | None = field(
        default=None,
        metadata={"help": "Sizes of random pools, out of this one, to say what to expect in; 10, 30, 100 ... without."},
    )
    one_to_one: bool = field(
        default=False,
        metadata={"help": "Also match the pool as a whole, with the knowledge that each poster has one plot."},
    )
    legacy_protocol: bool = field(
        default=False,
        metadata={"help": "Also evaluate train, validation and test as one pool, trained movies and others apart."},
    )
    trained_splits: list[str] | None = field(
        default=None, metadata={"help": "For the legacy protocol: what the model was trained on, if not recorded."}
    )
    batch_size: int = field(default=32, metadata={"help": "Posters or plots encoded at a time."})
    feature_cache: str = field(default=FEATURE_CACHE, metadata={"help": "Folder of encoder features, or none."})


@dataclass
class Evaluation:
    """What came out: `results` for the file, and the ranks that another evaluation is compared with."""

    results: dict[str, Any]
    pool: PoolResult

    def save(self, folder: Path) -> None:
        """Write both; `results` are then those of the file, with code, versions and time."""
        ranks = {name: getattr(self.pool, name) for name in DIRECTIONS}
        folder.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict({"id": list(self.pool.image_ids), **ranks}).to_parquet(folder / RANKS)
        write_results(folder / RESULTS, self.results)
        self.results = read_results(folder / RESULTS)

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> "Evaluation":
        """What `save` wrote.

        Raises:
            ValueError: it is none, its files do not belong together, or it is one of other movies than the catalogue's.
        """
        results = read_evaluation(folder / RESULTS)
        split = results["split"]
        catalogue = catalogue.with_validation() if split == "validation" else catalogue
        if fingerprint(catalogue.movies([split])) != results["data_fingerprint"][split]:
            raise ValueError(f"{folder} is an evaluation of other movies than {split} of {catalogue.source}.")
        try:
            ranks = pq.read_table(folder / RANKS).to_pydict()
            image_to_text, text_to_image = (np.array(ranks[name], dtype=np.int64) for name in DIRECTIONS)
            pool = PoolResult(ranks["id"], ranks["id"], image_to_text, text_to_image)
            metrics = pool.summary()
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"{folder / RANKS} holds no ranks: {error}") from None
        for way in DIRECTIONS:
            if not all(np.isclose(value, results["metrics"][way][name]) for name, value in metrics[way].items()):
                raise ValueError(f"{folder / RANKS} is of another evaluation than {RESULTS} beside it.")
        return cls(results, pool)


class Evaluator:
    """A model and the movies to judge it by, checked: what can be wrong is told before anything is encoded.

    Args:
        name: a saved folder or a Hub repository.
        catalogue: with the split to judge by.
        options: how.
        ocr_language: of the posters; None for that of the model.

    Raises:
        ValueError and what `load_model` and the catalogue raise.
    """

    def __init__(
        self, name: str, catalogue: Catalogue, options: PoolArguments, ocr_language: str | None = None
    ) -> None:
        self.name, self.options = name, options
        self.record = training_record(Path(name))
        rows = self.record["catalogue"].get("rows", {})
        if "validation" in rows and "train" in catalogue.splits:
            # Training took it out of train where the catalogue had none: those movies are not trained ones.
            catalogue = catalogue.with_validation()
        self.model, self.processor = load_model(name)
        self.judged = [split for split in LEGACY_SPLITS if split in catalogue.splits] if options.legacy_protocol else []
        splits = dict.fromkeys([options.split, *self.judged])
        self.prints = {split: fingerprint(catalogue.movies([split])) for split in splits}
        self.seen = was_trained_on(self.record, catalogue, options.split, self.prints)
        if self.model.config.use_poster_text:
            catalogue = read_posters(catalogue, self.processor, ocr_language)
        self.catalogue = catalogue
        self.pools = {split: catalogue.movies([split]) for split in splits}
        if options.mask_titles:
            self.pools = {split: with_masked_titles(movies) for split, movies in self.pools.items()}
        if options.remove_poster_text:
            self.pools = {split: with_poster_text_removed(movies) for split, movies in self.pools.items()}
        self.movies = self.pools[options.split]
        self.trained = options.trained_splits or self.record["train_splits"]
        if self.judged and (strange := set(self.trained) - set(self.judged)):
            raise ValueError(f"trained_splits: {', '.join(sorted(strange))} is none of {', '.join(self.judged)}.")
        if self.judged and not options.trained_splits and self.record.get("data_fingerprint") and self.seen is None:
            raise ValueError(
                f"legacy_protocol: {', '.join(self.trained)} of {catalogue.source} is not, or not all of, what the "
                f"training of {name} recorded. Say by --trained_splits what it was trained on."
            )
        check_sizes(options.pool_sizes or [], len(self.movies))
        if options.one_to_one:
            pair_orders(self.movies["id"], self.movies["id"])

    def evaluate(self) -> tuple[Evaluation, tuple[Embeddings, Embeddings]]:
        """Encode and judge; with the embeddings of the movies' posters and plots, (movies, dim) each."""
        options, movies, count = self.options, self.movies, len(self.movies)
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        model = self.model.eval().requires_grad_(False).to(device)  # type: ignore[arg-type]
        encoder = FeatureEncoder(model, self.processor, options.batch_size, options.feature_cache, dtype=model.dtype)
        embeds = {split: encoder.embeddings(of) for split, of in self.pools.items()}
        pool = evaluate_pool(*embeds[options.split], movies["id"], movies["id"])
        ranks = {name: getattr(pool, name) for name in DIRECTIONS}
        sizes = options.pool_sizes or [size for size in POOL_SIZES if size < count]
        results: dict[str, Any] = {
            "model": self.name,
            "split": options.split,
            "mask_titles": options.mask_titles,
            "remove_poster_text": options.remove_poster_text,
            "seed": 0,  # of the intervals
            "catalogue": self.catalogue.report(),
            "data_fingerprint": self.prints,
            "training": self.record["training"],
            "seen": self.seen,
            "metrics": {**pool.summary(), "intervals": bootstrap_intervals(pool, seed=0)},
            "pool_sizes": {name: pool_size_metrics(of, count, sizes) for name, of in ranks.items()},
            "groups": group_metrics(pool, movies),
        }
        if options.one_to_one:
            scale = model.logit_scale.exp().item()
            results["one_to_one"] = match_one_to_one(*embeds[options.split], movies["id"], movies["id"], scale)
        if self.judged:
            pools = {split: self.pools[split] for split in self.judged}
            results["legacy_protocol"] = evaluate_legacy_protocol(pools, embeds, self.trained)
        return Evaluation(results, pool), embeds[options.split]


def training_record(model: Path) -> dict[str, Any]:
    """What training recorded beside the weights, and under `training` what a report says of it, None if unknown.

    Where there is no record, training is taken to have been on `train`.
    """
    file = model / "training.json"
    if not file.is_file():
        return {"train_splits": ["train"], "catalogue": {}, "training": None}
    record = json.loads(file.read_text(encoding="utf-8"))
    told = {name: value for name, value in record.items() if name not in ("log", "config", "arguments", "best_metric")}
    told["arguments"] = {name: record["arguments"][name] for name in PROCEDURE if name in record.get("arguments", {})}
    return {**record, "training": told}


def was_trained_on(record: dict[str, Any], catalogue: Catalogue, split: str, prints: dict[str, str]) -> bool | None:
    """Whether a model was trained on the movies of a split; None if that is not known, as of one trained further.

    Args:
        record: what `training_record` gives.
        catalogue: that holds the split.
        split: its name.
        prints: the fingerprints of it and perhaps of other splits. Names say nothing: what they hold may have changed.
    """
    recorded = record.get("data_fingerprint") or {}
    if prints[split] in recorded.values():
        return True
    trained_before = (record.get("model") or {}).get("model_name_or_path")
    known = not trained_before and all(
        name in catalogue.splits and (prints.get(name) or fingerprint(catalogue.movies([name]))) == of
        for name, of in recorded.items()
    )
    return False if recorded and known else None


def evaluate_legacy_protocol(
    pools: dict[str, Dataset], embeds: dict[str, tuple[Embeddings, Embeddings]], trained_splits: Sequence[str]
) -> dict[str, dict[str, float]]:
    """The legacy protocol over all pools as one."""
    images, texts = (np.concatenate(side) for side in zip(*(embeds[name] for name in pools), strict=True))
    ids = [movie for movies in pools.values() for movie in movies["id"]]
    trained = np.concatenate([np.full(len(movies), name in trained_splits) for name, movies in pools.items()])
    return legacy_protocol(images, texts, ids, trained)


def compare(one: Evaluation, other: Evaluation) -> dict[str, Any]:
    """Two evaluations of the same movies side by side; differences are those of the other, less those of the one.

    Raises:
        ValueError: they are of other movies.
    """
    names = [evaluation_name(of.results) for of in (one, other)]
    if names[0] == names[1]:
        names = [f"{letter}: {name}" for letter, name in zip("AB", names, strict=True)]
    check_same_data(dict(zip(names, (one.results, other.results), strict=True)))
    return {
        "models": names,
        "split": one.results["split"],
        "data_fingerprint": one.results["data_fingerprint"],
        "results": [one.results, other.results],
        "seed": 0,
        "differences": paired_differences(one.pool, other.pool, seed=0),
    }


def evaluation_name(results: dict[str, Any]) -> str:
    """The model, and what was hidden from it.

    Example:
        >>> evaluation_name({"model": "runs/mine", "mask_titles": True, "remove_poster_text": False})
        'runs/mine (titles masked)'
    """
    told = {"mask_titles": "titles masked", "remove_poster_text": "lettering blanked"}
    hidden = [words for name, words in told.items() if results[name]]
    return f"{results['model']} ({', '.join(hidden)})" if hidden else results["model"]
