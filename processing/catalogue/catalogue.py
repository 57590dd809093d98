"""A catalogue of movies: any known layout in, one checked DatasetDict out."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset, DatasetDict, Features, Image, List, Value, concatenate_datasets

from .image_checks import check_posters
from .layouts import read_source
from .near_duplicates import Thumbnails, near_duplicates
from .ocr_cache import read_posters
from .ocr_lines import LINES, check_lines
from .rows import CatalogueError, Row, Source, as_text
from .splits import SPLIT_SIZES, assign_splits, describe_shares
from .titles import series_of

__all__ = ["FEATURES", "BadRow", "Catalogue", "CatalogueError", "load_catalogue"]

FEATURES = Features(
    id=Value("string"),
    image=Image(),
    plots=List(Value("string")),
    title=Value("string"),
    year=Value("int64"),
    genres=List(Value("string")),
    series=Value("string"),
    poster_text=LINES,
)
HELD_OUT = ("validation", "test")
TRAIN_SIZES = {"train": 7 / 8, "validation": 1 / 8}  # where a catalogue has no validation
MAX_PLOT = 100_000  # characters
TOGETHER = "near-duplicates kept together"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why.

    Example:
        >>> print(BadRow("metadata.jsonl row 12 (id 45)", "posters/45.jpg", "image is truncated"))
        metadata.jsonl row 12 (id 45), posters/45.jpg: image is truncated
    """

    row: str
    file: str
    reason: str

    def __str__(self) -> str:
        """One line, whatever the file holds."""
        line = f"{self.row}, {self.file}: {self.reason}" if self.file else f"{self.row}: {self.reason}"
        return " ".join(line.encode(errors="backslashreplace").decode().split())


@dataclass(frozen=True)
class Catalogue:
    """Checked movies, in splits with the columns of `FEATURES`, and what was left out.

    Posters of a folder stay on disk: `image` holds their paths. `seed` deals the splits that are made here.
    `poster_text` holds the lines that are printed on a poster, None where nobody has read it: `with_poster_text` does.
    `thumbnails` holds what near-duplicates are known by, (32, 32) of each poster by the movie's id.
    """

    source: str
    splits: DatasetDict
    bad_rows: list[BadRow]
    plot_columns: list[str]
    split_by: str
    seed: int = 0
    posters_read: int = 0
    posters_failed: tuple[str, ...] = ()
    thumbnails: Mapping[str, Thumbnails] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if shared := self.shared_series:
            logger.warning("%s: %d series of validation or test lie in another split too", self.source, shared)

    def leaking_series(self) -> dict[str, dict[str, list[str]]]:
        """The series of validation and test that lie in another split too: the ids of their movies, split by split."""
        of: dict[str, dict[str, list[str]]] = {}
        for name, split in self.splits.items():
            for key, number in zip(split["series"][:], split["id"][:], strict=True):
                of.setdefault(key, {}).setdefault(name, []).append(number)
        return {key: ids for key, ids in of.items() if len(ids) > 1 and not ids.keys().isdisjoint(HELD_OUT)}

    @property
    def shared_series(self) -> int:
        """How many series of validation and test lie in another split too."""
        return len(self.leaking_series())

    @property
    def shared_plots(self) -> int:
        """How many movies have a first plot that is another movie's too: as queries they can only tie."""
        counts = Counter(plots[0] for split in self.splits.values() for plots in split["plots"][:])
        return sum(count for count in counts.values() if count > 1)

    def movies(self, names: Sequence[str]) -> Dataset:
        """The movies of the named splits, one after the other.

        Raises:
            CatalogueError: a split is not there, or there are not two movies: a right one needs a wrong one.
        """
        if missing := [name for name in names if name not in self.splits]:
            there = ", ".join(self.splits)
            raise CatalogueError(f"{self.source} has no split {missing[0]!r}; it has {there}")
        movies = concatenate_datasets([self.splits[name] for name in names])
        if len(movies) < 2:
            raise CatalogueError(
                f"{' + '.join(names)} of {self.source} holds {len(movies)} movie: at least 2 are needed. Where there "
                "are too few to split them by series, a column `split` says which is in which."
            )
        return movies

    def with_validation(self) -> "Catalogue":
        """Returns the catalogue itself if it has a validation split, otherwise one with about an eighth of train in it.

        `assign_splits` chooses the movies: whole series, and near-duplicates with them.

        Raises:
            CatalogueError: there is no train, or train or validation would be empty.

        Example:
            >>> load_catalogue("my_movies").with_validation().report()["split_by"]  # doctest: +SKIP
            'given; validation by series out of train, near-duplicates kept together (seed 0): train 88.1 % ...'
        """
        if "validation" in self.splits:
            return self
        train = self.movies(["train"])
        ids = train["id"][:]
        pairs = near_duplicates(train["plots"][:], np.stack([self.thumbnails[number] for number in ids]))
        try:
            names = assign_splits(ids, train["series"][:], pairs, TRAIN_SIZES, self.seed)
        except ValueError as error:
            raise CatalogueError(f"no validation can be taken from train of {self.source}: {error}") from None
        parts = {part: train.select([i for i, of in enumerate(names) if of == part]) for part in TRAIN_SIZES}
        others = {name: split for name, split in self.splits.items() if name != "train"}
        shares = describe_shares(names, TRAIN_SIZES)
        split_by = f"{self.split_by}; validation by series out of train, {TOGETHER} (seed {self.seed}): {shares}"
        return replace(self, splits=DatasetDict({**parts, **others}), split_by=split_by)

    def with_poster_text(self, folder: Path, language: str | None = None) -> "Catalogue":
        """The catalogue with every poster read: by OCR, where the source does not say what is printed on it.

        A poster that cannot be read has no lines, is logged, and is named in the report.

        Args:
            folder: keeps what was read, see `read_posters`.
            language: on the posters, see `recognize_text`.

        Raises:
            CatalogueError: posters are to be read, and rapidocr or its model of the language is not installed.

        Example:
            >>> load_catalogue("my_movies").with_poster_text(Path("cache")).report()["poster_text"]  # doctest: +SKIP
            {'given': 0, 'read': 160, 'without_text': 3, 'failed': []}
        """
        movies = concatenate_datasets([*self.splits.values()])
        texts = movies["poster_text"][:]
        unread = [index for index, lines in enumerate(texts) if lines is None]
        if not unread:
            return self
        try:
            read, failed = read_posters(movies.select(unread), folder, language)
        except (ImportError, ValueError) as error:
            raise CatalogueError(f"{len(unread)} posters of {self.source} are not read: {error}") from None
        for index, lines in zip(unread, read, strict=True):
            texts[index] = lines
        splits, start = {}, 0
        for name, split in self.splits.items():
            column = texts[start : start + len(split)]
            split = split.remove_columns("poster_text").add_column("poster_text", column, feature=LINES)
            splits[name], start = split, start + len(split)
        names = tuple(f"{movies[unread[index]]['id']}: {reason}" for index, reason in failed.items())
        return replace(self, splits=DatasetDict(splits), posters_read=len(unread) - len(failed), posters_failed=names)

    def report(self) -> dict[str, Any]:
        """What was read, for the JSON file of a run."""
        texts = [lines for split in self.splits.values() for lines in split["poster_text"][:] if lines is not None]
        return {
            "source": self.source,
            "rows": {name: len(split) for name, split in self.splits.items()},
            "bad_rows": {"count": len(self.bad_rows), "lines": [str(bad) for bad in self.bad_rows]},
            "plot_columns": self.plot_columns,
            "split_by": self.split_by,
            "shared_series": self.shared_series,
            "shared_plots": self.shared_plots,
            "poster_text": {
                "given": len(texts) - self.posters_read - len(self.posters_failed),
                "read": self.posters_read,
                "without_text": texts.count([]),
                "failed": list(self.posters_failed),
            },
        }


