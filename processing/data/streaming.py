"""Training on a catalogue that is larger than the disk: rows are streamed, and checked as they are read.

Nothing is downloaded or decoded as a whole. Each process reads its shards one after the other, in a new random order
in each pass, and keeps one shuffle buffer of undecoded rows in memory.
"""

import hashlib
import itertools
import logging
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import fsspec
import numpy as np
import torch
from datasets import Dataset, Features, Image, IterableDataset, List, concatenate_datasets, load_dataset
from datasets.distributed import split_dataset_by_node
from torch.utils.data import IterableDataset as TorchIterableDataset
from torch.utils.data import get_worker_info

from processing.catalogue.movies import MOVIE_FEATURES, read_movie
from processing.catalogue.sources.columns import Columns
from processing.catalogue.sources.hub_datasets import find_image_column, row_fields
from processing.catalogue.sources.rows import ROW_NUMBER, BadRow, CatalogueError, find_columns
from processing.catalogue.sources.values import split_name
from processing.posterclip.ocr_text import compose_text
from processing.posterclip.processing_posterclip import PosterCLIPProcessor
from processing.posterclip.rgb import open_image

from .masking import mask_names
from .pixels import PosterPixels
from .titles import draw_title
from .transforms import augment

__all__ = ["MovieStream", "open_stream"]

FRUITLESS_PASSES = 20  # in a row: in a single pass, a process can by chance get only shards without a good row

logger = logging.getLogger(__name__)


def open_stream(source: str, splits: Sequence[str]) -> IterableDataset:
    """Returns the rows of the named splits as a stream, before any is read.

    If the source lacks one of these splits but its rows have a column `split`, the stream is of all rows, and
    `MovieStream` selects by that column.

    Args:
        source: a name on the Hub, or a folder that `datasets.load_dataset` can stream, such as one of Parquet files.
        splits: their names; a source without splits is one split `train`.

    Raises:
        CatalogueError: it cannot be streamed, or has no such split.

    Example:
        >>> open_stream("someone/posters", ["train"]).num_shards  # doctest: +SKIP
        512
    """
    root = Path(source).expanduser()
    for layout, file in {"the MovieLens layout": "movies.dat", "a saved dataset": "dataset_dict.json"}.items():
        if (root / file).is_file():
            raise CatalogueError(f"{source} is {layout}, which cannot be streamed: leave --streaming out")
    try:
        parts = load_dataset(str(root) if root.is_dir() else source, streaming=True)
    except Exception as error:  # every builder has its own
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CatalogueError(f"{source} cannot be streamed ({reason})") from error
    parts = {split_name(name) or name: part for name, part in parts.items()}
    missing = [name for name in splits if name not in parts]
    if missing and not all(Columns.find([*(part.features or {})])["split"] for part in parts.values()):
        raise CatalogueError(f"{source} has no split {missing[0]!r}; it has {', '.join(parts)}")
    return concatenate_datasets([parts[name] for name in (parts if missing else splits)])


