"""Plots without the words that a poster shows too: the movie's title, and the names of its people and places.

A model that reads titles off posters finds plots by them. What it finds in masked plots, it finds by something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from datasets import Dataset, List, Value

from .splits import article_first, plain

MASK = "..."

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s$", re.IGNORECASE)
_BRACKETS = re.compile(r"\(([^()]*)\)")
_YEAR_OR_AKA = re.compile(r"\d{4}|^a\.?k\.?a\.?\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|an?)\s+(?=\S)", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s\-–—]*")  # two masks with nothing else between them are one
_QUOTES = " \t\r\f\v\"'“”‘’«»()[]*"
_NO_END = re.compile(r"(?:\b[^\W\d_]|\b(?:mr|mrs|ms|dr|st|jr|sr|lt|capt|sgt|col|gen|maj|prof|rev|vs|no|vol))\.$", re.I)
_COMMON = frozenset(
    """
    a about above after again against all along also always am among an and another any are around as at away back be
    because been before behind being below between both but by can come could did do does down during each ever every
    everything few first for from gets give goes had has have he her here hers herself him himself his how i if in into
    is it its itself just know last left like made make many may me might mine more most much must my myself never next
    no none nor not nothing now of off on once one only onto or other others our ours out over part same shall she
    should since so some something soon still such take tell than that the their theirs them then there these they this
    those three through till to too toward towards two under until up upon us very was we well were what when where
    whether which while who whom whose why will with within without would yes yet you your yours yourself
    im ive ill id youre hes shes theyre were dont cant wont isnt didnt doesnt
    """.split()
)

Span = tuple[int, int]


def mask_title(plot: str, title: str) -> str:
    """The plot with `MASK` in place of the movie's title.

    Masked are the whole title, as far as letters and digits go (case, accents, punctuation and spaces do not matter),
    with its article before, behind ("Matrix, The") or left out, and any other title that stands in brackets behind
    it; and every other word of four or more letters from it, unless that is a common function word. A possessive 's
    stays. A title of nothing but function words (It; Her) is masked only where each of its words has a capital.

    A text that was not empty never becomes empty. Without a title the plot stays as it is.

    Example:
        >>> mask_title("Amelie's friend knows a destiny. AMÉLIE, fabulous!", "Fabulous Destiny of Amélie, The (2001)")
        "...'s friend knows a .... ..., ...!"
        >>> mask_title("It comes back, and it is hungry.", "It (1990)")
        '... comes back, and it is hungry.'
    """
    return _mask(plot, _title_spans(plot, title))


def mask_names(plot: str, title: str) -> str:
    """The plot with `MASK` in place of the movie's title, as `mask_title` does it, and of names.

    A name is a capitalised word that stands inside a sentence somewhere in the plot, wherever else it stands with a
    capital too. A name that only begins sentences is not seen, and of other capitalised words (London, Monday,
    French) none is told from a name. In a text without small letters capitals say nothing: there only the title goes.

    Example:
        >>> mask_names("A count meets Mina Harker in London. Mina's husband chases Dr. Seward.", "Dracula")
        "A count meets ... in .... ...'s husband chases .... ...."
    """
    return _mask(plot, [*_title_spans(plot, title), *_name_spans(plot)])


def holds_title(plot: str, title: str) -> bool:
    """Whether the plot says the whole title, or one that stands in brackets behind it, as `mask_title` finds them.

    Example:
        >>> holds_title("The MATRIX has him.", "Matrix, The (1999)"), holds_title("A toy tells stories.", "Toy Story")
        (True, False)
    """
    words = list(_WORD.finditer(plot))
    return any(_whole_title_spans(plot, words, name) for name in _title_names(title))


def with_masked_titles(movies: Dataset) -> Dataset:
    """A catalogue's split whose plots are masked by `mask_title`."""
    both = zip(movies["plots"], movies["title"], strict=True)
    plots = [[mask_title(plot, title) for plot in of] for of, title in both]
    return movies.remove_columns("plots").add_column("plots", plots, feature=List(Value("string")))


def masked_names(plots: Sequence[Sequence[str]], movies: Dataset) -> list[list[str]]:
    """The plots of each movie, masked by `mask_names`; ValueError if the movies have no titles."""
    if "title" not in movies.column_names:
        raise ValueError("mask_names: the movies have no column title.")
    return [[mask_names(plot, title) for plot in of] for of, title in zip(plots, movies["title"], strict=True)]


def _title_spans(plot: str, title: str) -> list[Span]:
    words = list(_WORD.finditer(plot))
    keys = [_key(word[0]) for word in words]
    spans: list[Span] = []
    for name in _title_names(title):
        spans += _whole_title_spans(plot, words, name)
        telling = {part for part in _parts(article_first(name)) if len(part) >= 4 and part not in _COMMON}
        spans += [_without_possessive(word) for word, key in zip(words, keys, strict=True) if key in telling]
    return spans


def _title_names(title: str) -> list[str]:
    """The title and those in brackets behind it."""
    others = [_YEAR_OR_AKA.sub("", other).strip() for other in _BRACKETS.findall(title)]
    return [name for name in (_BRACKETS.sub(" ", title).strip(), *others) if name]


def _parts(title: str) -> list[str]:
    return [_key(word) for word in _WORD.findall(title)]


def _whole_title_spans(plot: str, words: list[re.Match[str]], name: str) -> list[Span]:
    full = article_first(name)
    capitals = _COMMON.issuperset(_parts(full))
    targets = {"".join(_parts(variant)) for variant in (full, _ARTICLE.sub("", full))}
    return [span for target in targets for span in _phrase_spans(plot, words, target, capitals=capitals)]


def _phrase_spans(plot: str, words: list[re.Match[str]], target: str, *, capitals: bool) -> list[Span]:
    """Where words in a row are, joined, the target: "Spider-Man" is "Spiderman"."""
    spans = []
    for first in range(len(words)):
        joined = ""
        for last in range(first, len(words)):
            joined += _key(words[last][0])
            if not joined or not target.startswith(joined):
                break
            if joined == target:
                if not capitals or all(word[0][0].isupper() for word in words[first : last + 1]):
                    spans.append((words[first].start(), _without_possessive(words[last])[1]))
                break
    return spans


def _name_spans(plot: str) -> list[Span]:
    words = [word for word in _WORD.finditer(plot) if _key(word[0]) not in _COMMON]
    if not any(word[0].islower() for word in words):
        return []
    capitalised = [word for word in words if word[0][0].isupper()]
    names = {_key(word[0]) for word in capitalised if not _begins_sentence(plot, word.start())}
    return [_without_possessive(word) for word in capitalised if _key(word[0]) in names]


def _begins_sentence(plot: str, start: int) -> bool:
    before = plot[max(start - 40, 0) : start].rstrip(_QUOTES)
    return not before or before[-1] in "!?…\n" or (before[-1] == "." and not _NO_END.search(before))


def _without_possessive(word: re.Match[str]) -> Span:
    return word.start(), word.start() + len(_POSSESSIVE.sub("", word[0]))


@lru_cache(2**16)
def _key(word: str) -> str:
    """A word as it is compared: "Amélie's" -> "amelie"."""
    return plain(_POSSESSIVE.sub("", word)).replace(" ", "")


def _mask(plot: str, spans: list[Span]) -> str:
    pieces, end, masked = [], 0, False
    for start, stop in sorted(spans):
        if stop <= end:
            continue
        if not (masked and _BETWEEN.fullmatch(plot[end:start])):
            pieces += [plot[end:start], MASK]
        masked, end = True, stop
    return "".join([*pieces, plot[end:]])
