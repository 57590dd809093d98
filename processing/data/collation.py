"""Turns the movies of a catalogue into batches of model inputs."""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol

import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from processing.posterclip.ocr_text import compose_text
from processing.posterclip.processing_posterclip import PosterCLIPProcessor
from processing.posterclip.rgb import to_rgb

from .masking import masked_names
from .pixels import POSTER_INPUTS, PosterPixels
from .titles import all_titles, draw_title
from .transforms import augment


class FeatureRows(Protocol):
    """Feature vectors, one a row: a tensor, or an object that makes a tensor of a row when it is read."""

    def __getitem__(self, row: Any, /) -> Tensor:
        """Returns the vector of a row, (feature,)."""


class MoviePairs(TorchDataset):
    """A dataset of the poster and one plot of each movie, and of some movies a title; each epoch draws anew.

    All draws are functions of (seed, epoch, index), so an interrupted run continues exactly as it would have, whatever
    the number of workers.

    Args:
        movies: a catalogue's split, with the columns `image`, `plots` and, to name rows by, `id`.
        processor: resizes posters and counts the tokens of plots; not needed for features.
        plots: of each movie, in place of its own.
        seed: of the draws.
        image_features: (movies, feature), in place of posters, for a frozen image encoder.
        text_features: (plots of all movies in order, feature), in place of plots, for a frozen text encoder.
        augment: whether posters are augmented anew each epoch (`processing.data.transforms`); not with
            `image_features`.
        use_poster_text: whether an item also has the text on its poster, from the column `poster_text`.
        poster_text_features: (movies, feature), in place of that text, for a frozen text encoder.
        poster_text_dropout: share of the items that have no poster text in an epoch, so that the model also learns
            from images alone, 0 to 1; needs `use_poster_text`.
        title_share: share of the items that have one of their movie's titles beside the plot, 0 to 1, so that the model
            learns to match with titles and without. Movies without titles show none.
        title_features: (titles of all movies in order, feature), in place of titles, for a frozen text encoder.
        genres: whether an item also has the movie's `genres`, (vocabulary,), 1 for each genre that it has. The
            vocabulary is the sorted genres of these movies.
        mask_names: whether titles and names are masked in plots (`processing.data.masking`); needs a column `title`,
            and not with `text_features`.

    Raises:
        ValueError: two of the arguments contradict each other, or a column that they need is missing or empty.

    Example:
        >>> movies = Dataset.from_dict({"plots": [["A whale.", "A captain hunts a whale."]]})
        >>> pairs = MoviePairs(movies, image_features=torch.zeros(1, 8))
        >>> sorted(pairs[0])
        ['id', 'image_features', 'positive_id', 'text']
    """

    def __init__(
        self,
        movies: Dataset,
        processor: PosterCLIPProcessor | None = None,
        *,
        plots: Sequence[Sequence[str]] | None = None,
        seed: int = 0,
        image_features: Tensor | None = None,
        text_features: FeatureRows | None = None,
        use_poster_text: bool = False,
        poster_text_features: FeatureRows | None = None,
        poster_text_dropout: float = 0.0,
        title_share: float = 0.0,
        title_features: FeatureRows | None = None,
        augment: bool = False,
        genres: bool = False,
        mask_names: bool = False,
    ) -> None:
        if mask_names and text_features is not None:
            raise ValueError("mask_names: plots that are features already (text_features) cannot be masked.")
        for name, share in (("poster_text_dropout", poster_text_dropout), ("title_share", title_share)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {share}.")
        if poster_text_dropout and not use_poster_text:
            raise ValueError("poster_text_dropout needs a model with poster text (use_poster_text).")
        self.movies = movies
        self.processor = processor
        self.pixels = PosterPixels(processor.image_processor) if processor else None
        self.plots = list(plots or movies["plots"])
        if mask_names:
            self.plots = masked_names(self.plots, movies)
        self.ids = movies["id"][:] if "id" in movies.column_names else [str(row) for row in range(len(movies))]
        self.positive_ids = positive_ids(self.plots)
        self.seed = seed
        self.augment = augment
        self.image_features = image_features
        self.text_features = text_features
        self.poster_text = [compose_text(lines) for lines in movies["poster_text"]] if use_poster_text else None
        self.poster_text_features = poster_text_features
        self.poster_text_dropout = poster_text_dropout
        titles = all_titles(movies) if title_share else []
        self.titles = titles if any(titles) else None
        self.title_share = title_share
        self.title_features = title_features
        self.genres = multi_hot(movies["genres"] if "genres" in movies.column_names else []) if genres else None
        self.first_plot = _starts(self.plots)
        self.first_title = _starts(self.titles or [])
        # Shared, so that workers which outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch of which the items are; the Trainer sets it at the start of each epoch."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    @property
    def image_features(self) -> Tensor | None:
        """(movies, feature), in place of posters; None where posters are encoded."""
        return self._image_features

    @image_features.setter
    def image_features(self, features: Tensor | None) -> None:
        if self.augment and features is not None:
            raise ValueError("augment: posters that are features already (image_features) cannot be augmented.")
        self._image_features = features

    @property
    def lengths(self) -> list[int] | None:
        """The number of tokens of each item's plot in this epoch; None where plots are features."""
        if self.text_features is not None or self._text_lengths is None:
            return None
        drawn = torch.tensor([self._drawn(index) for index in range(len(self))])
        return self._text_lengths[self.first_plot + drawn].tolist()

    @cached_property
    def _text_lengths(self) -> Tensor | None:
        if self.processor is None:
            return None
        plots = [plot for plots in self.plots for plot in plots]
        return torch.tensor([len(tokens) for tokens in self.processor.tokenizer(plots, truncation=True)["input_ids"]])

    def _drawn(self, index: int) -> int:
        return random.Random(f"{self.seed}-{self.epoch}-{index}").randrange(len(self.plots[index]))

    def __len__(self) -> int:
        """The number of movies."""
        return len(self.plots)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns the poster and a plot, or their features, and the movie's `positive_id`."""
        chosen = self._drawn(index)
        pair: dict[str, Any] = {"id": self.ids[index], "positive_id": self.positive_ids[index]}
        if self.image_features is not None:
            pair["image_features"] = self.image_features[index]
        elif self.pixels is not None:
            image = to_rgb(self.movies[index]["image"])
            if self.augment:
                image = augment(image, random.Random(f"{self.seed}-{self.epoch}-{index}-augment"))
            pair.update(self.pixels(image))
        else:
            raise ValueError("Posters need a processor, or image_features in their place.")
        if self.text_features is None:
            pair["text"] = self.plots[index][chosen]
        else:
            pair["text_features"] = self.text_features[self.first_plot[index] + chosen]
        hidden = random.Random(f"{self.seed}-{self.epoch}-{index}-text").random() < self.poster_text_dropout
        if self.poster_text_features is not None:
            pair["poster_text_features"] = self.poster_text_features[index] * (not hidden)
        elif self.poster_text is not None:
            pair["poster_text"] = "" if hidden else self.poster_text[index]
        if self.titles is not None:
            title = draw_title(self.titles[index], self.title_share, f"{self.seed}-{self.epoch}-{index}")
            if self.title_features is None:
                pair["title"] = "" if title is None else self.titles[index][title]
            elif title is None:
                pair["title_text_features"] = torch.zeros_like(self.title_features[0])
            else:
                pair["title_text_features"] = self.title_features[self.first_title[index] + title]
        if self.genres is not None:
            pair["genres"] = self.genres[index]
        return pair


def _starts(lists: Sequence[Sequence[str]]) -> Tensor:
    """Returns the place of the first item of each list among the items of all."""
    counts = torch.tensor([len(items) for items in lists], dtype=torch.int64)
    return counts.cumsum(0) - counts


def positive_ids(plots: Sequence[Sequence[str]]) -> list[int]:
    """Returns a positive id for each movie: its index, or that of the first movie with which it shares a plot.

    A loss that pushed such a movie away from the plot of the other would push it away from its own plot.

    Example:
        >>> positive_ids([["A whale."], ["A shark.", "A fish."], ["A fish."]])
        [0, 1, 1]
        >>> positive_ids([["A whale."], ["A shark."], ["A whale.", "A shark."]])
        [0, 0, 0]
    """
    first: dict[str, int] = {}
    parents = list(range(len(plots)))

    def root(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    for index, texts in enumerate(plots):
        for text in texts:
            low, high = sorted((root(index), root(first.setdefault(text, index))))
            parents[high] = low
    return [root(index) for index in range(len(plots))]


def multi_hot(genres: Sequence[Sequence[str] | None]) -> Tensor:
    """Returns the genres of each movie, (movies, vocabulary), 1 where it has one; the vocabulary is sorted.

    Raises:
        ValueError: no movie has any.

    Example:
        >>> multi_hot([["Drama"], [], ["Comedy", "Drama"]]).tolist()
        [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    """
    vocabulary = sorted({genre for names in genres for genre in names or ()})
    if not vocabulary:
        raise ValueError("None of the movies has genres, so none can be related by them.")
    return torch.tensor([[float(genre in (names or ())) for genre in vocabulary] for names in genres])


class PairCollator:
    """A collator that turns `MoviePairs` items into model inputs, with `positive_ids` and, for messages, `ids`.

    Posters stay bytes, `pixels`; its method `pixel_values` turns them into model inputs, a chunk at a time.
    """

    def __init__(self, processor: PosterCLIPProcessor) -> None:
        self.processor = processor
        self.pixel_values = PosterPixels(processor.image_processor).values

    def __call__(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        """Returns a batch: texts are tokenized, all else is stacked."""
        batch: dict[str, Any] = {"ids": [pair["id"] for pair in pairs]}
        for name in ("text", "poster_text", "title"):
            if name in pairs[0]:
                texts: dict[str, Any] = {name: [pair[name] for pair in pairs]}
                batch.update(self.processor(**texts, return_tensors="pt"))
        features = ("image_features", "text_features", "poster_text_features", "title_text_features")
        for name in ("pixels", *POSTER_INPUTS, *features, "genres"):
            if name in pairs[0]:
                batch[name] = torch.stack([pair[name] for pair in pairs])
        batch["positive_ids"] = torch.tensor([pair["positive_id"] for pair in pairs])
        return batch


def first_plots(movies: Dataset) -> list[list[str]]:
    """Returns the first plot of each movie, which evaluation uses."""
    return [plots[:1] for plots in movies["plots"]]


def image_batches(movies: Dataset, processor: PosterCLIPProcessor, batch_size: int = 32) -> Iterator[dict[str, Tensor]]:
    """Yields the model inputs of every poster of a dataset in its order, `pixel_values` and what belongs to them.

    Posters are decoded and resized by threads, one batch ahead of the one that is encoded.
    """
    pixels, images = PosterPixels(processor.image_processor), movies.select_columns("image")
    with ThreadPoolExecutor() as threads:
        batches = (range(start, min(start + batch_size, len(images))) for start in range(0, len(images), batch_size))
        started: deque[list[Future[dict[str, Tensor]]]] = deque()
        for rows in batches:
            started.append([threads.submit(lambda row: pixels(images[row]["image"]), row) for row in rows])
            if len(started) > 1:
                yield pixels.model_inputs([future.result() for future in started.popleft()])
        for futures in started:
            yield pixels.model_inputs([future.result() for future in futures])