class MovieStream(TorchIterableDataset):
    """An endless stream of the poster and one plot of each movie; each pass over the rows is shuffled anew.

    Each process reads its own shards, and each worker of its DataLoader a part of these, so that no row is read twice
    in a pass. If there are more processes than shards, each process reads all shards and takes its share of the rows.
    Since the stream does not end, no process waits for another that has fewer rows.

    Shuffling is a function of (seed, pass), and the plot of a movie with several is a function of (seed, pass, the
    movie's plots), so an interrupted run continues exactly as it would have.

    Not all movies of a stream are known at once, so an item's `positive_id` has two keys, one for its movie and one
    for its plot: two items are positives if either key is equal, see `losses.positives_by_id`.

    Args:
        rows: from `open_stream`.
        processor: turns posters into bytes; not needed for `movies`.
        splits: the splits to take, if the rows have a column `split`.
        plot_columns, image_column: as in `load_catalogue`.
        on_bad_rows: "error" stops at a row that cannot be used; "skip" leaves it out, logs it and counts it.
        seed: of shuffling and draws.
        augment: whether posters are augmented anew in each pass (`processing.data.transforms`).
        mask_names: whether titles and names are masked in plots (`processing.data.masking`).
        title_share: share of the items that have one of their movie's titles beside the plot, 0 to 1.
        use_poster_text: whether an item also has the text on its poster; a row without it is bad.
        buffer_size: the number of rows in the shuffle buffer.
        process_index: the index of this process.
        processes: the number of processes.
        workers: of the DataLoader.

    Raises:
        CatalogueError: there is no column of posters or plots, or there are more workers than shards.

    Example:
        >>> rows = Dataset.from_dict({"image": [b""], "plot": ["A whale."]}).to_iterable_dataset()
        >>> next(iter(MovieStream(rows)))
        Traceback (most recent call last):
        processing.catalogue.sources.rows.CatalogueError: bad row: row 0 of the stream: image is empty (0 bytes). \
Mend it, or leave such rows out with --on_bad_rows skip.
    """

    split_by_node = True

    def __init__(
        self,
        rows: IterableDataset,
        processor: PosterCLIPProcessor | None = None,
        *,
        splits: Sequence[str] = ("train",),
        plot_columns: Sequence[str] | None = None,
        image_column: str | None = None,
        on_bad_rows: Literal["error", "skip"] = "error",
        seed: int = 0,
        augment: bool = False,
        mask_names: bool = False,
        title_share: float = 0.0,
        use_poster_text: bool = False,
        buffer_size: int = 1000,
        process_index: int = 0,
        processes: int = 1,
        workers: int = 0,
    ) -> None:
        self.pixels = PosterPixels(processor.image_processor) if processor else None
        self.features = rows.features
        if self.features is None:
            raise CatalogueError("the columns of the stream are not known before it is read")
        self.image = find_image_column(self.features, image_column)
        if isinstance(self.features[self.image], List):
            raise CatalogueError(f"{self.image} holds lists of posters, which cannot be streamed")
        inner = self.features.get("json")
        others = [name for name in self.features if name not in (self.image, "json")]
        self.columns = find_columns([*others, *(inner if isinstance(inner, dict) else ())], plot_columns)
        if not 0 <= title_share <= 1:
            raise ValueError(f"title_share must lie between 0 and 1, not {title_share}.")
        self.has_id = bool(self.columns["id"])
        if not self.has_id:
            self.columns.by_field["id"] = [ROW_NUMBER]
        wanted = {name for of in self.columns.by_field.values() for name in of} | {self.image, "json"}
        self.rows = rows.select_columns([name for name in self.features if name in wanted])
        self.rows = self.rows.cast_column(self.image, Image(decode=False))
        self.splits = splits
        self.on_bad_rows = on_bad_rows
        self.seed = seed
        self.augment = augment
        self.mask_names = mask_names
        self.title_share = title_share
        self.use_poster_text = use_poster_text
        self.buffer_size = buffer_size
        self.process_index = process_index
        self.processes = processes
        shards = rows.num_shards // processes or rows.num_shards  # of the process that has the fewest
        if workers > shards:
            message = f"{workers} workers of a DataLoader cannot share {shards} shards"
            raise CatalogueError(f"{message}: set dataloader_num_workers to {shards} or less")
        self._bad_rows = torch.zeros(max(workers, 1), dtype=torch.int64).share_memory_()

    @property
    def bad_rows(self) -> int:
        """The number of rows that this process has left out so far in its first pass, prefetched batches included."""
        return int(self._bad_rows.sum())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yields items for `PairCollator`, without end."""
        fruitless = 0
        for number in itertools.count():
            fruitless += 1
            for movie in self._movies(self._pass(number), log=number == 0):
                fruitless = 0
                yield self._pair(movie, number)
            if fruitless == FRUITLESS_PASSES:
                raise CatalogueError("no rows are left of the stream: all are bad or of other splits")

    def movies(self) -> Dataset:
        """Returns all movies in the order of the rows, in memory, as a split of a catalogue to evaluate on.

        Its columns are `id`, `image`, `plots` and `poster_text`.

        Raises:
            CatalogueError: a row is bad, or there are fewer than two movies.
        """
        columns = Features({name: MOVIE_FEATURES[name] for name in ("id", "image", "plots", "poster_text")})
        movies = [{name: movie[name] for name in columns} for movie in self._movies(self.rows, log=True)]
        if len(movies) < 2:
            raise CatalogueError(f"{' + '.join(self.splits)} of the stream holds {len(movies)} movie: 2 are needed")
        return Dataset.from_list(movies, columns)

    def report(self) -> dict[str, Any]:
        """Returns what is read, for the JSON file of a run."""
        return {"streaming": True, "shards": self.rows.num_shards, "plot_columns": self.columns["plots"]}

    def _pass(self, number: int) -> IterableDataset:
        """Returns the rows of this process in a pass, after a shuffle that is the same for all processes."""
        # A new dataset, not `set_epoch`: workers share the epoch, but are not in the same pass.
        generator = np.random.default_rng([self.seed, number])
        # One shard at a time: several are read by threads, each with a group of rows in memory.
        rows = self.rows.shuffle(generator=generator, buffer_size=self.buffer_size, max_buffer_input_shards=1)
        if rows.num_shards >= self.processes:
            return rows.shard(self.processes, self.process_index)
        return split_dataset_by_node(rows, self.process_index, self.processes)

    def _movies(self, rows: IterableDataset, log: bool) -> Iterator[dict[str, Any]]:
        """Yields the good rows as movies with their poster; `log` says whether bad rows are logged and counted."""
        worker = get_worker_info()
        for number, row in enumerate(_whole(rows)):
            image = row.pop(self.image)
            fields = {ROW_NUMBER: str(number)} | row_fields(row, self.features)
            try:
                if self.columns["split"]:
                    split = split_name(fields[self.columns["split"][0]])
                    if split is None:
                        raise ValueError("no split")
                    if split not in self.splits:
                        continue
                movie = read_movie(fields, self.columns)
                if self.use_poster_text and movie["poster_text"] is None:
                    raise ValueError("no poster_text")
                content = _content(image)
                movie |= {"image": {"bytes": content, "path": None}, "has_id": self.has_id}
                movie["poster"] = open_image(content)
            except ValueError as error:
                name = f" (id {str(fields[self.columns['id'][0]])[:40]})" if self.has_id else ""
                file = Path(((image or {}).get("path") or "").split("::")[0]).name
                bad = BadRow(f"row {number} of the stream{name}", file, str(error))
                if self.on_bad_rows != "skip":
                    hint = "Mend it, or leave such rows out with --on_bad_rows skip."
                    raise CatalogueError(f"bad row: {bad}. {hint}") from None
                if log:
                    self._bad_rows[worker.id if worker else 0] += 1
                    logger.warning("left out: %s", bad)
                continue
            yield movie

    def _pair(self, movie: dict[str, Any], number: int) -> dict[str, Any]:
        """Returns a movie's item of a pass, for `PairCollator`."""
        if self.pixels is None:
            raise ValueError("Posters need a processor.")
        content = "\0".join(movie["plots"])
        text = random.Random(f"{self.seed}-{number}-{content}").choice(movie["plots"])
        if self.mask_names:
            text = mask_names(text, movie["title"])
        poster, name = movie["poster"], movie["id"] if movie["has_id"] else content
        if self.augment:
            poster = augment(poster, random.Random(f"{self.seed}-{number}-{name}-augment"))
        key = (_key(name), _key(text))
        pair = {"id": movie["id"], **self.pixels(poster), "text": text, "positive_id": key}
        if self.title_share:
            titles = [title for title in (movie["title"], *movie["other_titles"]) if title]
            drawn = draw_title(titles, self.title_share, f"{self.seed}-{number}-{name}")
            pair["title"] = "" if drawn is None else titles[drawn]
        return pair | ({"poster_text": compose_text(movie["poster_text"])} if self.use_poster_text else {})


def _whole(rows: IterableDataset) -> Iterator[dict[str, Any]]:
    """Yields the rows; raises CatalogueError if a shard is truncated or a host does not answer."""
    try:
        yield from rows
    except (OSError, ValueError) as error:
        raise CatalogueError(f"the stream cannot be read on ({type(error).__name__}: {error})") from error


def _content(image: dict[str, Any] | None) -> bytes:
    """Returns the bytes of a row's poster; raises ValueError if there is none."""
    if image is None:
        raise ValueError("no poster")
    if image["bytes"] is not None:
        return image["bytes"]
    try:
        with fsspec.open(image["path"], "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise ValueError("no such file") from None


def _key(text: str) -> int:
    """Returns a hash of a text, 63 bits."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
