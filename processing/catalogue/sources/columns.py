"""The columns that catalogues have, by the names that public sources give them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

# For each field the names that it goes by, the first ones first. Case, spaces and punctuation do not matter.
KNOWN_COLUMNS: dict[str, tuple[str, ...]] = {
    "id": (
        *("id", "movie id", "film id", "item id", "key", "show id", "rating key"),  # MovieLens, WebDataset, Plex
        *("imdb id", "imdb title id", "tconst", "const", "tmdb id", "wikipedia movie id", "letterboxd uri"),
    ),
    "title": (
        *("title", "movie title", "film title", "primary title", "series title", "display title", "title en"),
        *("movie name", "film name", "name", "movie", "film"),
    ),
    "other_titles": (
        *("other titles", "titles", "original title", "original name", "alternative titles", "alternative title"),
        *("alternate titles", "alternate title", "also known as", "aka", "akas", "local title", "title original"),
    ),
    "year": (
        *("year", "release year", "released year", "title year", "movie year", "start year", "production year"),
        *("release date", "released", "date published", "movie release date", "originally available at"),
    ),
    "plots": (
        *("plots", "plot", "plot short", "plot long", "short plot", "long plot", "full plot", "plot full"),
        *("plot synopsis", "plot summary", "plot outline", "movie plot", "intro", "overview", "summary", "synopsis"),
        *("storyline", "description", "abstract", "wiki intro", "text", "caption", "txt"),
    ),
    "genres": ("genres", "genre", "genre names", "genre list", "movie genres", "listed in"),
    "series": ("series", "collection", "belongs to collection", "franchise"),
    "split": ("split", "subset", "partition", "data split", "dataset split"),
    "poster_text": ("poster text",),
    "image": (
        *("file name", "image", "poster", "poster path", "poster file", "poster image", "poster file name"),
        *("image path", "image file", "img", "img path", "file", "path", "file path", "cover", "cover path"),
        *("images", "posters", "picture", "jpg", "jpeg", "png", "webp", "poster link", "poster url", "thumb"),
    ),
}


def plain_name(name: str) -> str:
    """Returns the letters and digits of a column's name in lower case.

    Example:
        >>> plain_name("Release_Year"), plain_name("release year")
        ('releaseyear', 'releaseyear')
    """
    return re.sub(r"[\W_]+", "", name.casefold())


_FIELD_OF = {plain_name(name): field for field, names in KNOWN_COLUMNS.items() for name in names}


@dataclass(frozen=True)
class Columns:
    """The columns that each field comes from, first choice first, and those that were not understood.

    Example:
        >>> columns = Columns.find(["tconst", "primaryTitle", "startYear", "Plot", "isAdult"])
        >>> columns["title"], columns.unknown
        (['primaryTitle'], ['isAdult'])
        >>> columns.report()
        {'id': 'tconst', 'title': 'primaryTitle', 'year': 'startYear', 'plots': 'Plot'}
    """

    by_field: dict[str, list[str]] = field(default_factory=dict)
    unknown: Sequence[str] = ()

    @classmethod
    def find(cls, names: Sequence[str], plot_columns: Sequence[str] | None = None) -> "Columns":
        """Returns the columns of a table with these names.

        Args:
            names: of all columns.
            plot_columns: those to take as plots in place of those with a known name.
        """
        found: dict[str, list[str]] = {}
        for kind, known in KNOWN_COLUMNS.items():
            order = [plain_name(name) for name in known]
            columns = [name for name in names if _FIELD_OF.get(plain_name(name)) == kind]
            found[kind] = sorted(columns, key=lambda name: order.index(plain_name(name)))
        if plot_columns is not None:
            wanted = [plain_name(name) for name in plot_columns]
            columns = [name for name in names if plain_name(name) in wanted]
            found = {kind: [name for name in of if name not in columns] for kind, of in found.items()}
            found["plots"] = sorted(columns, key=lambda name: wanted.index(plain_name(name)))
        understood = {name for of in found.values() for name in of}
        # `__url__` of WebDataset says nothing of a movie.
        return cls(found, [name for name in names if name not in understood and not name.startswith("__")])

    def report(self) -> dict[str, str | list[str]]:
        """Returns for each field the column that it comes from, a list where there are several."""
        used = {kind: of[:1] if kind == "id" else of for kind, of in self.by_field.items() if of}
        return {kind: of[0] if len(of) == 1 else list(of) for kind, of in used.items()}

    def __getitem__(self, kind: str) -> list[str]:
        return self.by_field.get(kind, [])
