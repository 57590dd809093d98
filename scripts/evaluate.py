"""Evaluate a model on a split: `python scripts/evaluate.py MODEL --catalogue FOLDER --split test`."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from modeling.encoding import embed
from processing.catalogue import fingerprint
from processing.collation import first_plots
from processing.estimates import bootstrap_intervals, check_sizes, pool_size_metrics
from processing.lettering import with_blank_lettering
from processing.masking import with_masked_titles
from processing.matching import match_one_to_one, pair_orders
from processing.pair_retrieval.ranking import DIRECTIONS
from processing.poster_words import compose
from processing.report import (
    draw_sheet,
    format_table,
    matching_rows,
    pool_rows,
    pool_size_rows,
    seed_rows,
    spread_rows,
    worst_rows,
)
from processing.results import write_results
from processing.retrieval import evaluate_pool, seed_protocol
from scripts.arguments import POSTER_TEXT, USER_ERRORS, CatalogueArguments, load_model, parse, quiet_libraries, stop
from scripts.features import Encoder


@dataclass
class EvaluateArguments:
    """What to report."""

    split: str = field(default="test", metadata={"help": "The split that is the pool."})
    seed_protocol: bool = field(
        default=False,
        metadata={"help": "Also judge train, validation and test as one pool, trained movies and others apart."},
    )
    trained_splits: list[str] | None = field(
        default=None, metadata={"help": "For the seed's protocol: what the model was trained on, if not recorded."}
    )
    mask_titles: bool = field(default=False, metadata={"help": "Judge by plots without their movie's title."})
    blank_lettering: bool = field(
        default=False, metadata={"help": "Judge by posters whose lettering is painted over; needs poster_text."}
    )
    pool_sizes: list[int] | None = field(
        default=None, metadata={"help": "Also what to expect in random pools of these sizes, out of this one."}
    )
    one_to_one: bool = field(
        default=False,
        metadata={"help": "Also match the pool as a whole, with the knowledge that each poster has one plot."},
    )
    output: Path | None = field(
        default=None, metadata={"help": "JSON file; results-SPLIT.json in the model's folder by default."}
    )
    contact_sheet: Path | None = field(default=None, metadata={"help": "PNG of posters with their best plots."})
    confusions: Path | None = field(default=None, metadata={"help": "PNG of the posters whose right plot came last."})
    batch_size: int = field(default=32, metadata={"help": "Posters or plots encoded at a time."})
    workers: int = field(default=0, metadata={"help": "Processes that decode posters."})
    feature_cache: str = field(default="none", metadata={"help": "Folder of features to read and fill, or none."})


def main(arguments: list[str] | None = None) -> None:
    """Evaluate, print, and write what was found."""
    quiet_libraries()
    data, options, rest = parse((CatalogueArguments, EvaluateArguments), arguments, positional="model")
    try:
        catalogue = data.load()
        record = training_record(Path(rest.model))
        if "validation" in record["catalogue"]["rows"] and "train" in catalogue.splits:
            # Training took it out of train where the catalogue had none: those movies are not trained ones.
            catalogue = catalogue.with_validation()
        model, processor = load_model(rest.model)
        if model.config.poster_text:
            catalogue = catalogue.with_poster_text(POSTER_TEXT)
        judged = [name for name in ("train", "validation", "test") if name in catalogue.splits]
        names = [options.split, *(judged if options.seed_protocol else [])]
        pools = {name: catalogue.movies([name]) for name in dict.fromkeys(names)}
        if options.mask_titles:
            pools = {name: with_masked_titles(movies) for name, movies in pools.items()}
        if options.blank_lettering:
            pools = {name: with_blank_lettering(movies) for name, movies in pools.items()}
        trained = options.trained_splits or record["train_splits"]
        if options.seed_protocol and (strange := set(trained) - set(judged)):
            raise ValueError(f"trained_splits: {', '.join(sorted(strange))} is none of {', '.join(judged)}.")
        check_sizes(options.pool_sizes or [], len(pools[options.split]))
        if options.one_to_one:
            pair_orders(pools[options.split]["id"], pools[options.split]["id"])
        output = options.output or default_output(rest.model, options.split)
        for path, suffix in ((output, ".json"), (options.contact_sheet, ".png"), (options.confusions, ".png")):
            if path and (path.is_dir() or path.suffix != suffix):
                raise ValueError(f"{path} cannot be written: name a file that ends in {suffix}.")
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
    except USER_ERRORS as error:
        stop(error)

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    model.eval().requires_grad_(False).to(device)  # type: ignore[arg-type]
    encoder = Encoder(model, processor, options.batch_size, options.workers, options.feature_cache, dtype=model.dtype)
    try:
        embeds = {name: embeddings(encoder, movies) for name, movies in pools.items()}
    except OSError as error:
        stop(error)
    movies = pools[options.split]
    pool = evaluate_pool(*embeds[options.split], movies["id"], movies["id"])
    results: dict[str, Any] = {
        "model": rest.model,
        "split": options.split,
        "mask_titles": options.mask_titles,
        "blank_lettering": options.blank_lettering,
        "catalogue": catalogue.report(),
        "data_fingerprint": {name: fingerprint(catalogue.movies([name])) for name in pools},
        "metrics": {**pool.summary(), "intervals": bootstrap_intervals(pool)},
    }
    print(f"\n{options.split}: {len(movies):,} movies; a tie counts against the model")
    print(format_table(pool_rows(results["metrics"])))
    if options.pool_sizes:
        ranks, size = {name: getattr(pool, name) for name in DIRECTIONS}, len(movies)
        found = {name: pool_size_metrics(of, size, options.pool_sizes) for name, of in ranks.items()}
        results["pool_sizes"] = found
        print("\nThe same ranks in smaller pools: what to expect of a random part that holds the right answer")
        print(format_table(pool_size_rows(found)))
    if options.one_to_one:
        scale = model.logit_scale.exp().item()
        results["one_to_one"] = match_one_to_one(*embeds[options.split], movies["id"], movies["id"], scale)
        print("\nThe same pool, matched with the knowledge that every poster has one plot and every plot one poster")
        print(format_table(matching_rows(results["one_to_one"])))
    if options.seed_protocol:
        results["seed_protocol"] = judge_as_the_seed({name: pools[name] for name in judged}, embeds, trained)
        print("\nThe course report's protocol: the arg-min along each dimension of one distance matrix over all movies")
        print(format_table(seed_rows(results["seed_protocol"])))
    write_results(output, results)
    print(f"\nResults are in {output}")
    sheets = {
        "contact sheet": (options.contact_sheet, "Posters", spread_rows(len(movies))),
        "sheet of confusions": (options.confusions, "The worst found posters", worst_rows(pool.image_to_text)),
    }
    for name, (path, which, rows) in sheets.items():
        if path:
            heading = f"{which} of the {options.split} split, each with its best of {len(movies):,} plots"
            draw_sheet(movies, embeds[options.split], pool, rows, heading).save(path)
            print(f"The {name} is in {path}")


def training_record(model: Path) -> dict[str, Any]:
    """What training recorded beside the weights; where there is no record, that it was on `train`."""
    record = model / "training.json"
    if not record.is_file():
        return {"train_splits": ["train"], "catalogue": {"rows": {}}}
    return json.loads(record.read_text(encoding="utf-8"))


def default_output(model: str, split: str) -> Path:
    """Beside the weights; for a Hub repository in the working directory, where no folder of its name may appear."""
    return Path(model if Path(model).is_dir() else ".") / f"results-{split}.json"


def embeddings(encoder: Encoder, movies: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the movies' posters and first plots, each encoded once."""
    plots = [plot for plots in first_plots(movies) for plot in plots]
    reads = encoder.model.config.poster_text
    words = encoder.poster_text([compose(lines) for lines in movies["poster_text"]]) if reads else None
    images, texts = embed(encoder.model, encoder.posters(movies), encoder.plots(plots), words)
    return images.numpy(), texts.numpy()


def judge_as_the_seed(
    pools: dict[str, Dataset], embeds: dict[str, tuple[np.ndarray, np.ndarray]], trained_splits: list[str]
) -> dict[str, dict[str, float]]:
    """The seed's protocol over all pools as one."""
    images, texts = (np.concatenate(side) for side in zip(*(embeds[name] for name in pools), strict=True))
    ids = [movie for movies in pools.values() for movie in movies["id"]]
    trained = np.concatenate([np.full(len(movies), name in trained_splits) for name, movies in pools.items()])
    return seed_protocol(images, texts, ids, trained)


if __name__ == "__main__":
    main()
