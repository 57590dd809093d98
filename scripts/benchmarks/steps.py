"""Measure training steps of features that are there: `python scripts/benchmarks/steps.py`.

The heads of the preset train with `PosterCLIPTrainer` and with a bare PyTorch loop. Features are made up; the frozen
encoders are those of the preset and never run.
"""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from scipy.sparse import csr_array, random_array
from transformers import PrinterCallback

from modeling import PosterCLIPModel
from modeling.training.freezing import set_mode
from modeling.training.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.data.collation import MoviePairs, PairCollator
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.reporting.results import write_results
from scripts.benchmarks.measure import Section, table, training
from scripts.common.command_line import USER_ERRORS, parse, quiet_libraries, stop
from scripts.common.features import DenseRows

EPOCHS, BATCH, RATE = 10, 256, 3e-4
PROJECTION_DIM, NGRAM_DIM, NGRAMS = 384, 4096, 130  # numbers of an n-gram embedding, and how many are not zero
PLOTS = 2  # of a movie


def preset(vision: str, text: str) -> PosterCLIPModel:
    """Returns a new model like that of the preset, its encoders frozen."""
    torch.manual_seed(0)
    model = PosterCLIPModel.from_vision_text_pretrained(
        vision, text, projection_dim=PROJECTION_DIM, use_poster_text=True, char_ngram_dim=NGRAM_DIM
    )
    for encoder in (model.vision_model, model.text_model):
        set_mode(encoder, "frozen")
    return model


def made_up(model: PosterCLIPModel, movies: int) -> MoviePairs:
    """Returns pairs of made-up features."""
    random = np.random.default_rng(0)
    images, texts = model.visual_projection.in_features, model.text_projection.in_features

    def text_features(count: int) -> DenseRows:
        dense = random.standard_normal((count, texts), dtype=np.float32)
        density = NGRAMS / NGRAM_DIM
        ngrams = random_array((count, NGRAM_DIM), density=density, format="csr", dtype=np.float32, rng=random)
        return DenseRows(HybridVectors(dense, csr_array(ngrams)))

    plots = [[f"{movie}, {plot}" for plot in range(PLOTS)] for movie in range(movies)]
    return MoviePairs(
        Dataset.from_dict({"plots": plots, "poster_text": [[]] * movies}),
        image_features=torch.from_numpy(random.standard_normal((movies, images), dtype=np.float32)),
        text_features=text_features(PLOTS * movies),
        use_poster_text=True,
        poster_text_features=text_features(movies),
        poster_text_dropout=0.2,
    )


def bare_loop(model: PosterCLIPModel, images: torch.Tensor, posters: torch.Tensor, plots: torch.Tensor) -> None:
    """Trains the heads on tensors, as a bare PyTorch loop does."""
    model.eval()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=RATE)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(BATCH):
            shown = posters[rows] * (torch.rand(len(rows), 1) > 0.2)
            image_embeds = model.embed_posters(images[rows], shown)
            text_embeds = model.embed_texts(plots[PLOTS * rows + torch.randint(PLOTS, rows.shape)])
            logits, labels = model.similarity(image_embeds, text_embeds), torch.arange(len(rows))
            loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


def steps(vision: str, text: str, movies: int, rounds: int, scratch: Path) -> Section:
    """Measures both in turn; of each the best round counts."""
    model, processor = preset(vision, text), PosterCLIPProcessor.from_vision_text_pretrained(vision, text)
    pairs = made_up(model, movies)
    tensors = [
        torch.from_numpy(features.vectors.to_array())
        for features in (pairs.poster_text_features, pairs.text_features)
        if isinstance(features, DenseRows)
    ]

    def by_trainer() -> None:
        arguments = training(scratch, num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH)
        trainer = PosterCLIPTrainer(model, arguments, data_collator=PairCollator(processor), train_dataset=pairs)
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    ways = {
        "bare PyTorch loop": lambda: bare_loop(model, pairs.image_features, *tensors),  # type: ignore[arg-type]
        "PosterCLIPTrainer": by_trainer,
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = process_time()
            run()
            taken[way].append(process_time() - start)
    best = {way: min(seconds) for way, seconds in taken.items()}
    count = EPOCHS * -(-movies // BATCH)
    return {
        "title": f"{EPOCHS} epochs of {movies:,} movies whose features are there, batch {BATCH}, heads of the preset",
        "settings": {"epochs": EPOCHS, "batch": BATCH, "movies": movies, "rounds": rounds},
        "rows": [
            {
                "training": way,
                "CPU seconds": seconds,
                "ms a step": 1e3 * seconds / count,
                "times the bare loop's": seconds / best["bare PyTorch loop"],
            }
            for way, seconds in best.items()
        ],
        "note": f"CPU seconds are those of all {torch.get_num_threads()} threads, the best of {rounds} rounds in turn. "
        "The bare loop has all features as dense tensors; the trainer makes the rows of a batch dense.",
    }


@dataclass
class StepBenchmarkArguments:
    """What to measure."""

    vision_model_name_or_path: str = field(
        default="build/demo/encoders/efficientnet-lite2", metadata={"help": "Poster encoder: a folder or a Hub name."}
    )
    text_model_name_or_path: str = field(
        default="build/demo/encoders/all-minilm-l6-v2", metadata={"help": "Text encoder, likewise."}
    )
    movies: int = field(default=5120, metadata={"help": "Movies to train on."})
    rounds: int = field(default=3, metadata={"help": "How often the two take turns."})
    output: Path = field(default=Path("results/step_benchmark.json"), metadata={"help": "JSON file."})


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was measured."""
    quiet_libraries()
    (options,) = parse((StepBenchmarkArguments,), arguments)
    try:
        if options.output.is_dir() or options.output.suffix != ".json":
            raise ValueError(f"{options.output} cannot be written: name a file that ends in .json.")
        if options.movies < 2 or options.rounds < 1:
            raise ValueError("movies, rounds: at least 2 movies and one round are needed.")
        encoders = options.vision_model_name_or_path, options.text_model_name_or_path
        with TemporaryDirectory() as scratch:
            section = steps(*encoders, options.movies, options.rounds, Path(scratch))
    except USER_ERRORS as error:
        stop(error)
    print(table(section))
    write_results(options.output, {"sections": {"steps": section}})
    print(f"\nResults are in {options.output}")


if __name__ == "__main__":
    main()
