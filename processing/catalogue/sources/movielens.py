"""The layout of MovieLens: movies.dat of 1M and 10M, or movies.csv with links.csv of 20M and later."""

import re
from collections.abc import Sequence
from pathlib import Path

from processing.splits.titles import article_first

from .images import ImageFolder
from .rows import CatalogueError, Row, Source, column_names, find_columns, poster_paths
from .tables import read_lines, read_table
from .values import as_id, match_ids, title_and_year

PLOT_FILES = ("plots.txt", "plots.dat", "plots.csv")


def is_movielens(root: Path) -> bool:
    """Returns whether a folder holds movies.dat, or movies.csv with links.csv or plots beside it."""
    beside = any((root / name).is_file() for name in ("links.csv", *PLOT_FILES))
    return (root / "movies.dat").is_file() or ((root / "movies.csv").is_file() and beside)


def read_movielens(root: Path, plot_columns: Sequence[str] | None = None) -> Source:
    """Returns a row for each poster of MovieLens's movies, with the plots that a file beside them gives by id.

    Posters are called by the ids of MovieLens, or, where links.csv gives those, of IMDb or TMDB. Ids in the plots or in
    train.txt that no movie has are bad rows.

    Raises:
        CatalogueError: there is no file of plots, or more than one, or no poster is called by an id.
    """
    movies = _movies_of_dat(root) if (root / "movies.dat").is_file() else _movies_of_csv(root)
    by_id = {row.fields["id"]: row for row in movies}
    plots = [] if find_columns(column_names(movies), need_plots=False)["plots"] else _plots(root)
    train = read_lines(root / "train.txt") if (root / "train.txt").is_file() else []
    for row in train:
        row.fields = {"id": as_id(row.fields["line"])}
    links = read_table(root / "links.csv").rows if (root / "links.csv").is_file() else []
    for row in links:
        if movie := by_id.get(as_id(row.fields.get("movieId"))):
            movie.fields |= {"imdbId": row.fields.get("imdbId"), "tmdbId": row.fields.get("tmdbId")}
    columns = [name for name in column_names(plots) if name != "id"]
    same = match_ids([row.fields["id"] for row in plots if row.fields["id"]], by_id)
    for row in plots:
        if movie := by_id.get(same.get(row.fields["id"], "")):
            for column in columns:
                movie.fields.setdefault(column, []).append(row.fields.get(column))
    train_ids = set(match_ids([row.fields["id"] for row in train], by_id).values())
    for row in movies if train else []:
        row.split = "train" if row.fields["id"] in train_ids else "test"

    found = find_columns([*column_names(movies)], plot_columns)
    rows = ImageFolder(root).join(movies, found)
    if not any(row.path for row in rows):
        raise CatalogueError(f"no poster in {root} is called by the id of a movie (posters/ID.jpg)")
    for row in rows:
        if not row.path and not any(row.fields.get(column) for column in found["plots"]):
            row.problem = f"{row.problem}, and it has no plot either"
    for row in [*plots, *train]:
        if not row.problem and row.fields["id"] not in by_id and row.fields["id"] not in same:
            row.problem = "not in movies.dat" if (root / "movies.dat").is_file() else "not in movies.csv"
    rows += [row for row in [*plots, *train] if row.problem]
    return Source(rows, poster_paths(rows), found, "train.txt" if train else "given")


def _movies_of_dat(root: Path) -> list[Row]:
    rows = read_lines(root / "movies.dat")
    for row in rows:
        number, *parts = row.fields["line"].strip().split("::")
        row.fields = {"id": number}
        if len(parts) < 2:
            row.problem = "not id::title::genres"
            continue
        row.fields |= _titles("::".join(parts[:-1])) | {"genres": parts[-1]}
    return rows


def _movies_of_csv(root: Path) -> list[Row]:
    rows = read_table(root / "movies.csv").rows
    for row in rows:
        row.where = f"movies.csv {row.where}"
        row.fields = {"id": as_id(row.fields.pop("movieId", None)), **row.fields}
        row.fields |= _titles(str(row.fields.get("title") or ""))
    return rows


def _titles(text: str) -> dict[str, object]:
    """Returns the fields of a title, "Femme Nikita, La (Nikita) (1990)" for one."""
    title, year = title_and_year(text)
    others = re.findall(r"(?<=\S)\s*\((?:a\.?k\.?a\.? )?([^()]*)\)", title)
    title = re.sub(r"(?<=\S)(\s*\([^()]*\))+\s*$", "", title)
    return {
        "title": article_first(title.strip()),
        "other_titles": [article_first(other.strip()) for other in others],
        "year": year,
    }


def _plots(root: Path) -> list[Row]:
    """Returns rows with `id` and text columns: those of plots.csv, or `plot` from the lines of a text file."""
    found = [root / name for name in PLOT_FILES if (root / name).is_file()]
    if len(found) != 1:
        names = " and ".join(path.name for path in found) or "none"
        raise CatalogueError(f"{root} needs the plots in one of plots.txt, plots.dat and plots.csv; found: {names}")
    if found[0].suffix == ".csv":
        table = read_table(found[0])
        columns = find_columns(table.columns, need_plots=False)["id"]
        if not columns:
            raise CatalogueError(f"{found[0]} has no column id or movieId; it has {', '.join(table.columns)}")
        for row in table.rows:
            row.where = f"{found[0].name} {row.where}"
            row.fields = {"id": as_id(row.fields.pop(columns[0], None)), **row.fields}
        return table.rows
    rows = read_lines(found[0])
    for row in rows:
        parts = re.fullmatch(r"\s*([^\t:]+?)\s*(?:::|\t)(.*)", row.fields["line"])
        row.fields = {"id": parts[1], "plot": parts[2]} if parts else {"id": None}
        row.problem = "" if parts else "neither id::plot nor id, tab, plot"
    return rows
