"""Sections of the benchmark about frozen encoders: features from a cache, the field's way, encoding."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from transformers import (
    PrinterCallback,
    Trainer,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from modeling.inference.feature_cache import FeatureCache
from modeling.training.trainer import PosterCLIPTrainer
from processing import PosterCLIPProcessor
from processing.catalogue.fingerprints import plot_keys
from processing.catalogue.poster_manifest import poster_keys
from processing.data.collation import MoviePairs, PairCollator, image_batches
from scripts.benchmarks.measure import (
    Built,
    Section,
    Setup,
    StepClock,
    all_plots,
    in_turn,
    on_device,
    run_bare,
    seconds,
    shapes,
    training,
)
from scripts.common.features import FeatureEncoder, add_features, image_settings, text_settings

EPOCHS = 10


def cache(setup: Setup, batch: int = 256, few: int = 64) -> Section:
    """Measures training over frozen encoders that run in every step, once, and not at all."""

    def run(movies: Dataset, epochs: dict[str, int], batch: int) -> dict[str, tuple[float, dict[str, Tensor]]]:
        with TemporaryDirectory(dir=setup.scratch) as folder:
            folders = {"none": None, "cold": Path(folder), "warm": Path(folder)}
            return {
                name: train_frozen(setup.given(), movies, setup.scratch, folders[name], epochs=count, batch=batch)
                for name, count in epochs.items()
            }

    trial = run(setup.part(few), {"none": 2, "cold": 2, "warm": 2}, setup.batch)
    same = all_equal([weights for _, weights in trial.values()])
    result = run(setup.movies, {"none": 1, "cold": EPOCHS, "warm": EPOCHS}, batch)
    taken = {name: time for name, (time, _) in result.items()}
    taken["none"] *= EPOCHS
    how = {"none": f"extrapolated from 1 of {EPOCHS} epochs"}
    return {
        "title": f"Feature cache: the given encoders, frozen, {EPOCHS} epochs of {len(setup.movies):,} movies, "
        f"batch {batch}",
        "settings": {"epochs": EPOCHS, "batch": batch, "movies": len(setup.movies)},
        "rows": [
            {
                "cache": name,
                f"seconds of {EPOCHS} epochs": time,
                "times as fast as none": taken["none"] / time,
                "how": how.get(name, "measured"),
            }
            for name, time in taken.items()
        ],
        "same_weights": same,
        "note": f"After 2 epochs of {len(setup.part(few))} movies, all weights of the three are "
        + ("equal to the bit." if same else "NOT equal."),
    }


def all_equal(runs: Sequence[dict[str, Tensor]]) -> bool:
    """Returns whether the weights of all runs are equal to the bit.

    Example:
        >>> all_equal([{"bias": torch.zeros(2)}] * 3), all_equal([{"bias": torch.zeros(2)}, {"bias": torch.ones(2)}])
        (True, False)
    """
    first, *others = runs
    return all(torch.equal(weight, other[name]) for other in others for name, weight in first.items())


def train_frozen(
    built: Built, movies: Dataset, scratch: Path, folder: Path | None, *, epochs: int, batch: int
) -> tuple[float, dict[str, Tensor]]:
    """Trains the projections of frozen encoders and returns the seconds, features included, and the final weights.

    Args:
        built: model and processor.
        movies: to train on.
        scratch: a folder for the Trainer.
        folder: a feature cache; without one the encoders run in every step.
        epochs: over the movies.
        batch: pairs in a step.
    """
    model, processor = built
    pairs = MoviePairs(movies, processor)
    arguments = training(scratch, num_train_epochs=epochs, per_device_train_batch_size=batch)
    trainer = PosterCLIPTrainer(model, arguments, data_collator=PairCollator(processor), train_dataset=pairs)
    trainer.remove_callback(PrinterCallback)

    def run() -> None:
        if folder:
            add_features(pairs, trainer, processor, str(folder))
        trainer.train()

    return seconds(run), {name: weight.cpu() for name, weight in model.state_dict().items()}


def field_way(setup: Setup, steps: int = 4, encoded: int = 96) -> Section:
    """Measures training over frozen encoders by VisionTextDualEncoderModel and by this project."""
    movies, part = setup.movies, setup.part(encoded)
    built = setup.random(setup.base)
    length = built[1].tokenizer.model_max_length
    field = VisionTextDualEncoderModel(
        VisionTextDualEncoderConfig.from_vision_text_configs(*setup.base, projection_dim=128)
    )
    field.vision_model.requires_grad_(False)
    field.text_model.requires_grad_(False)
    arguments = training(setup.scratch, max_steps=1 + steps, per_device_train_batch_size=setup.batch)
    data = FieldPairs(movies, built[1])
    step = seconds_per_step(Trainer(field, arguments, data_collator=collate_field, train_dataset=data))
    total = EPOCHS * -(-len(movies) // setup.batch)

    with TemporaryDirectory(dir=setup.scratch) as cold, TemporaryDirectory(dir=setup.scratch) as warm:
        FeatureEncoder(*built).images(setup.part(2))
        encoder = FeatureEncoder(*built, setup.batch, cache=cold)
        encoding = seconds(lambda: (encoder.images(part), encoder.texts(all_plots(part))))
        fill_at_random(built, movies, Path(warm))
        found, _ = train_frozen(built, movies, setup.scratch, Path(warm), epochs=EPOCHS, batch=setup.batch)
    taken = {
        "VisionTextDualEncoderModel": (step * total, f"extrapolated from {steps} of {total:,} steps"),
        "PosterCLIP, cold cache": (
            encoding / len(part) * len(movies) + found,
            f"encoding extrapolated from {len(part):,} of {len(movies):,} movies",
        ),
        "PosterCLIP, warm cache": (found, "measured, with random features"),
    }
    return {
        "title": f"The field's way: {shapes(setup.base)}, frozen, {EPOCHS} epochs of {len(movies):,} movies, "
        f"batch {setup.batch}",
        "settings": {
            "epochs": EPOCHS,
            "batch": setup.batch,
            "movies": len(movies),
            "field_tokens": length,
            "field_seconds_per_step": step,
            "encoded_movies": len(part),
            "encoding_seconds": encoding,
        },
        "rows": [
            {"model": name, f"seconds of {EPOCHS} epochs": time, "times as fast": step * total / time, "how": how}
            for name, (time, how) in taken.items()
        ],
        "note": f"VisionTextDualEncoderModel: transformers' Trainer, pixel tensors, plots padded to {length} tokens.",
    }


class FieldPairs(TorchDataset):
    """Pairs of pixel tensors, made each time, and of plots padded to one length beforehand."""

    def __init__(self, movies: Dataset, processor: PosterCLIPProcessor) -> None:
        self.movies, self.processor = movies, processor
        self.tokens = processor(text=[p[0] for p in movies["plots"]], padding="max_length", return_tensors="pt")

    def __len__(self) -> int:
        """Returns the number of movies."""
        return len(self.movies)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Returns the inputs of a pair."""
        pixels = self.processor(images=self.movies[index]["image"], return_tensors="pt")["pixel_values"][0]
        return {"pixel_values": pixels, **{name: rows[index] for name, rows in self.tokens.items()}}