def load_catalogue(
    source: str,
    *,
    plot_columns: Sequence[str] | None = None,
    on_bad_rows: Literal["error", "skip"] = "error",
    seed: int = 0,
) -> Catalogue:
    """Read a catalogue and check every row and every poster of it.

    Args:
        source: a folder (metadata.jsonl or metadata.csv with posters, the MovieLens layout, a saved dataset),
            or any name that `datasets.load_dataset` takes.
        plot_columns: the columns to take as plots, in this order; by default those with a known name.
        on_bad_rows: "error" checks all rows, then stops; "skip" leaves bad ones out, logs and counts them.
        seed: of the splits that are made where the source has none: by series, and movies that share a poster or one
            of these plots, nearly, are in one split (`assign_splits`).

    Raises:
        CatalogueError: it cannot be read, rows are bad, or a split is empty; the message says which and why.

    Example:
        >>> catalogue = load_catalogue("my_movies", on_bad_rows="skip")  # doctest: +SKIP
        >>> catalogue.report()["rows"]  # doctest: +SKIP
        {'train': 112, 'validation': 16, 'test': 32}
    """
    found = read_source(source, plot_columns)
    movies, problems = _check_rows(found)
    unbroken = [index for index in range(len(movies)) if index not in problems]
    bad_posters, thumbnails = check_posters(found.images, unbroken)
    problems |= bad_posters
    bad_rows = [_bad_row(found.rows[i], found.images[i]["image"], problems[i]) for i in sorted(problems)]
    if bad_rows and on_bad_rows != "skip":
        lines = [f"  {bad}" for bad in bad_rows[:20]]
        if len(bad_rows) > 20:
            lines.append(f"  and {len(bad_rows) - 20} more")
        hint = "Mend them, or leave them out with --on_bad_rows skip."
        raise CatalogueError("\n".join([f"{source} has bad rows ({len(bad_rows)}):", *lines, hint]))
    for bad in bad_rows:
        logger.warning("left out: %s", bad)

    good = [index for index in range(len(movies)) if index not in problems]
    if not good:
        raise CatalogueError(f"no rows are left of {source}: all {len(movies)} are bad, first {bad_rows[0]}")
    names: list[str | None] = [movies[index]["split"] for index in good]
    given = {movie.get("split") for movie in movies} - {None}
    split_by = found.split_by
    if not given:
        ids, series, plots = ([movies[index][name] for index in good] for name in ("id", "series", "plots"))
        pairs = near_duplicates(plots, np.stack([thumbnails[index] for index in good]))
        try:
            assigned = assign_splits(ids, series, pairs, SPLIT_SIZES, seed)
        except ValueError as error:
            raise CatalogueError(f"{source} cannot be split: {error}") from None
        names = [*assigned]
        split_by = f"series, {TOGETHER} (seed {seed}): {describe_shares(assigned, SPLIT_SIZES)}"
    if None in names:
        first = found.rows[good[names.index(None)]].where
        message = f"{names.count(None)} of {len(names)} rows in {source} have no split, the others do"
        raise CatalogueError(f"{message}; the first is {first}")
    for name in given - set(names):
        raise CatalogueError(f"no rows are left of split {name!r} in {source}: all its rows are bad")

    # Bad rows stay in as blanks until `select`, which is lazy: no image is copied.
    texts = {name: [movie.get(name) for movie in movies] for name in FEATURES if name != "image"}
    table = Dataset.from_dict(texts, Features({name: FEATURES[name] for name in texts}))
    table = concatenate_datasets([table, found.images], axis=1).select_columns(list(FEATURES))
    table = table.cast_column("image", Image())
    order = [name for name in dict.fromkeys([*SPLIT_SIZES, *names]) if name in names]
    splits = {name: table.select([good[i] for i, of in enumerate(names) if of == name]) for name in order}
    pictures = {movies[index]["id"]: thumbnails[index] for index in good}
    return Catalogue(source, DatasetDict(splits), bad_rows, found.plot_columns, split_by, seed, thumbnails=pictures)


