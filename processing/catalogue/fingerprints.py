"""What a feature of a poster or plot depends on, before an encoder sees it: the file or text, and its processing."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset, Image

from processing.posterclip.processing_posterclip import PosterCLIPProcessor

ABOUT_FILES = {"auto_map", "processor_class"}


def poster_keys(movies: Dataset) -> list[str]:
    """A hash of each poster's file."""
    files = movies.select_columns("image").cast_column("image", Image(decode=False))
    return [_hash(row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes()) for row in files]


def plot_keys(plots: Sequence[str]) -> list[str]:
    """A hash of each plot.

    Example:
        >>> whale, shark, again = plot_keys(["A whale.", "A shark.", "A whale."])
        >>> whale == again, whale == shark
        (True, False)
    """
    return [_hash(plot.encode()) for plot in plots]


def poster_settings(processor: PosterCLIPProcessor) -> str:
    """All that decides which `pixel_values` become of a poster."""
    settings = {"class": type(processor.image_processor).__name__, **processor.image_processor.to_dict()}
    return json.dumps({name: value for name, value in settings.items() if name not in ABOUT_FILES}, sort_keys=True)


def plot_settings(processor: PosterCLIPProcessor) -> str:
    """All that decides which `input_ids` become of a plot."""
    settings = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    # What the last call left there; each call says both anew.
    del settings["truncation"], settings["padding"]
    for name in ("model_max_length", "truncation_side", "padding_side"):
        settings[name] = getattr(processor.tokenizer, name)
    return json.dumps(settings, sort_keys=True)


def fingerprint(dataset: Dataset) -> str:
    """The sha256 over id, plots, image bytes and print of every row, in order: one for the same data anywhere."""
    digest = hashlib.sha256()
    columns = [name for name in ("id", "plots", "image", "poster_text") if name in dataset.column_names]
    for row in dataset.select_columns(columns).cast_column("image", Image(decode=False)):
        image = row["image"]
        content = Path(image["path"]).read_bytes() if image["bytes"] is None else image["bytes"]
        row["image"] = hashlib.sha256(content).hexdigest()
        printed = [lines] if (lines := row.get("poster_text")) else []  # data without any keep the one they have
        digest.update(json.dumps([row["id"], row["plots"], row["image"], *printed]).encode())
    return digest.hexdigest()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
