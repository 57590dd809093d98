"""The audit of a catalogue: near-duplicates and series that validation and test share with other splits."""

from typing import Any

import numpy as np
from datasets import concatenate_datasets
from numpy.typing import NDArray

from processing.splits.near_duplicates import Pairs, near_plots, near_posters
from processing.splits.title_spans import holds_title

from .catalogue import HELD_OUT, Catalogue

EXAMPLES = 1000  # of each kind


def audit(catalogue: Catalogue) -> dict[str, Any]:
    """Returns, JSON-ready, the leaks between the splits of a catalogue, and its duplicates.

    A leak is a pair of movies in two splits, of which at least one is held out (validation or test), with nearly the
    same poster (`near_posters`) or plot (`near_plots`), or a series in two such splits. Other pairs are duplicates: in
    a pool, the other movie of the pair counts as a wrong answer. A plot that contains its own movie's title is
    counted but is not a leak, since the title is on the poster too.

    Returns:
        `posters` and `plots`: for `leaks` and `duplicates` the count of pairs, the count of held-out movies in them,
        and examples with ids, splits and likeness, the most similar first. `series`: for `leaks` the count of series,
        and one pair of each. `titles`: for each split, how many movies have a title, and how many of these have it in
        their first plot, or in any plot. There are at most `EXAMPLES` examples of a kind, and nothing in the result
        quotes a title, file name or plot.

    Example:
        >>> audit(load_catalogue("my_movies"))["posters"]["leaks"]["count"]  # doctest: +SKIP
        0
    """
    movies = concatenate_datasets([*catalogue.splits.values()])
    ids, splits = movies["id"][:], np.repeat([*catalogue.splits], [*map(len, catalogue.splits.values())])
    thumbnails = np.concatenate([catalogue.thumbnails[name] for name in catalogue.splits])
    titles = {name: _title_counts(split["title"][:], split["plots"][:]) for name, split in catalogue.splits.items()}
    return {
        "posters": _by_leak(near_posters(thumbnails), ids, splits),
        "plots": _by_leak(near_plots(movies["plots"][:]), ids, splits),
        "series": {"leaks": _series_leaks(catalogue)},
        "titles": titles,
    }


def leak_count(found: dict[str, Any]) -> int:
    """Returns the number of leaks of all kinds in the result of `audit`."""
    return sum(found[kind]["leaks"]["count"] for kind in ("posters", "plots", "series"))


def _by_leak(pairs: Pairs, ids: list[str], splits: NDArray[np.str_]) -> dict[str, Any]:
    held_out = np.isin(splits, HELD_OUT)
    of_two = np.array([ids[first] != ids[second] for first, second in pairs.rows], bool)  # not one movie's posters
    pairs = Pairs(pairs.rows[of_two], pairs.likeness[of_two])
    firsts, seconds = pairs.rows.T
    leaks = (splits[firsts] != splits[seconds]) & (held_out[firsts] | held_out[seconds])
    found: dict[str, Any] = {}
    for kind, chosen in {"leaks": leaks, "duplicates": ~leaks}.items():
        rows, alike = pairs.rows[chosen], pairs.likeness[chosen].round(3).tolist()
        examples = [
            {"ids": [ids[row] for row in rows[pair]], "splits": splits[rows[pair]].tolist(), "likeness": alike[pair]}
            for pair in np.argsort(-pairs.likeness[chosen], kind="stable")[:EXAMPLES]
        ]
        involved = np.unique(rows)
        found[kind] = {"count": len(rows), "held_out_movies": int(held_out[involved].sum()), "examples": examples}
    return found


def _series_leaks(catalogue: Catalogue) -> dict[str, Any]:
    series = [[*of.items()] for of in catalogue.leaking_series().values()]
    held_out = sum(len(ids) for of in series for split, ids in of if split in HELD_OUT)
    examples = []
    for of in series[:EXAMPLES]:
        pair = sorted(of, key=lambda item: item[0] not in HELD_OUT)[:2]
        examples.append({"ids": [ids[0] for _, ids in pair], "splits": [split for split, _ in pair]})
    return {"count": len(series), "held_out_movies": held_out, "examples": examples}


def _title_counts(titles: list[str], plots: list[list[str]]) -> dict[str, int]:
    titled = [(title, of) for title, of in zip(titles, plots, strict=True) if title]
    held = [[holds_title(plot, title) for plot in of] for title, of in titled]
    return {"movies": len(titled), "first_plot": sum(of[0] for of in held), "any_plot": sum(map(any, held))}