def _check_rows(found: Source) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """The fields of each movie but its image, plus `split`; and the reason of each bad row by its index."""
    movies: list[dict[str, Any]] = []
    problems: dict[int, str] = {}
    taken: dict[str, str] = {}
    for index, row in enumerate(found.rows):
        movie: dict[str, Any] = {}
        movies.append(movie)
        try:
            movie["split"] = read_split(row.split)
            if row.problem:
                raise ValueError(row.problem)
            movie |= read_movie(row.fields, found.plot_columns)
            if movie["poster_text"] is None:
                movie["poster_text"] = found.poster_text.get(movie["id"])
            if movie["id"] in taken:
                raise ValueError(f"the id is taken by {taken[movie['id']]}")
            taken[movie["id"]] = row.where
        except ValueError as error:
            problems[index] = str(error)
    return movies, problems


def read_movie(fields: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """The fields of a movie, but its image, out of a row's; ValueError, with the reason, for a bad row.

    Args:
        fields: of the row, by names in lower case.
        columns: those of the plots.

    Example:
        >>> read_movie({"id": 7, "plot": "A whale.", "year": "1851"}, ["plot"])["plots"]
        ['A whale.']
    """
    number, title = as_text(fields.get("id"), "id"), as_text(fields.get("title"), "title")
    if not number:
        raise ValueError("no id")
    plots = [plot for column in columns for plot in _texts(fields.get(column), column)]
    if not plots:
        raise ValueError("no plot")
    if (longest := max(map(len, plots))) > MAX_PLOT:
        raise ValueError(f"a plot of {longest} characters, the limit is {MAX_PLOT}")
    genres = fields.get("genres")
    return {
        "id": number,
        "plots": plots,
        "title": title,
        "year": _year(fields.get("year")),
        "genres": _texts(re.split(r"[|,;]", genres) if isinstance(genres, str) else genres, "genres"),
        "series": as_text(fields.get("series"), "series") or (series_of(title) if title else number),
        "poster_text": check_lines(fields.get("poster_text")),
    }


def _texts(value: Any, what: str) -> list[str]:
    """The texts in a list, or the one text, without the absent ones."""
    texts = [as_text(item, what) for item in (value if isinstance(value, list) else [value])]
    return [text for text in texts if text]


def _year(value: Any) -> int | None:
    text = as_text(value, "year")
    if not text:
        return None
    if not re.fullmatch(r"-?\d{1,4}(\.0)?", text):
        raise ValueError(f"bad year {text[:20]!r}")
    return int(float(text))


def read_split(value: Any) -> str | None:
    """The name of a row's split, None if it has none; ValueError for what cannot be a name."""
    name = as_text(value, "split")
    if not name:
        return None
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"bad name of a split {name[:20]!r}: letters, digits and _ only")
    return name


def _bad_row(row: Row, image: Mapping[str, Any] | None, reason: str) -> BadRow:
    number = row.fields.get("id")
    where = row.where if number is None else f"{row.where} (id {str(number)[:40]})"
    return BadRow(where, row.poster or Path((image or {}).get("path") or "").name, reason)
