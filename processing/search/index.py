"""A catalogue's embeddings in a folder, to search.

    FOLDER/index.json                              which model embedded which movies
    FOLDER/data/train-00000-of-00007.parquet ...   id, title, first plot, the poster's path, embeddings
    FOLDER/poster.faiss, poster.npz, plot. ...     what finds candidates, where there are many movies

Files are whole or absent: they are written under another name first. So a run that was killed goes on where it stopped,
and several processes may each write some of the shards.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Value, load_dataset
from datasets.exceptions import DatasetsError
from numpy.typing import NDArray

from processing.reporting.results import write_results

from .exact import Answers, FastSearch, exact_answers
from .storage import SIDES, Embeddings, column_features

RECORD = "index.json"
EXACT_UP_TO = 50_000  # movies
# What must be the same in a run that goes on.
SAME = ("model_key", "data_fingerprint", "rows", "shard_size", "dense", "sparse")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CatalogueIndex:
    """An index in its folder.

    Args:
        folder: of the index.
        record: of index.json: `model`, its name; `model_key`, a hash of what embeddings depend on; `data_fingerprint`
            of the movies; their number `rows`; `shard_size`; `dense` and `sparse`, the numbers of a meaning and the
            places of a bag.
    """

    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def start(cls, folder: Path, record: Mapping[str, Any]) -> "CatalogueIndex":
        """A new index, or the one that is there if it is of the same movies and model.

        Raises:
            ValueError: the folder holds another index, or what is no index.
            OSError: it cannot be written.
        """
        if not (folder / RECORD).is_file():
            if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
                raise ValueError(f"{folder} holds something else: name a new folder for the index.")
            write_results(folder / RECORD, dict(record))
        found = cls.open(folder)
        if differing := [name for name in SAME if found.record[name] != record[name]]:
            raise ValueError(
                f"{folder} holds another index (its {', '.join(differing)} differs): name a new folder, or remove it."
            )
        return found

    @classmethod
    def open(cls, folder: Path) -> "CatalogueIndex":
        """The index in a folder, finished or not; ValueError, naming it, if it is none."""
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if missing := [name for name in ("model", *SAME) if name not in record]:
                raise ValueError(f"its {RECORD} says nothing of {', '.join(missing)}")
            least = {"rows": 1, "shard_size": 1, "dense": 1, "sparse": 0}
            if wrong := [name for name, number in least.items() if not number <= record[name]]:
                raise ValueError(f"its {RECORD} gives {wrong[0]} as {record[wrong[0]]}")
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} is no index of a catalogue: {error}") from None
        return cls(folder, record)

    @property
    def shards(self) -> list[Path]:
        """The files of the movies, there or not yet, in their order."""
        count = -(-self.record["rows"] // self.record["shard_size"])
        return [self.folder / "data" / f"train-{shard:05d}-of-{count:05d}.parquet" for shard in range(count)]

    def rows(self, shard: int) -> range:
        """The movies of a shard, by their place in the catalogue."""
        size = self.record["shard_size"]
        return range(shard * size, min((shard + 1) * size, self.record["rows"]))

    def missing(self) -> list[int]:
        """The shards that are not there, or damaged."""
        return [shard for shard, file in enumerate(self.shards) if _length(file) != len(self.rows(shard))]

    def write(self, shard: int, movies: Dataset, posters: NDArray[np.float32], plots: NDArray[np.float32]) -> None:
        """Write a shard.

        Args:
            shard: its number.
            movies: of a catalogue, those of `rows`.
            posters, plots: their embeddings, (movies, dense + sparse).

        Raises:
            ValueError: an embedding is not finite.
            OSError: it cannot be written.
        """
        for embeds in (posters, plots):
            if not (finite := np.isfinite(embeds).all(axis=1)).all():
                raise ValueError(f"The embedding of {movies[int(np.argmin(finite))]['id']} is not a number.")
        dense, sparse = self.record["dense"], self.record["sparse"]
        text = Value("string")
        shape = Features({"id": text, "title": text, "plot": text, "poster": text})
        images = movies.select_columns("image").cast_column("image", Image(decode=False))
        columns: dict[str, Any] = {"id": movies["id"][:], "title": movies["title"][:]}
        columns["plot"] = [first for first, *_ in movies["plots"]]
        columns["poster"] = [row["image"]["path"] for row in images]
        for side, embeds in zip(SIDES, (posters, plots), strict=True):
            columns |= Embeddings.of_array(embeds, dense).to_columns(side)
        file = self.shards[shard]
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        Dataset.from_dict(columns, Features({**shape, **column_features(dense, sparse)})).to_parquet(partial)
        partial.replace(file)

    def add_fast_search(self) -> None:
        """Index both sides for fast search, where that is not done yet.

        Raises:
            ImportError: faiss is not installed.
        """
        movies = self.movies()
        for side in SIDES:
            if not self.is_fast(side):
                FastSearch.build(movies, side, self.embeddings(movies, side)).save(self.folder)

    def is_fast(self, side: str) -> bool:
        """Whether a side, "poster" or "plot", is indexed for fast search."""
        return (self.folder / f"{side}.faiss").is_file()

    def movies(self) -> Dataset:
        """All movies, with their embeddings.

        Raises:
            ValueError: shards are missing or damaged.
        """
        if missing := self.missing():
            raise ValueError(
                f"{self.folder} is not finished: {len(missing)} of {len(self.shards)} shards are missing or damaged, "
                f"first {self.shards[missing[0]].name}. scripts/embed.py goes on with it."
            )
        try:
            return load_dataset("parquet", data_files=[*map(str, self.shards)], split="train")
        except DatasetsError as error:
            damaged = next((file for file in self.shards if not _can_be_read(file)), self.folder)
            reason = " ".join(str(error.__cause__ or error).split())
            raise ValueError(f"{damaged} is damaged: {reason} Remove it; scripts/embed.py goes on.") from None

    def embeddings(self, movies: Dataset, side: str) -> Embeddings:
        """Those of one side of `movies`, in memory."""
        return Embeddings.of_dataset(movies, side, self.record["sparse"])

    def answers(self, movies: Dataset, side: str, queries: NDArray[np.float32], k: int) -> Answers:
        """The best of one side of `movies`: indices and scores, (queries, k) both, best first.

        Exact, unless the side is indexed for fast search. Where that cannot be read because faiss is not installed,
        or ought to be there, is said in the log.

        Raises:
            ValueError: k is less than 1 or more than there are movies, or a file is damaged.
        """
        if not 1 <= k <= len(movies):
            raise ValueError(f"k must lie in 1..{len(movies)}, the number of movies, not {k}")
        rows = self.embeddings(movies, side)
        can = find_spec("faiss") is not None
        if self.is_fast(side) and can:
            try:
                return FastSearch.load(movies, side, rows, self.folder).answers(queries, k)
            except (EOFError, KeyError, OSError, RuntimeError, ValueError, BadZipFile) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise ValueError(
                    f"{self.folder / side}.faiss or .npz is damaged: {reason}. Remove both; scripts/embed.py goes on."
                ) from None
        if self.is_fast(side) or len(rows) > EXACT_UP_TO:
            how = "scripts/embed.py indexes them" if can else "pip install '.[search]' brings FAISS"
            logger.warning("%s movies are searched one by one, which is slow: %s.", f"{len(rows):,}", how)
        return exact_answers(queries, rows, k)


def _length(file: Path) -> int | None:
    """The rows of a Parquet file; None if there is none, or it is damaged."""
    try:
        return pq.read_metadata(file).num_rows
    except (OSError, ValueError):  # pyarrow's errors of damaged files are ValueErrors
        return None


def _can_be_read(file: Path) -> bool:
    try:
        pq.read_table(file)
    except (OSError, ValueError):
        return False
    return True
