"""Hashes that identify data: a poster, a plot, a movie, a split; and the settings that process them."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from datasets import Dataset

from processing.posterclip.processing_posterclip import PosterCLIPProcessor
from processing.splits.titles import plain

from .poster_manifest import poster_keys

ABOUT_FILES = {"auto_map", "processor_class"}
KEY_LENGTH = 16  # hex digits of a movie's keys


def plot_keys(plots: Sequence[str]) -> list[str]:
    """Returns a hash of each plot.

    Example:
        >>> whale, shark, again = plot_keys(["A whale.", "A shark.", "A whale."])
        >>> whale == again, whale == shark
        (True, False)
    """
    return [_hash(plot.encode()) for plot in plots]


def movie_keys(movies: Dataset) -> dict[str, list[str]]:
    """Returns, by id, the keys that a movie is recognised by in another catalogue.

    The keys are short hashes of its poster's file, of each plot (without case, accents and punctuation), and of its
    id together with its title. An id alone is no key: the ids of two catalogues can collide.
    """
    ids = movies["id"][:]
    titles = movies["title"][:] if "title" in movies.column_names else [""] * len(ids)
    keys: dict[str, set[str]] = {}
    for number, title, plots, poster in zip(ids, titles, movies["plots"][:], poster_keys(movies), strict=True):
        texts = [f"plot {plain(plot) or plot}" for plot in plots]
        texts += [f"title {number} {plain(title) or title}"] if title else []
        keys.setdefault(number, set()).update(key[:KEY_LENGTH] for key in (poster, *plot_keys(texts)))
    return {number: sorted(of) for number, of in keys.items()}


def known_movies(keys: Mapping[str, Sequence[str]], recorded: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the ids of `keys` that share a key with any of the recorded movies.

    Example:
        >>> known_movies({"1": ["a", "b"], "2": ["c"]}, {"7": ["b"], "2": ["d"]})
        ['1']
    """
    known = {key for of in recorded.values() for key in of}
    return [number for number, of in keys.items() if not known.isdisjoint(of)]


def poster_settings(processor: PosterCLIPProcessor) -> str:
    """Returns the settings that decide which `pixel_values` a poster becomes, as JSON."""
    settings = {"class": type(processor.image_processor).__name__, **processor.image_processor.to_dict()}
    return json.dumps({name: value for name, value in settings.items() if name not in ABOUT_FILES}, sort_keys=True)


def plot_settings(processor: PosterCLIPProcessor) -> str:
    """Returns the settings that decide which `input_ids` a plot becomes, as JSON."""
    settings = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    # The last call left these two there; each call sets both anew.
    del settings["truncation"], settings["padding"]
    for name in ("model_max_length", "truncation_side", "padding_side"):
        settings[name] = getattr(processor.tokenizer, name)
    return json.dumps(settings, sort_keys=True)


def fingerprint(movies: Dataset) -> str:
    """Returns the sha256 over id, plots and poster file of every row, in order.

    Text read from the posters is no part of it: given in the catalogue or read by OCR, the movies are the same.
    """
    digest = hashlib.sha256()
    for number, plots, poster in zip(movies["id"][:], movies["plots"][:], poster_keys(movies), strict=True):
        digest.update(json.dumps([number, plots, poster]).encode())
    return digest.hexdigest()


def titles_fingerprint(movies: Dataset) -> str:
    """Returns the sha256 over titles and year of every row, in order: what `fingerprint` leaves out of a movie."""
    rows = zip(movies["title"][:], movies["other_titles"][:], movies["year"][:], strict=True)
    return _hash(json.dumps(list(rows)).encode())


def poster_text_fingerprint(movies: Dataset) -> str:
    """Returns the sha256 over the OCR lines of every poster, in order."""
    return _hash(json.dumps(movies["poster_text"][:], sort_keys=True).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
