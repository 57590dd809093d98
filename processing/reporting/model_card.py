"""The model card, filled from the results of an evaluation and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml

from processing.pair_retrieval.ranking import DIRECTIONS

from .matching_tables import confidence_rows, matched_rows
from .results import check_same_data
from .tables import ablation_rows, format_table, known_rows, pool_rows, pool_size_rows
from .wording import evaluated_words, trained_movies_words

TEMPLATE = Path(__file__).parent / "templates" / "model_card.md"
METRICS = {"R@1": "hit_rate_at_1", "R@5": "hit_rate_at_5", "R@10": "hit_rate_at_10", "MRR": "mean_reciprocal_rank"}
PROCEDURE = {
    "learning_rate": "learning rate",
    "lr_scheduler_type": "schedule",
    "warmup_steps": "warm-up steps",
    "weight_decay": "weight decay",
    "optim": "optimizer",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch size per device",
    "poster_text_dropout": "dropout of poster text",
    "metric_for_best_model": "best epoch by (validation)",
    "seed": "seed",
}
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def fill_card(results: Mapping[str, Any], name: str, beside: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Returns the model card: YAML with a model-index, and markdown.

    Args:
        results: of `scripts/evaluate.py`.
        name: the Hub repository or folder that the example loads.
        beside: results of other models or settings on the same pool, by their labels, for a table.

    Raises:
        ValueError: they are of other data.
    """
    if beside:
        check_same_data({results["model"]: results, **beside})
    metrics, split, known = results["metrics"], results["split"], evaluated_words(results)
    accepted = confidence_rows(results.get("matching", {}))
    data, training = public_name(results["catalogue"]["source"]), results["training"]
    model = training["model"] if training else {}
    card = ModelCard.from_template(
        card_data(results),
        template_path=str(TEMPLATE),
        name=name,
        use_poster_text=model.get("use_poster_text"),
        char_ngram_dim=model.get("char_ngram_dim"),
        pool=f"{metrics['pool']['image_to_text']:,} movies of `{data}` ({split}) as pool. Known of a movie: {known}.",
        trained_movies=trained_movies_words(results),
        pool_table=format_table(pool_rows(metrics)),
        known_table=format_table(known_rows(results["known"])) if results["known"] else "",
        matched_table=format_table(matched_rows(results["matching"])) if "matching" in results else "",
        confidence_table=format_table(accepted) if accepted else "",
        size_table=format_table(pool_size_rows(results["pool_sizes"])),
        beside_table=format_table(ablation_rows(beside)) if beside else "",
        fingerprint=results["data_fingerprint"][split],
        training=training and training_facts(training),
    )
    return f"{card}\n"


def card_data(results: Mapping[str, Any]) -> ModelCardData:
    """Returns the metadata of the card, with the evaluation as a model-index, rounded to four digits."""
    data, split = public_name(results["catalogue"]["source"]), results["split"]
    training = results["training"]
    encoders = [training["model"][f"{side}_model_name_or_path"] for side in ("vision", "text")] if training else []
    bases = [encoder for encoder in encoders if encoder and HUB_NAME.fullmatch(encoder)]
    evaluations = [
        EvalResult(
            task_type="image-text-retrieval",
            task_name="image-text retrieval",
            dataset_type=re.sub(r"[^\w./-]", "-", data),
            dataset_name=data,
            dataset_split=split,
            metric_type=f"{direction}_{METRICS[metric]}",
            metric_name=f"{direction.replace('_', '-')} {metric}, {of_pool(results, direction)}",
            metric_value=round(results["metrics"][direction][metric], 4),
        )
        for direction in DIRECTIONS
        for metric in METRICS
    ]
    return ModelCardData(
        language="en",
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="zero-shot-image-classification",
        tags=["posterclip", "image-text-retrieval", "movies"],
        base_model=bases or None,
        model_name="PosterCLIP",
        eval_results=evaluations,
    )


def eval_results(results: Mapping[str, Any], dataset: str) -> str:
    """Returns the evaluation as the content of `.eval_results/*.yaml`, for a dataset of the Hub."""
    entries = [
        EvalResultEntry(
            dataset_id=dataset,
            task_id=f"{direction}_{METRICS[metric]}",
            value=round(results["metrics"][direction][metric], 4),
            date=results["time"],
            notes=f"{results['split']}, {of_pool(results, direction)}",
        )
        for direction in DIRECTIONS
        for metric in METRICS
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)


def of_pool(results: Mapping[str, Any], direction: str) -> str:
    """Returns the size of the pool and what is known of a movie.

    Example:
        >>> results = {"titles": "hide", "plots": "one", "mask_titles": False, "remove_poster_text": False}
        >>> of_pool({**results, "metrics": {"pool": {"image_to_text": 1067}}}, "image_to_text")
        '1,067 candidates, one plot'
    """
    return f"{results['metrics']['pool'][direction]:,} candidates, {evaluated_words(results)}"


def training_facts(training: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the facts of a training: data, procedure, time and machine."""
    catalogue, model, arguments = training["catalogue"], training["model"], training["arguments"]
    movies = [f"{catalogue['rows'][split]:,} ({split})" for split in training["train_splits"] if "rows" in catalogue]
    procedure = {
        f"{side} encoder": f"{public_name(model[f'{name}_model_name_or_path'])}, {model[f'{name}_mode']}"
        for side, name in (("poster", "vision"), ("plot", "text"))
        if model[f"{name}_model_name_or_path"]
    }
    procedure |= {label: arguments[key] for key, label in PROCEDURE.items() if arguments.get(key) not in (None, "")}
    code = training["code"]
    if code["commit"]:
        procedure["code"] = f"commit {code['commit']}{' with changes' if code['dirty'] else ''}"
    procedure["versions"] = ", ".join(f"{name} {training['versions'][name]}" for name in ("torch", "transformers"))
    machine = training["machine"]
    return {
        "movies": f"{' and '.join(movies) or 'a stream of'} movies of `{public_name(catalogue['source'])}`",
        "split_by": catalogue.get("split_by"),
        "fingerprints": training.get("data_fingerprint", {}),
        "procedure": procedure,
        "seconds": round(training["seconds"]),
        "machine": f"{machine['device']} ({machine['processor']}, {machine['threads']} threads)",
    }


def public_name(source: str) -> str:
    """Returns a Hub name as it is, and the last part of a path: a card tells no path of a disk.

    Example:
        >>> public_name("google/vit-base-patch16-224"), public_name("/home/me/movies")
        ('google/vit-base-patch16-224', 'movies')
    """
    return source if HUB_NAME.fullmatch(source) else Path(source).name
