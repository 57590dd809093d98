"""The record that training leaves beside the weights, and which movies of a pool it says the model was trained on."""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from processing.catalogue.fingerprints import known_movies, movie_keys

RECORD = "training.json"
NAMED = 20  # ids in an error
# What a report says of how a model was trained, beside its data.
REPORTED_ARGUMENTS = (
    *("learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim", "num_train_epochs", "max_steps"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "bf16", "fp16", "seed", "metric_for_best_model"),
    *("augment", "mask_names", "poster_text_dropout", "title_share", "genre_weight", "layer_decay", "chunk_size"),
)


def read_record(model: str) -> dict[str, Any] | None:
    """Returns what training recorded of a model, a saved folder or a Hub repository; None if there is no record."""
    file = Path(model) / RECORD
    if not Path(model).is_dir():
        try:
            file = Path(hf_hub_download(model, RECORD))
        except EntryNotFoundError:
            return None
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def reported(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns the part of a record that goes into the results of an evaluation."""
    if record is None:
        return None
    left_out = ("log", "config", "arguments", "best_metric", "movies")
    arguments = record.get("arguments", {})
    return {
        **{name: value for name, value in record.items() if name not in left_out},
        "arguments": {name: arguments[name] for name in REPORTED_ARGUMENTS if name in arguments},
    }


def record_movies(
    trained_on: Dataset | None, chosen_by: Dataset | None, model_name_or_path: str | None
) -> dict[str, Any]:
    """Returns the movies that a run used, by id with their `movie_keys`, for the key `movies` of its record.

    Args:
        trained_on: the movies trained on; None for those of a stream, which nobody lists.
        chosen_by: the movies that the best epoch was chosen by, if there are any.
        model_name_or_path: of the model that was trained further; its record is inherited.

    Returns:
        `trained_on` and `chosen_by`, and `complete`: whether no other movies were trained on.
    """
    inherited = None
    if model_name_or_path:
        inherited = (read_record(model_name_or_path) or {}).get("movies")
    before = inherited or {"trained_on": {}, "chosen_by": {}, "complete": not model_name_or_path}
    return {
        "trained_on": _merge(before["trained_on"], {} if trained_on is None else movie_keys(trained_on)),
        "chosen_by": _merge(before["chosen_by"], {} if chosen_by is None else movie_keys(chosen_by)),
        "complete": before["complete"] and trained_on is not None,
    }


def find_trained_movies(record: dict[str, Any] | None, movies: Dataset) -> dict[str, Any] | None:
    """Returns the ids of a pool's movies that the record names; None if there is no record of movies.

    Returns:
        `trained_on` and `chosen_by`, lists of ids of the pool, and `complete`, as in `record_movies`.
    """
    recorded = (record or {}).get("movies")
    if recorded is None:
        return None
    keys = movie_keys(movies)
    trained_on = known_movies(keys, recorded["trained_on"])
    chosen_by = [number for number in known_movies(keys, recorded["chosen_by"]) if number not in set(trained_on)]
    return {"trained_on": trained_on, "chosen_by": chosen_by, "complete": recorded["complete"]}


def refuse_trained_movies(found: dict[str, Any] | None, model: str, pool: str, count: int) -> None:
    """Raises ValueError, with their number and ids, if a pool holds movies that the model was trained on or chosen by.

    Args:
        found: of `find_trained_movies`.
        model: its name.
        pool: what the pool is called.
        count: of the movies in it.
    """
    uses = {"trained_on": "was trained on", "chosen_by": "was chosen by"}
    parts = []
    for name, use in uses.items():
        if ids := (found or {}).get(name, []):
            more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
            parts.append(f"{model} {use} {len(ids)} of the {count} movies of {pool}: {', '.join(ids[:NAMED])}{more}.")
    if parts:
        hint = "Evaluate on other movies, or allow it by --allow_trained_movies True: the results then name them."
        raise ValueError(" ".join([*parts, hint]))


def _merge(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    """Returns the keys by id of both."""
    return {number: sorted({*one.get(number, []), *other.get(number, [])}) for number in {**one, **other}}
