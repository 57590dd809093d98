"""The files around a match: posters and a table of movies are read, and the results fill a folder."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, Image
from tqdm.auto import tqdm

from processing.catalogue.one_side import read_movies, read_posters
from processing.catalogue.poster_manifest import poster_keys, poster_source
from processing.posterclip.rgb import open_image
from processing.reporting.results import read_results, write_results
from processing.reporting.review import thumbnail, write_csv, write_review

CSV, PAGE, SUMMARY = "matches.csv", "review.html", "summary.json"
PARTIAL = ".partial"  # where results are until they are whole
INPUTS = ("model", "posters", "movies")  # what tells one run from another in its summary
NAMED = 20  # bad posters or rows named in the terminal; the summary names all


@dataclass
class MatchInputs:
    """What is matched: the posters that can be read, and the movies.

    Args:
        posters: with the columns `poster` and `image`.
        movies: the table, as `read_movies` gives it.
        titles: "use", or "hide" where they are hidden or the table has none.
        thumbnails: one for each poster.
        failed: the reason of each poster that cannot be read, by its name.
        bad_rows: the rows of the table that cannot be used, with the reasons.
        notes: what a user should know, one line each.
    """

    posters: Dataset
    movies: Dataset
    titles: Literal["use", "hide"]
    thumbnails: list[bytes]
    failed: dict[str, str]
    bad_rows: list[str]
    notes: list[str]

    @classmethod
    def read(cls, posters: str, movies: str, titles: Literal["use", "hide"] = "use") -> "MatchInputs":
        """Reads both sides and decodes every poster once, with a progress bar.

        Args:
            posters: see `read_posters`.
            movies: see `read_movies`.
            titles: "hide" leaves out movies without a plot, as nothing else is known of them.

        Raises:
            CatalogueError: a side holds nothing that can be used.
            ValueError: no poster can be read, or with hidden titles no movie is left.
        """
        table, pictures = read_movies(movies), read_posters(posters)
        thumbnails, reasons = _thumbnails(pictures.rows)
        names = pictures.rows["poster"][:]
        failed = {names[index]: reason for index, reason in reasons.items()}
        failed |= {bad.file or bad.row: bad.reason for bad in pictures.bad_rows}
        if not thumbnails:
            name, reason = next(iter(failed.items()))
            raise ValueError(f"none of the {len(failed)} posters in {posters} can be read, first {name}: {reason}")
        rows = table.rows
        notes = [f"{movies}: {warning}" for warning in table.warnings]
        notes += [f"{posters}: {warning}" for warning in pictures.warnings]
        if titles == "use" and not any(rows["title"][:]):
            titles = "hide"
            notes.append(f"{movies} has no titles: posters are matched by plots alone")
        elif titles == "use" and (untitled := rows["title"][:].count("")):
            notes.append(
                f"{movies}: movies without a title, which are seldom found beside those with one "
                f"(--titles hide matches all by plots alone): {untitled}"
            )
        if titles == "hide":
            rows = rows.select([index for index, plots in enumerate(rows["plots"][:]) if plots])
            if not len(rows):
                raise ValueError(f"{movies} has no plots, and the titles are hidden")
            if without := len(table.rows) - len(rows):
                notes.append(f"{movies}: movies without a plot, which are not found while titles are hidden: {without}")
        readable = pictures.rows.select(list(thumbnails))
        notes += [f"the same picture: {', '.join(same)}" for same in _duplicates(readable)]
        bad_rows = [str(bad) for bad in table.bad_rows]
        return cls(readable, rows, titles, list(thumbnails.values()), failed, bad_rows, notes)

    def lines(self) -> list[str]:
        """Returns what a user should know before the results: notes, and what is left out, by name."""
        posters = [f"{name}: {reason}" for name, reason in self.failed.items()]
        return [
            *self.notes,
            *_listed("posters that cannot be read", posters),
            *_listed("rows of the table that are left out", self.bad_rows),
        ]


def check_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Sees that results can be written to a folder without harm to others.

    Args:
        folder: it is not there, it is empty, or it holds the results of the same model, posters and movies.
        settings: of the run that will write there.

    Raises:
        ValueError: it holds something else.
    """
    if not (folder / SUMMARY).is_file():
        if folder.is_dir() and any(path.name != PARTIAL for path in folder.iterdir()):
            raise ValueError(f"{folder} holds something else: name a new folder for the matches.")
    else:
        before = read_results(folder / SUMMARY)
        if other := [name for name in INPUTS if before.get(name) != settings[name]]:
            told = ", ".join(f"{name} {before.get(name)}" for name in other)
            raise ValueError(f"{folder} holds the matches of another run ({told}): name a new folder.")


