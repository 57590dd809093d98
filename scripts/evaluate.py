"""Evaluate a model on a split: `python scripts/evaluate.py MODEL --catalogue FOLDER --split test`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image

from modeling import PosterCLIPModel
from modeling.encoding import embed, encode_plots, encode_posters
from processing import PosterCLIPProcessor
from processing.catalogue import CatalogueError, fingerprint
from processing.collation import image_batches, text_batches, with_first_plot
from processing.contact_sheet import Answer, contact_sheet
from processing.results import write_results
from processing.retrieval import (
    PoolResult,
    evaluate_pool,
    format_table,
    pool_rows,
    seed_protocol,
    seed_rows,
    top_answers,
)
from scripts.arguments import CatalogueArguments, parse, quiet_libraries, stop

SHEET_POSTERS = 12


@dataclass
class EvaluateArguments:
    """What to report."""

    split: str = field(default="test", metadata={"help": "The split that is the pool."})
    seed_protocol: bool = field(
        default=False,
        metadata={"help": "Also judge train, validation and test as one pool, trained movies and others apart."},
    )
    trained_splits: list[str] = field(
        default_factory=lambda: ["train"],
        metadata={"help": "For the seed's protocol: what the model was trained on."},
    )
    output: Path | None = field(default=None, metadata={"help": "JSON file; MODEL/results-SPLIT.json by default."})
    contact_sheet: Path | None = field(default=None, metadata={"help": "PNG of posters with their best plots."})
    batch_size: int = field(default=32, metadata={"help": "Posters or plots encoded at a time."})
    workers: int = field(default=0, metadata={"help": "Processes that decode posters."})


def main(arguments: list[str] | None = None) -> None:
    """Evaluate, print, and write what was found."""
    quiet_libraries()
    data, options, rest = parse((CatalogueArguments, EvaluateArguments), arguments, positional="model")
    try:
        catalogue = data.load()
        names = [options.split]
        if options.seed_protocol:
            names = [name for name in ("train", "validation", "test") if name in catalogue.splits]
        pools = {name: with_first_plot(catalogue.movies([name])) for name in dict.fromkeys([options.split, *names])}
        model = PosterCLIPModel.from_pretrained(rest.model).eval()
        processor = PosterCLIPProcessor.from_pretrained(rest.model)
    except (CatalogueError, OSError, ValueError) as error:
        stop(error)

    embeds = {name: embeddings(model, processor, movies, options) for name, movies in pools.items()}
    movies = pools[options.split]
    pool = evaluate_pool(*embeds[options.split], movies["id"], movies["id"])
    results: dict[str, Any] = {
        "model": rest.model,
        "split": options.split,
        "catalogue": catalogue.report(),
        "data_fingerprint": fingerprint(movies),
        "metrics": pool.summary(),
    }
    print(f"\n{options.split}: {len(movies):,} movies; a tie counts against the model")
    print(format_table(pool_rows(results["metrics"])))
    if options.seed_protocol:
        results["seed_protocol"] = judge_as_the_seed(pools, embeds, options.trained_splits)
        print("\nThe seed's protocol: the arg-min along each dimension of one distance matrix over all movies")
        print(format_table(seed_rows(results["seed_protocol"])))
    output = options.output or Path(rest.model) / f"results-{options.split}.json"
    write_results(output, results)
    print(f"\nResults are in {output}")
    if options.contact_sheet:
        heading = f"{rest.model}: {options.split} posters with their best plots of {len(movies):,}"
        draw_sheet(movies, embeds[options.split], pool, heading).save(options.contact_sheet)
        print(f"The contact sheet is in {options.contact_sheet}")


def embeddings(
    model: PosterCLIPModel, processor: PosterCLIPProcessor, movies: Dataset, options: EvaluateArguments
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the movies' posters and plots, each encoded once."""
    posters = encode_posters(
        model, image_batches(movies, processor, batch_size=options.batch_size, workers=options.workers)
    )
    plots = encode_plots(model, text_batches(movies, processor, batch_size=options.batch_size))
    images, texts = embed(model, posters, plots)
    return images.numpy(), texts.numpy()


def judge_as_the_seed(
    pools: dict[str, Dataset], embeds: dict[str, tuple[np.ndarray, np.ndarray]], trained_splits: list[str]
) -> dict[str, dict[str, float]]:
    """The seed's protocol over all pools as one."""
    images, texts = (np.concatenate(side) for side in zip(*embeds.values(), strict=True))
    ids = [movie for movies in pools.values() for movie in movies["id"]]
    trained = np.concatenate([np.full(len(movies), name in trained_splits) for name, movies in pools.items()])
    return seed_protocol(images, texts, ids, trained)


def draw_sheet(movies: Dataset, embeds: tuple[np.ndarray, np.ndarray], pool: PoolResult, heading: str) -> Image.Image:
    """A contact sheet of posters spread evenly over the split, not chosen by how well they did."""
    images, texts = embeds
    rows = np.linspace(0, len(movies) - 1, min(SHEET_POSTERS, len(movies))).astype(int)
    indices, scores = top_answers(images[rows], texts, 3)
    titles, plots = movies["title"], [plots[0] for plots in movies["plots"]]
    answers = [
        [Answer(titles[j], plots[j], float(score), bool(j == row)) for j, score in zip(*best, strict=True)]
        for row, *best in zip(rows, indices, scores, strict=True)
    ]
    posters = [movies[int(row)]["image"] for row in rows]
    ranks = [int(rank) for rank in pool.image_to_text[rows]]
    footer = "The right plot is boxed. A tie counts against the model."
    return contact_sheet(posters, [titles[row] for row in rows], answers, ranks, heading=heading, footer=footer)


if __name__ == "__main__":
    main()