def collate_field(rows: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Stacks pairs to a batch."""
    return {**{name: torch.stack([row[name] for row in rows]) for name in rows[0]}, "return_loss": True}


def seconds_per_step(trainer: Trainer) -> float:
    """Trains and returns the seconds of a step, reading posters included, without the first step."""
    clock = StepClock()
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1)


def fill_at_random(built: Built, movies: Dataset, folder: Path) -> None:
    """Puts random features of all movies into a feature cache, for encoders too slow to run over all of them."""
    model, processor = built
    plots = all_plots(movies)
    for encoder, settings, keys, projection in (
        (model.vision_model, image_settings(model, processor), poster_keys(movies), model.visual_projection),
        (model.text_model, text_settings(model, processor), plot_keys(plots), model.text_projection),
    ):
        features = torch.randn(len(keys), projection.in_features)
        cache = FeatureCache(folder, encoder, settings, model.dtype)
        cache.features(keys, features.__getitem__)


def encoding(setup: Setup) -> Section:
    """Measures encoding from poster files and plots against the bare encoders on tensors that are ready."""
    rows = []
    kinds = {"given": (setup.given(), setup.count), shapes(setup.base): (setup.random(setup.base), setup.count // 8)}
    for kind, ((model, processor), count) in kinds.items():
        movies = setup.part(max(count, 1))
        plots = [plots[0] for plots in movies["plots"]]
        encoder = FeatureEncoder(model, processor, setup.batch)
        images = list(image_batches(movies, processor, setup.batch))
        texts = [
            dict(processor(text=plots[start : start + setup.batch], return_tensors="pt"))
            for start in range(0, len(plots), setup.batch)
        ]
        taken = in_turn(
            {
                "bare posters": partial(run_bare, model.vision_features, on_device(images)),
                "posters": partial(encoder.images, movies),
                "bare plots": partial(run_bare, model.text_features, on_device(texts)),
                "plots": partial(encoder.texts, plots),
            },
            setup.rounds,
        )
        taken["bare movies"] = taken["bare posters"] + taken["bare plots"]
        taken["movies"] = taken["posters"] + taken["plots"]
        for name in ("posters", "plots", "movies"):
            bare = taken[f"bare {name}"]
            rows.append(
                {
                    "encoders": f"{kind}: {name}",
                    "from files, per second": len(movies) / taken[name],
                    "bare encoder, per second": len(movies) / bare,
                    "ratio": bare / taken[name],
                    "how": f"{setup.rounds} rounds of {len(movies):,}",
                }
            )
    return {
        "title": f"Encoding: from poster files and plots, against the bare encoders, batch {setup.batch}",
        "settings": {"batch": setup.batch, "rounds": setup.rounds},
        "rows": rows,
        "note": "A bare encoder gets float tensors that are ready. A movie is a poster and a plot.",
    }
