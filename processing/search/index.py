"""A catalogue's embeddings in a folder, to search in.

    FOLDER/index.json                              which model embedded which movies
    FOLDER/data/train-00000-of-00007.parquet ...   id, title, first plot, the poster's path, embeddings

A file is written under another name first, so it is whole or absent. A run that was killed goes on where it stopped,
and several processes may each write some of the shards.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Value, load_dataset
from datasets.exceptions import DatasetsError

from processing.pair_retrieval.hybrid_vectors import HybridVectors

from .columns import SIDES, column_features, from_columns, to_columns
from .searcher import Searcher

RECORD = "index.json"
# A run that goes on must agree with the first one in these fields.
SAME = ("model_key", "data_fingerprint", "rows", "shard_size", "dense_dim", "ngram_dim")


@dataclass(frozen=True, eq=False)
class CatalogueIndex:
    """A folder with the embeddings of a catalogue's posters and plots.

    Args:
        folder: of the index.
        record: the content of index.json: `model`, its name; `model_key`, a hash of all that its embeddings depend on;
            `data_fingerprint` of the movies; `rows`, their number; `shard_size`; `dense_dim` and `ngram_dim`, the
            sizes of an embedding's two parts.
    """

    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def start(cls, folder: Path, record: Mapping[str, Any]) -> "CatalogueIndex":
        """Returns a new index, or the one in the folder if it is of the same movies and model.

        Raises:
            ValueError: the folder holds another index, or something else.
            OSError: the folder cannot be written.
        """
        file = folder / RECORD
        if not file.is_file():
            if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
                raise ValueError(f"{folder} holds something else: name a new folder for the index.")
            folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            partial.replace(file)
        index = cls.open(folder)
        if differing := [name for name in SAME if index.record[name] != record[name]]:
            raise ValueError(
                f"{folder} holds another index (its {', '.join(differing)} differs): name a new folder, or remove it."
            )
        return index

    @classmethod
    def open(cls, folder: Path) -> "CatalogueIndex":
        """Returns the index in a folder, finished or not.

        Raises:
            ValueError: the folder holds no index.
        """
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if missing := [name for name in ("model", *SAME) if name not in record]:
                raise ValueError(f"its {RECORD} lacks {', '.join(missing)}")
            least = {"rows": 1, "shard_size": 1, "dense_dim": 1, "ngram_dim": 0}
            if wrong := [name for name, number in least.items() if not number <= record[name]]:
                raise ValueError(f"its {RECORD} gives {wrong[0]} as {record[wrong[0]]}")
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{folder} is no index of a catalogue: {error}") from None
        return cls(folder, record)

    @property
    def shards(self) -> list[Path]:
        """The files of the movies in their order, whether or not they exist yet."""
        count = -(-self.record["rows"] // self.record["shard_size"])
        return [self.folder / "data" / f"train-{shard:05d}-of-{count:05d}.parquet" for shard in range(count)]

    def rows(self, shard: int) -> range:
        """Returns the positions in the catalogue of a shard's movies."""
        size = self.record["shard_size"]
        return range(shard * size, min((shard + 1) * size, self.record["rows"]))

    def missing(self) -> list[int]:
        """Returns the numbers of the shards that are absent or damaged."""
        return [shard for shard, file in enumerate(self.shards) if _length(file) != len(self.rows(shard))]

    def write(self, shard: int, movies: Dataset, posters: HybridVectors, plots: HybridVectors) -> None:
        """Writes a shard.

        Args:
            shard: its number.
            movies: those of `rows(shard)`.
            posters, plots: their embeddings, with `dense_dim` and `ngram_dim` numbers.

        Raises:
            ValueError: an embedding is not finite.
            OSError: the file cannot be written.
        """
        for side, embeds in zip(SIDES, (posters, plots), strict=True):
            if not (finite := np.isfinite(embeds.norms())).all():
                raise ValueError(f"The {side} embedding of {movies[int(np.argmin(finite))]['id']} is not finite.")
        dense_dim, ngram_dim = self.record["dense_dim"], self.record["ngram_dim"]
        text = Value("string")
        images = movies.select_columns("image").cast_column("image", Image(decode=False))
        columns: dict[str, Any] = {"id": movies["id"][:], "title": movies["title"][:]}
        columns["plot"] = [first for first, *_ in movies["plots"]]
        columns["poster"] = [row["image"]["path"] for row in images]
        features = Features({**dict.fromkeys(columns, text), **column_features(dense_dim, ngram_dim)})
        for side, embeds in zip(SIDES, (posters, plots), strict=True):
            columns |= to_columns(embeds, side)
        file = self.shards[shard]
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        Dataset.from_dict(columns, features).to_parquet(partial)
        partial.replace(file)

    def movies(self) -> Dataset:
        """Returns all movies with their embeddings, memory-mapped.

        Raises:
            ValueError: shards are missing or damaged.
        """
        if missing := self.missing():
            raise ValueError(
                f"{self.folder} is not finished: {len(missing)} of {len(self.shards)} shards are missing or damaged, "
                f"first {self.shards[missing[0]].name}. Run scripts/embed.py again to go on."
            )
        try:
            return load_dataset("parquet", data_files=[*map(str, self.shards)], split="train")
        except DatasetsError as error:
            damaged = next((file for file in self.shards if not _can_be_read(file)), self.folder)
            reason = " ".join(str(error.__cause__ or error).split())
            raise ValueError(f"{damaged} is damaged: {reason} Remove it and run scripts/embed.py again.") from None

    def searcher(self, movies: Dataset, side: str) -> Searcher:
        """Returns a searcher in one side, "poster" or "plot", of `movies()`; it answers any number of queries."""
        return Searcher(from_columns(movies, side, self.record["ngram_dim"]))


def _length(file: Path) -> int | None:
    """Returns the number of rows of a Parquet file; None if it is absent or damaged."""
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
