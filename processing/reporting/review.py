"""The results of matching for people: a CSV file of the decisions, and a page to review and correct them."""

import base64
import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from PIL import Image

from .rendering import render

SHOWN = 5  # candidates of a poster, the proposed one among them
MOVIE_COLUMNS = ("id", "title", "year", "confidence", "similarity")
COLUMNS = (
    *("poster", "status", *MOVIE_COLUMNS, "matched"),
    *(f"{name}_{number}" for number in range(2, SHOWN + 1) for name in MOVIE_COLUMNS),
    *("poster_text", "error"),
)
THUMBNAIL_SIZE = (180, 270)  # pixels at most
THUMBNAIL_QUALITY = 50
PLOT_BEGINNING = 240  # characters


def csv_rows(matches: Dataset) -> list[list[str]]:
    """Returns the rows of `matches.csv`, the header first.

    A poster's own movie stands in `id`, `title`, `year`, `confidence` and `similarity`; its runner-ups, best first, in
    the same columns with `_2` to `_5` appended.

    Args:
        matches: what `Matcher.match` returns.

    Example:
        >>> found = {"id": "7", "title": "Moby Dick", "year": 1956, "confidence": 0.97, "similarity": 0.5}
        >>> match = {"poster": "a.jpg", "status": "accepted", "matched": ["moby", "dick"], "poster_text": ["MOBY DICK"]}
        >>> match |= {**found, "candidates": [{**found, "matched": ["moby", "dick"]}], "error": None}
        >>> csv_rows(Dataset.from_list([match]))[1][:8]
        ['a.jpg', 'accepted', '7', 'Moby Dick', '1956', '0.9700', '0.5000', 'moby; dick']
    """
    rows = [list(COLUMNS)]
    for match in matches:
        others = [each for each in match["candidates"] or [] if each["id"] != match["id"]][: SHOWN - 1]
        runner_ups = [_cell(each[name]) for each in others for name in MOVIE_COLUMNS]
        runner_ups += [""] * (len(MOVIE_COLUMNS) * (SHOWN - 1) - len(runner_ups))
        first = [_cell(match[name]) for name in ("poster", "status", *MOVIE_COLUMNS)]
        last = [" / ".join(match["poster_text"] or []), match["error"] or ""]
        rows.append([*first, "; ".join(match["matched"] or []), *runner_ups, *last])
    return rows


def write_csv(path: Path, matches: Dataset) -> None:
    """Writes matches as CSV in UTF-8.

    The file begins with a byte order mark, because Excel reads a CSV file without one in the encoding of the
    country. pandas skips it; Python's `csv` skips it in a file that was opened with `encoding="utf-8-sig"`.
    """
    path.write_bytes(_csv_text(csv_rows(matches)).encode("utf-8-sig"))


def thumbnail(poster: Image.Image) -> bytes:
    """Returns a small copy of a poster as a WebP file."""
    small = poster.copy()
    small.thumbnail(THUMBNAIL_SIZE)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def write_review(
    path: Path,
    matches: Dataset,
    movies: Sequence[Mapping[str, Any]],
    thumbnails: Sequence[bytes | None],
    about: str,
) -> None:
    """Writes a page on which matches are confirmed or changed, as one HTML file that asks for nothing outside it.

    The page keeps decisions in the browser and gives back the CSV file of `write_csv`, corrected: a poster that was
    decided on has the status `confirmed`, `changed` or `none`.

    Args:
        path: of the file.
        matches: what `Matcher.match` returns.
        movies: the table, each with `id`, `title`, `year` and `plots`.
        thumbnails: of each poster, see `thumbnail`; None where there is no picture.
        about: one sentence on what was matched, and how.
    """
    rows = csv_rows(matches)
    numbers = {movie["id"]: number for number, movie in enumerate(movies)}
    data = {
        "digest": hashlib.sha256(_csv_text(rows).encode()).hexdigest()[:16],
        "columns": rows[0],
        "rows": [_page_row(match, cells, numbers) for match, cells in zip(matches, rows[1:], strict=True)],
        "movies": [_page_movie(movie) for movie in movies],
    }
    pictures = [small and base64.b64encode(small).decode() for small in thumbnails]
    page = render("review.html", data=data, digest=data["digest"], thumbnails=pictures, about=about)
    path.write_text(page, "utf-8")


def _page_row(match: Mapping[str, Any], cells: list[str], numbers: Mapping[str, int]) -> dict[str, Any]:
    """What the page needs of a poster; its candidates are the proposed movie, if there is one, and the runner-ups."""
    ordered = sorted(match["candidates"] or [], key=lambda each: each["id"] != match["id"])
    candidates = [
        {
            "movie": numbers[each["id"]],
            "confidence": _cell(each["confidence"]),
            "similarity": _cell(each["similarity"]),
            "matched": each["matched"] or [],
        }
        for each in ordered[:SHOWN]
    ]
    return {
        "cells": cells,
        "suggested": numbers.get(match["id"]),
        "lines": match["poster_text"] or [],
        "candidates": candidates,
        "error": match["error"] or "",
    }


def _page_movie(movie: Mapping[str, Any]) -> dict[str, str]:
    plot = (movie["plots"] or [""])[0]
    beginning = plot if len(plot) <= PLOT_BEGINNING else plot[:PLOT_BEGINNING].rpartition(" ")[0] + " …"
    return {**{name: _cell(movie[name]) for name in ("id", "title", "year")}, "plot": beginning}


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _csv_text(rows: list[list[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
