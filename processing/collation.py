"""From a catalogue's movies to the batches a model takes."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from .augmentation import augment
from .processing_posterclip import PosterCLIPProcessor, to_rgb


class MoviePairs(TorchDataset):
    """Poster and plot of each movie, the plot drawn anew each epoch where a movie has several.

    All draws are a function of (seed, epoch, index) alone, so a run that was interrupted goes on exactly as it would
    have, whatever the number of workers.

    Args:
        movies: a catalogue's split, with the columns `image` and `plots`.
        seed: of the draws.
        image_features: (movies, feature), in place of the posters where the encoder is frozen.
        text_features: (plots of all movies in order, feature), in place of the plots likewise.
        text_lengths: (plots of all movies in order,), the tokens of each, for batches of similar lengths; see
            `text_lengths`.
        augment: whether posters are seen in another way each epoch, by `processing.augmentation`. ValueError together
            with `image_features`, which see each poster once.
        genres: whether an item has the movie's `genres` too, (vocabulary,): 1 for each that it has. The vocabulary
            are the genres of these movies, sorted. ValueError where none of them has any.

    Example:
        >>> movies = Dataset.from_dict({"plots": [["A whale.", "A captain hunts a whale."]]})
        >>> pairs = MoviePairs(movies, image_features=torch.zeros(1, 8))
        >>> sorted(pairs[0])
        ['image_features', 'label', 'text']
    """

    def __init__(
        self,
        movies: Dataset,
        *,
        seed: int = 0,
        image_features: Tensor | None = None,
        text_features: Tensor | None = None,
        text_lengths: Tensor | None = None,
        augment: bool = False,
        genres: bool = False,
    ) -> None:
        self.movies = movies
        self.plots = list(movies["plots"])
        self.labels = same_movie_labels(self.plots)
        self.seed = seed
        self.augment = augment
        self.image_features = image_features
        self.text_features = text_features
        self.text_lengths = text_lengths
        self.genres = multi_hot(movies["genres"] if "genres" in movies.column_names else []) if genres else None
        counts = torch.tensor([len(plots) for plots in self.plots])
        self.first_plot = counts.cumsum(0) - counts
        # Shared, so that workers which outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """Which draw of plots the items show; the Trainer sets it at the start of each epoch."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    @property
    def image_features(self) -> Tensor | None:
        """(movies, feature), in place of the posters where there are any."""
        return self._image_features

    @image_features.setter
    def image_features(self, features: Tensor | None) -> None:
        if self.augment and features is not None:
            raise ValueError("augment: posters that are features already (image_features) cannot be augmented.")
        self._image_features = features

    @property
    def lengths(self) -> list[int] | None:
        """The tokens of the plot that each item shows in this epoch; None where they are not known."""
        if self.text_lengths is None or self.text_features is not None:
            return None
        drawn = torch.tensor([self._drawn(index) for index in range(len(self))])
        return self.text_lengths[self.first_plot + drawn].tolist()

    def _drawn(self, index: int) -> int:
        return random.Random(f"{self.seed}-{self.epoch}-{index}").randrange(len(self.plots[index]))

    def __len__(self) -> int:
        """The number of movies."""
        return len(self.plots)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Poster and plot, or their features, and the movie's label."""
        chosen = self._drawn(index)
        pair: dict[str, Any] = {"label": self.labels[index]}
        if self.image_features is None:
            image = to_rgb(self.movies[index]["image"])
            if self.augment:
                image = augment(image, random.Random(f"{self.seed}-{self.epoch}-{index}-augment"))
            pair["image"] = image
        else:
            pair["image_features"] = self.image_features[index]
        if self.text_features is None:
            pair["text"] = self.plots[index][chosen]
        else:
            pair["text_features"] = self.text_features[self.first_plot[index] + chosen]
        if self.genres is not None:
            pair["genres"] = self.genres[index]
        return pair


def same_movie_labels(plots: Sequence[Sequence[str]]) -> list[int]:
    """A label for each movie, its index; movies that share a plot share the label of the first of them.

    To push such a movie away from the plot of the other would be to push it away from its own.

    Example:
        >>> same_movie_labels([["A whale."], ["A shark.", "A fish."], ["A fish."]])
        [0, 1, 1]
    """
    first: dict[str, int] = {}
    labels = []
    for index, texts in enumerate(plots):
        label = min((first[text] for text in texts if text in first), default=index)
        labels.append(label)
        first.update({text: label for text in texts if text not in first})
    return labels


def multi_hot(genres: Sequence[Sequence[str] | None]) -> Tensor:
    """The genres of each movie as (movies, vocabulary), 1 where it has one; the vocabulary is sorted.

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
    """Makes a batch of model inputs, `labels` included, out of `MoviePairs` items."""

    def __init__(self, processor: PosterCLIPProcessor) -> None:
        self.processor = processor

    def __call__(self, pairs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Process what is raw, stack what is a feature already."""
        images = [pair["image"] for pair in pairs] if "image" in pairs[0] else None
        texts = [pair["text"] for pair in pairs] if "text" in pairs[0] else None
        batch: dict[str, Tensor] = {}
        if images or texts:
            batch.update(self.processor(images=images, text=texts, return_tensors="pt"))
        for name in ("image_features", "text_features", "genres"):
            if name in pairs[0]:
                batch[name] = torch.stack([pair[name] for pair in pairs])
        batch["labels"] = torch.tensor([pair["label"] for pair in pairs])
        return batch


def with_first_plot(movies: Dataset) -> Dataset:
    """The same movies with the first of their plots only, the one that evaluation uses."""
    return movies.remove_columns("plots").add_column("plots", [plots[:1] for plots in movies["plots"]])


class ImageCollator:
    """Makes `pixel_values` of movies. A class, because workers that are spawned cannot take a closure."""

    def __init__(self, processor: PosterCLIPProcessor) -> None:
        self.processor = processor

    def __call__(self, movies: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Process the posters of a batch."""
        return dict(self.processor(images=[movie["image"] for movie in movies], return_tensors="pt"))


class TextCollator:
    """Makes `input_ids` and `attention_mask` of plots."""

    def __init__(self, processor: PosterCLIPProcessor) -> None:
        self.processor = processor

    def __call__(self, plots: list[str]) -> dict[str, Tensor]:
        """Process the plots of a batch."""
        return dict(self.processor(text=plots, return_tensors="pt"))


def image_batches(
    movies: Dataset, processor: PosterCLIPProcessor, *, batch_size: int = 32, workers: int = 0
) -> DataLoader:
    """`pixel_values` of every poster, in the order of the movies."""
    posters: Any = movies.select_columns("image")
    return DataLoader(posters, batch_size, collate_fn=ImageCollator(processor), num_workers=workers)


def text_batches(movies: Dataset, processor: PosterCLIPProcessor, *, batch_size: int = 32) -> DataLoader:
    """`input_ids` and `attention_mask` of every plot of every movie, in their order."""
    plots: Any = [plot for plots in movies["plots"] for plot in plots]
    return DataLoader(plots, batch_size, collate_fn=TextCollator(processor))


def text_lengths(movies: Dataset, processor: PosterCLIPProcessor) -> Tensor:
    """The tokens of every plot of every movie, in their order, as a batch would hold them: (plots,)."""
    plots = [plot for plots in movies["plots"] for plot in plots]
    return torch.tensor([len(tokens) for tokens in processor.tokenizer(plots, truncation=True)["input_ids"]])
