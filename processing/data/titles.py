"""The titles of movies, and which of them a training item shows."""

import random
from collections.abc import Sequence

from datasets import Dataset

Titles = list[list[str]]


def all_titles(movies: Dataset) -> Titles:
    """Returns the titles of each movie: the main one, then the others.

    Example:
        >>> all_titles(Dataset.from_dict({"title": ["Seven", ""], "other_titles": [["Se7en"], []]}))
        [['Seven', 'Se7en'], []]
    """
    main = movies["title"][:] if "title" in movies.column_names else [""] * len(movies)
    others = movies["other_titles"][:] if "other_titles" in movies.column_names else [None] * len(movies)
    return [[title for title in (first, *(more or ())) if title] for first, more in zip(main, others, strict=True)]


def draw_title(titles: Sequence[str], share: float, key: str) -> int | None:
    """Returns the place of the title that an item shows, None if it shows none.

    Args:
        titles: of the item's movie.
        share: of the items that show a title, 0 to 1; those of movies without titles never do.
        key: of the item; the draw is a function of it.

    Example:
        >>> draw_title(["Seven"], 1.0, "0-0-0"), draw_title([], 1.0, "0-0-0"), draw_title(["Seven"], 0.0, "0-0-0")
        (0, None, None)
    """
    draw = random.Random(f"{key}-title")
    return draw.randrange(len(titles)) if draw.random() < share and titles else None
