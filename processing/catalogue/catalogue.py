"""A catalogue of movies: any known layout in, one checked DatasetDict out."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset, DatasetDict, Features, Image, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from processing.posterclip.ocr import SIZES
from processing.splits.near_duplicates import Thumbnails
from processing.splits.splits import SPLIT_SIZES, make_splits

from .movies import MOVIE_FEATURES, check_movies, source_warnings
from .ocr_cache import read_posters
from .ocr_lines import LINES, read_poster_text
from .plot_lengths import describe_cut_plots
from .poster_manifest import check_posters
from .sources.columns import Columns
from .sources.layouts import read_source
from .sources.rows import BadRow, CatalogueError, bad_row, report_bad_rows

__all__ = ["BadRow", "Catalogue", "CatalogueError", "load_catalogue"]

HELD_OUT = ("validation", "test")
TRAIN_SIZES = {"train": 7 / 8, "validation": 1 / 8}  # where a catalogue has no validation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalogue:
    """Checked movies, in splits with the columns of `MOVIE_FEATURES`, and what was left out.

    A movie with several posters has a row for each, with one id. Posters of a folder stay on disk: `image` holds their
    paths. `poster_text` holds the lines of text on a poster, None where nobody has read it: `with_poster_text` does.

    Args:
        source: the folder, table or dataset.
        splits: of the movies.
        bad_rows: those that were left out.
        columns: which column each field comes from.
        split_by: what decided the splits.
        seed: of the splits that are made here.
        warnings: what a user should know about the source, one line each.
        thumbnails: of the posters of each split that was checked, (rows, 32, 32), to find near-duplicates by.
    """

    source: str
    splits: DatasetDict
    bad_rows: list[BadRow]
    columns: Columns
    split_by: str
    seed: int = 0
    warnings: tuple[str, ...] = ()
    posters_read: int = 0
    posters_failed: tuple[str, ...] = ()
    thumbnails: Mapping[str, Thumbnails] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if count := self.shared_series:
            logger.warning("%s: %d series of validation or test lie in another split too", self.source, count)

    def leaking_series(self) -> dict[str, dict[str, list[str]]]:
        """Returns the series of validation and test that lie in another split too: the ids of their movies by split."""
        of: dict[str, dict[str, list[str]]] = {}
        for name, split in self.splits.items():
            for key, number in zip(split["series"][:], split["id"][:], strict=True):
                of.setdefault(key, {}).setdefault(name, []).append(number)
        return {key: ids for key, ids in of.items() if len(ids) > 1 and not ids.keys().isdisjoint(HELD_OUT)}

    @property
    def shared_series(self) -> int:
        """The number of `leaking_series`."""
        return len(self.leaking_series())

    @property
    def shared_plots(self) -> int:
        """The number of movies that have the same first plot as another movie: as queries they can only tie."""
        rows = (row for split in self.splits.values() for row in zip(split["id"][:], split["plots"][:], strict=True))
        counts = Counter(plot for _, plot in {(number, plots[0]) for number, plots in rows})
        return sum(count for count in counts.values() if count > 1)

    def movies(self, names: Sequence[str]) -> Dataset:
        """Returns the movies of the named splits, one after the other.

        Raises:
            CatalogueError: a split is not there, or there are fewer than two rows.
        """
        if missing := [name for name in names if name not in self.splits]:
            raise CatalogueError(f"{self.source} has no split {missing[0]!r}; it has {', '.join(self.splits)}")
        movies = concatenate_datasets([self.splits[name] for name in names])
        if len(movies) < 2:
            raise CatalogueError(
                f"{' + '.join(names)} of {self.source} holds {len(movies)} movie: at least 2 are needed. Where there "
                "are too few to split them by series, a column `split` says which is in which."
            )
        return movies

    def with_validation(self) -> "Catalogue":
        """Returns the catalogue itself if it has a validation split, otherwise one with about an eighth of train in it.

        `make_splits` chooses the movies, by series and near-duplicates.

        Raises:
            CatalogueError: there is no train, or train or validation would be empty.

        Example:
            >>> load_catalogue("my_movies").with_validation().report()["split_by"]  # doctest: +SKIP
            'given; validation from train by series and near-duplicates (seed 0): train 88.1 % (aim 87.5 %) ...'
        """
        if "validation" in self.splits:
            return self
        train = self.movies(["train"])
        ids, series, plots = train["id"][:], train["series"][:], train["plots"][:]
        try:
            made = make_splits(ids, series, plots, self.thumbnails["train"], TRAIN_SIZES, self.seed)
        except ValueError as error:
            raise CatalogueError(f"no validation can be taken from train of {self.source}: {error}") from None
        rows = {part: [i for i, of in enumerate(made.names) if of == part] for part in TRAIN_SIZES}
        parts = {part: train.select(of) for part, of in rows.items()}
        others = {name: split for name, split in self.splits.items() if name != "train"}
        thumbnails = {**self.thumbnails, **{part: self.thumbnails["train"][of] for part, of in rows.items()}}
        return replace(
            self,
            splits=DatasetDict({**parts, **others}),
            split_by=f"{self.split_by}; validation from train by {made.split_by}",
            warnings=(*self.warnings, *made.warnings),
            thumbnails=thumbnails,
        )

    def with_poster_text(
        self, folder: Path, language: str | None = None, sizes: Sequence[int] = SIZES, splits: Sequence[str] = ()
    ) -> "Catalogue":
        """Returns the catalogue with the text on its posters, read by OCR where the source does not give it.

        A poster that cannot be read has no lines, is logged, and is named in the report.

        Args:
            folder: keeps what was read, see `read_posters`.
            language, sizes: see `recognize_text`.
            splits: those whose posters are read; all by default.

        Raises:
            CatalogueError: posters are to be read, and rapidocr or its model of the language is not installed.

        Example:
            >>> load_catalogue("my_movies").with_poster_text(Path("cache")).report()["poster_text"]  # doctest: +SKIP
            {'given': 0, 'read': 160, 'without_text': 3, 'failed': []}
        """
        needed = [name for name in self.splits if not splits or name in splits]
        movies = concatenate_datasets([self.splits[name] for name in needed])
        texts = movies["poster_text"][:]
        unread = [index for index, lines in enumerate(texts) if lines is None]
        if not unread:
            return self
        try:
            read, failed = read_posters(movies.select(unread), folder, language, sizes)
        except (ImportError, ValueError) as error:
            raise CatalogueError(f"{len(unread)} posters of {self.source} are not read: {error}") from None
        for index, lines in zip(unread, read, strict=True):
            texts[index] = lines
        found, start = DatasetDict(self.splits), 0
        for name in needed:
            split = self.splits[name]
            column = texts[start : start + len(split)]
            found[name] = split.remove_columns("poster_text").add_column("poster_text", column, feature=LINES)
            start += len(split)
        names = tuple(f"{movies[unread[index]]['id']}: {reason}" for index, reason in failed.items())
        return replace(self, splits=found, posters_read=len(unread) - len(failed), posters_failed=names)

    def report(self, tokenizer: PreTrainedTokenizerBase | None = None) -> dict[str, Any]:
        """Returns what was read, for the JSON file of a run.

        Args:
            tokenizer: counts the plots that are cut at its limit; without one, a rule of thumb does.
        """
        texts = [lines for split in self.splits.values() for lines in split["poster_text"][:] if lines is not None]
        plots = [plot for split in self.splits.values() for of in split["plots"][:] for plot in of]
        cut = describe_cut_plots(plots, tokenizer)
        genres = Counter(genre for split in self.splits.values() for of in split["genres"][:] for genre in of)
        return {
            "source": self.source,
            "rows": {name: len(split) for name, split in self.splits.items()},
            "bad_rows": {"count": len(self.bad_rows), "lines": [str(bad) for bad in self.bad_rows]},
            "columns": self.columns.report(),
            "plot_columns": self.columns["plots"],
            "genres": dict(genres.most_common()),
            "split_by": self.split_by,
            "shared_series": self.shared_series,
            "shared_plots": self.shared_plots,
            "poster_text": {
                "given": len(texts) - self.posters_read - len(self.posters_failed),
                "read": self.posters_read,
                "without_text": texts.count([]),
                "failed": list(self.posters_failed),
            },
            "warnings": [*self.warnings, *([cut] if cut else [])],
        }

    def summary(self, tokenizer: PreTrainedTokenizerBase | None = None) -> list[str]:
        """Returns what was read, in lines to print.

        Args:
            tokenizer: as in `report`.
        """
        report = self.report(tokenizer)
        rows = ", ".join(f"{name} {count}" for name, count in report["rows"].items())
        used = {kind: of if isinstance(of, str) else " + ".join(of) for kind, of in report["columns"].items()}
        genres = [f"{genre} {count}" for genre, count in report["genres"].items()]
        return [
            f"rows: {rows}; splits: {self.split_by}",
            f"columns: {', '.join(f'{kind} from {of}' for kind, of in used.items())}",
            f"genres: {', '.join([*genres[:5], *(['...'] if len(genres) > 5 else [])]) or 'none'}",
            *([f"bad rows left out: {len(self.bad_rows)}"] if self.bad_rows else []),
            *(f"warning: {line}" for line in report["warnings"]),
        ]


def load_catalogue(
    source: str,
    *,
    plot_columns: Sequence[str] | None = None,
    image_column: str | None = None,
    on_bad_rows: Literal["error", "skip"] = "error",
    seed: int = 0,
    splits: Sequence[str] = (),
) -> Catalogue:
    """Returns a catalogue of which every row was checked, and every poster of the splits that are needed.

    Args:
        source: a folder or table in one of the layouts of `processing.catalogue.sources.layouts`, or the name of a
            dataset on the Hub.
        plot_columns: the columns to take as plots, in this order; by default those with a known name.
        image_column: the column of the posters; by default one with a known name or of type Image.
        on_bad_rows: "error" checks all rows, then stops; "skip" leaves bad ones out, logs and counts them.
        seed: of the splits that are made where the source has none (`make_splits`).
        splits: those whose posters are checked, where the source says which row is in which; all by default.

    Raises:
        CatalogueError: it cannot be read, rows are bad, or a split is empty; the message says which and why.

    Example:
        >>> load_catalogue("my_movies", on_bad_rows="skip").report()["rows"]  # doctest: +SKIP
        {'train': 112, 'validation': 16, 'test': 32}
    """
    found = read_source(source, plot_columns, image_column)
    given_text = read_poster_text(Path(source).expanduser())
    movies, problems = check_movies(found, given_text)
    unbroken = [index for index in range(len(movies)) if index not in problems]
    needed = [index for index in unbroken if not splits or movies[index]["split"] in (None, *splits)]
    bad_posters, thumbnails = check_posters(found.images, needed)
    problems |= bad_posters
    bad_rows = [bad_row(found.rows[i], found.columns, problems[i], found.images[i]["image"]) for i in sorted(problems)]
    bad_rows += given_text.bad_rows
    report_bad_rows(source, bad_rows, on_bad_rows)

    good = [index for index in range(len(movies)) if index not in problems]
    if not good:
        raise CatalogueError(f"no rows are left of {source}: all {len(movies)} are bad, first {bad_rows[0]}")
    names: list[str | None] = [movies[index]["split"] for index in good]
    given = {movie.get("split") for movie in movies} - {None}
    split_by, warnings = found.split_by, source_warnings(found, [movies[i] for i in good], given_text, bool(given))
    if not given:
        ids, series, plots = ([movies[index][name] for index in good] for name in ("id", "series", "plots"))
        pictures = np.stack([thumbnails[index] for index in good])
        try:
            made = make_splits(ids, series, plots, pictures, SPLIT_SIZES, seed)
        except ValueError as error:
            raise CatalogueError(f"{source} cannot be split: {error}") from None
        names, split_by, warnings = [*made.names], made.split_by, [*warnings, *made.warnings]
    if None in names:
        first = found.rows[good[names.index(None)]].where
        message = f"{names.count(None)} of {len(names)} rows in {source} have no split, the others do"
        raise CatalogueError(f"{message}; the first is {first}")
    for name in given - set(names):
        raise CatalogueError(f"no rows are left of split {name!r} in {source}: all its rows are bad")

    # Bad rows stay in as blanks until `select`, which is lazy: no image is copied.
    texts = {name: [movie.get(name) for movie in movies] for name in MOVIE_FEATURES if name != "image"}
    table = Dataset.from_dict(texts, Features({name: MOVIE_FEATURES[name] for name in texts}))
    table = concatenate_datasets([table, found.images], axis=1).select_columns(list(MOVIE_FEATURES))
    table = table.cast_column("image", Image())
    order = [name for name in dict.fromkeys([*SPLIT_SIZES, *names]) if name is not None and name in names]
    indices = {name: [good[i] for i, of in enumerate(names) if of == name] for name in order}
    checked = {name: of for name, of in indices.items() if thumbnails.keys() >= set(of)}
    return Catalogue(
        source,
        DatasetDict({name: table.select(of) for name, of in indices.items()}),
        bad_rows,
        found.columns,
        split_by,
        seed,
        warnings=tuple(warnings),
        thumbnails={name: np.stack([thumbnails[index] for index in of]) for name, of in checked.items()},
    )
