"""Movies out of rows: every field checked, whatever its column is called and however it is written."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Features, Image, List, Value

from processing.splits.titles import series_of

from .ocr_lines import LINES, PosterText, check_lines
from .sources.columns import Columns
from .sources.rows import Source
from .sources.values import as_genres, as_id, as_plots, as_text, as_texts, as_year, split_name, title_and_year

MAX_PLOT = 100_000  # characters
MOVIE_FEATURES = Features(
    id=Value("string"),
    image=Image(),
    plots=List(Value("string")),
    title=Value("string"),
    other_titles=List(Value("string")),
    year=Value("int64"),
    genres=List(Value("string")),
    series=Value("string"),
    poster_text=LINES,
)


def check_movies(found: Source, text: PosterText) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Returns the fields of each row's movie but its image, with its `split`, and the reasons of bad rows by index.

    Rows of one id are posters of one movie, if they say the same of it.

    Args:
        found: the rows.
        text: the lines on posters that a file gives.
    """
    movies: list[dict[str, Any]] = []
    problems: dict[int, str] = {}
    first: dict[str, int] = {}
    posters: dict[tuple[str, Any], str] = {}
    for index, row in enumerate(found.rows):
        movie: dict[str, Any] = {}
        movies.append(movie)
        try:
            given = (split_name(row.fields.get(column)) for column in found.columns["split"])
            movie["split"] = next(filter(None, given), None) or split_name(row.split)
            if row.problem:
                raise ValueError(row.problem)
            movie |= read_movie(row.fields, found.columns)
            other = first.setdefault(movie["id"], index)
            if not same_movie(movie, movies[other]):
                raise ValueError(f"the id is taken by {found.rows[other].where}")
            poster = (movie["id"], row.path or index)
            if poster in posters:
                raise ValueError(f"the same movie and poster as {posters[poster]}")
            posters[poster] = row.where
        except ValueError as error:
            problems[index] = str(error)
    named = [(movie.get("id", ""), row.poster) for movie, row in zip(movies, found.rows, strict=True)]
    for movie, lines in zip(movies, text.join(named), strict=True):
        if movie.get("poster_text") is None:
            movie["poster_text"] = lines
    return movies, problems


def source_warnings(
    found: Source, movies: Sequence[Mapping[str, Any]], text: PosterText, has_splits: bool
) -> list[str]:
    """Returns what a user should know of a source: what was not understood or not used, and missing titles.

    Args:
        found: the rows.
        movies: those that are used.
        text: the lines on posters that a file gives, after they were joined.
        has_splits: whether the source says which movie is in which split.
    """
    warnings = [*found.warnings]
    if found.columns.unknown:
        warnings.append(f"columns that were not understood: {', '.join(found.columns.unknown)}")
    if without := sum(not movie["title"] for movie in movies):
        consequence = "" if has_splits else ": splits are not by series there, sequels may lie in several splits"
        warnings.append(f"{without} of {len(movies)} rows have no title{consequence}")
    return [*warnings, *text.warnings()]


def same_movie(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two rows say the same of their movie; its posters and their text may differ."""
    return all(one[name] == other[name] for name in ("title", "year", "plots", "series"))


def read_movie(fields: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Returns the fields of a movie, but its image.

    Args:
        fields: of a row, by the names of their columns.
        columns: which columns each field comes from. Of several, the plots and other titles of all are taken, the id
            of the first, and any other field of the first that is not empty.

    Raises:
        ValueError: the row is bad; the message is the reason.

    Example:
        >>> row = {"movie_id": 7.0, "name": "Moby Dick (1956)", "overview": "A whale."}
        >>> movie = read_movie(row, Columns.find(list(row)))
        >>> movie["id"], movie["title"], movie["year"], movie["plots"]
        ('7', 'Moby Dick', 1956, ['A whale.'])
    """
    movie = read_text_fields(fields, columns)
    if not movie["plots"]:
        raise ValueError("no plot")
    title = movie["title"]
    series = [text for column in columns["series"] for text in as_texts(fields.get(column), "series")[:1]]
    movie["series"] = series[0] if series else series_of(title) if title else movie["id"]
    lines = (check_lines(fields.get(column)) for column in columns["poster_text"])
    return movie | {"poster_text": next((found for found in lines if found is not None), None)}


def read_text_fields(fields: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """Returns what a row says of a movie, as far as it does: id, plots, title, other_titles, year and genres.

    Raises:
        ValueError: there is no id, or a value cannot be read.
    """
    number = as_id(fields.get(columns["id"][0])) if columns["id"] else ""
    if not number:
        raise ValueError("no id")
    plots = [plot for column in columns["plots"] for plot in as_plots(fields.get(column), column)]
    if plots and (longest := max(map(len, plots))) > MAX_PLOT:
        raise ValueError(f"a plot of {longest} characters, the limit is {MAX_PLOT}")
    titles = [as_text(fields.get(column), "title") for column in columns["title"]]
    others = [text for column in columns["other_titles"] for text in as_texts(fields.get(column), "other_titles", "|;")]
    found = next(filter(None, [*titles, *others]), "")
    title, year_of_title = title_and_year(found)
    years = (as_year(fields.get(column)) for column in columns["year"])
    genres = [genre for column in columns["genres"] for genre in as_genres(fields.get(column))]
    return {
        "id": number,
        "plots": list(dict.fromkeys(plots)),
        "title": title,
        "other_titles": [other for other in dict.fromkeys(others) if other not in (title, found)],
        "year": next((year for year in years if year is not None), year_of_title),
        "genres": list(dict.fromkeys(genres)),
    }