def write_matches(
    folder: Path, matches: Dataset, inputs: MatchInputs, settings: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes `matches.csv`, `review.html` and `summary.json`, all of them or none.

    Args:
        folder: see `check_folder`.
        matches: of the posters that can be read; the others are added as failed.
        inputs: what was matched.
        settings: of the run; they are part of the summary.
        extra: what else the summary holds.

    Returns:
        The summary.

    Raises:
        OSError: they cannot be written, for instance on a full disk. What was in the folder stays.
    """
    matches = with_failed(matches, inputs.failed)
    statuses, confidences = matches["status"][:], matches["confidence"][:]
    accepted = [
        confidence
        for status, confidence in zip(statuses, confidences, strict=True)
        if status == "accepted" and confidence is not None
    ]
    summary = {
        **settings,
        "titles": inputs.titles,
        "counts": {"posters": len(matches), "movies": len(inputs.movies), "statuses": dict(Counter(sorted(statuses)))},
        "expected_precision": round(sum(accepted) / len(accepted), 4) if accepted else None,
        "left_out": {"posters": inputs.failed, "rows": inputs.bad_rows},
        **extra,
    }
    titles = "titles used" if inputs.titles == "use" else "titles hidden"
    about = f"{len(matches):,} posters against {len(inputs.movies):,} movies, {titles}."
    if summary["expected_precision"]:
        about += f" Of the accepted matches {100 * summary['expected_precision']:.1f} % are expected to be right."
    thumbnails = [*inputs.thumbnails, *[None] * len(inputs.failed)]
    partial = folder / PARTIAL
    try:
        partial.mkdir(parents=True, exist_ok=True)
        write_csv(partial / CSV, matches)
        write_review(partial / PAGE, matches, inputs.movies, thumbnails, about)
        write_results(partial / SUMMARY, summary)
        for name in (SUMMARY, CSV, PAGE):  # the summary first: it says whose folder this is
            (partial / name).replace(folder / name)
    except OSError as error:
        raise OSError(f"The matches cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


def with_failed(matches: Dataset, failed: Mapping[str, str]) -> Dataset:
    """Returns matches with a row added for each poster that cannot be read, with the reason as its `error`."""
    empty: dict[str, list] = {"matched": [], "poster_text": [], "candidates": []}
    rows = [
        {**dict.fromkeys(matches.column_names), **empty, "poster": name, "status": "failed", "error": reason}
        for name, reason in failed.items()
    ]
    return Dataset.from_list([*matches.to_list(), *rows])


def _thumbnails(posters: Dataset) -> tuple[dict[int, bytes], dict[int, str]]:
    """Returns a small copy of each poster that can be read, and the reason for each other, by their indices."""
    images = posters.select_columns("image").cast_column("image", Image(decode=False))

    def read(index: int) -> bytes | str:
        image = images[index]["image"]
        if image is None:
            return "no poster"
        try:
            return thumbnail(open_image(poster_source(image)))
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        found = list(tqdm(pool.map(read, range(len(posters))), "checking posters", len(posters), unit=" posters"))
    thumbnails = {index: small for index, small in enumerate(found) if isinstance(small, bytes)}
    return thumbnails, {index: reason for index, reason in enumerate(found) if isinstance(reason, str)}


def _duplicates(posters: Dataset) -> list[list[str]]:
    """Returns the names of posters that are the same file, group by group."""
    groups = defaultdict(list)
    for key, name in zip(poster_keys(posters), posters["poster"][:], strict=True):
        groups[key].append(name)
    return [names for names in groups.values() if len(names) > 1]


def _listed(what: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  and {len(lines) - NAMED} more, see {SUMMARY}"] if len(lines) > NAMED else []
    return [f"{what} ({len(lines)}):", *(f"  {line}" for line in lines[:NAMED]), *more]
