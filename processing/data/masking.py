"""Masks the title of a movie, and the names of people and places, in its plots.

A model with poster text finds plots by the titles in them. Masked plots measure, or train, what it finds without.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from datasets import Dataset, List, Value

from processing.splits.title_spans import COMMON, WORD, Span, key, title_spans, without_possessive

MASK = "..."

_BETWEEN = re.compile(r"[\s\-–—]*")  # two masks with only this between them become one
_QUOTES = " \t\r\f\v\"'“”‘’«»()[]*"
_NO_END = re.compile(r"(?:\b[^\W\d_]|\b(?:mr|mrs|ms|dr|st|jr|sr|lt|capt|sgt|col|gen|maj|prof|rev|vs|no|vol))\.$", re.I)


def mask_title(plot: str, title: str) -> str:
    """Returns the plot with `MASK` in place of the movie's title.

    It masks the whole title, compared by letters and digits (case, accents, punctuation and spaces do not matter), with
    its article in front, at the end ("Matrix, The") or left out, and other titles in brackets at its end. It also masks
    every word of four or more letters from the title, except common function words. A possessive 's is kept. A title of
    function words alone (It; Her) is masked only where each of its words has a capital.

    A text that is not empty never becomes empty. Without a title the plot is returned unchanged.

    Example:
        >>> mask_title("Amelie's friend knows a destiny. AMÉLIE, fabulous!", "Fabulous Destiny of Amélie, The (2001)")
        "...'s friend knows a .... ..., ...!"
        >>> mask_title("It comes back, and it is hungry.", "It (1990)")
        '... comes back, and it is hungry.'
    """
    return _mask(plot, title_spans(plot, title))


def mask_names(plot: str, title: str) -> str:
    """Returns the plot with `MASK` in place of the movie's title (see `mask_title`) and of names.

    A word counts as a name if it is capitalised inside a sentence anywhere in the plot; all its capitalised occurrences
    are masked. A name that only begins sentences is missed, and other capitalised words (London, Monday, French) are
    masked like names. In a text without small letters only the title is masked.

    Example:
        >>> mask_names("A count meets Mina Harker in London. Mina's husband chases Dr. Seward.", "Dracula")
        "A count meets ... in .... ...'s husband chases .... ...."
    """
    return _mask(plot, [*title_spans(plot, title), *_name_spans(plot)])


def with_masked_titles(movies: Dataset) -> Dataset:
    """Returns a split of a catalogue with plots masked by `mask_title`."""
    both = zip(movies["plots"], movies["title"], strict=True)
    plots = [[mask_title(plot, title) for plot in of] for of, title in both]
    return movies.remove_columns("plots").add_column("plots", plots, feature=List(Value("string")))


def masked_names(plots: Sequence[Sequence[str]], movies: Dataset) -> list[list[str]]:
    """Returns the plots of each movie, masked by `mask_names`; ValueError if the movies have no titles."""
    if "title" not in movies.column_names:
        raise ValueError("mask_names: the movies have no column title.")
    return [[mask_names(plot, title) for plot in of] for of, title in zip(plots, movies["title"], strict=True)]


def _name_spans(plot: str) -> list[Span]:
    words = [word for word in WORD.finditer(plot) if key(word[0]) not in COMMON]
    if not any(word[0].islower() for word in words):
        return []
    capitalised = [word for word in words if word[0][0].isupper()]
    names = {key(word[0]) for word in capitalised if not _begins_sentence(plot, word.start())}
    return [without_possessive(word) for word in capitalised if key(word[0]) in names]


def _begins_sentence(plot: str, start: int) -> bool:
    before = plot[max(start - 40, 0) : start].rstrip(_QUOTES)
    return not before or before[-1] in "!?…\n" or (before[-1] == "." and not _NO_END.search(before))


def _mask(plot: str, spans: list[Span]) -> str:
    pieces, end, masked = [], 0, False
    for start, stop in sorted(spans):
        if stop <= end:
            continue
        if not (masked and _BETWEEN.fullmatch(plot[end:start])):
            pieces += [plot[end:start], MASK]
        masked, end = True, stop
    return "".join([*pieces, plot[end:]])
