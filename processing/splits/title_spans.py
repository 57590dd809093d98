"""Finds a movie's title in its plots."""

from __future__ import annotations

import re
from functools import lru_cache

from .titles import article_first, plain

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s$", re.IGNORECASE)
_BRACKETS = re.compile(r"\(([^()]*)\)")
_YEAR_OR_AKA = re.compile(r"\d{4}|^a\.?k\.?a\.?\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|an?)\s+(?=\S)", re.IGNORECASE)
# Not scikit-learn's ENGLISH_STOP_WORDS: these hold names and nouns ("bill", "fire", "show") and lack contractions.
COMMON = frozenset(
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


def holds_title(plot: str, title: str) -> bool:
    """Returns whether a plot contains the whole title, or another title in brackets after it.

    Example:
        >>> holds_title("The MATRIX has him.", "Matrix, The (1999)"), holds_title("A toy tells stories.", "Toy Story")
        (True, False)
    """
    words = list(WORD.finditer(plot))
    return any(_whole_title_spans(plot, words, name) for name in _title_names(title))


def title_spans(plot: str, title: str) -> list[Span]:
    """Returns the spans of the title in a plot, and of its distinctive words: four letters or more, not in `COMMON`.

    Example:
        >>> title_spans("The matrix reloads, says Neo.", "The Matrix Reloaded")
        [(4, 10)]
    """
    words = list(WORD.finditer(plot))
    keys = [key(word[0]) for word in words]
    spans: list[Span] = []
    for name in _title_names(title):
        spans += _whole_title_spans(plot, words, name)
        distinctive = {part for part in _parts(article_first(name)) if len(part) >= 4 and part not in COMMON}
        spans += [without_possessive(word) for word, of in zip(words, keys, strict=True) if of in distinctive]
    return spans


def _title_names(title: str) -> list[str]:
    """Returns the title and the other titles in brackets after it."""
    others = [_YEAR_OR_AKA.sub("", other).strip() for other in _BRACKETS.findall(title)]
    return [name for name in (_BRACKETS.sub(" ", title).strip(), *others) if name]


def _parts(title: str) -> list[str]:
    return [key(word) for word in WORD.findall(title)]


def _whole_title_spans(plot: str, words: list[re.Match[str]], name: str) -> list[Span]:
    full = article_first(name)
    capitals = COMMON.issuperset(_parts(full))
    targets = {"".join(_parts(variant)) for variant in (full, _ARTICLE.sub("", full))}
    return [span for target in targets for span in _phrase_spans(plot, words, target, capitals=capitals)]


def _phrase_spans(plot: str, words: list[re.Match[str]], target: str, *, capitals: bool) -> list[Span]:
    """Returns the spans of consecutive words that give the target when joined: "Spider-Man" matches "spiderman"."""
    spans = []
    for first in range(len(words)):
        joined = ""
        for last in range(first, len(words)):
            joined += key(words[last][0])
            if not joined or not target.startswith(joined):
                break
            if joined == target:
                if not capitals or all(word[0][0].isupper() for word in words[first : last + 1]):
                    spans.append((words[first].start(), without_possessive(words[last])[1]))
                break
    return spans


def without_possessive(word: re.Match[str]) -> Span:
    """Returns the span of a word in its text, without a possessive 's."""
    return word.start(), word.start() + len(_POSSESSIVE.sub("", word[0]))


@lru_cache(2**16)
def key(word: str) -> str:
    """Returns the form in which words are compared: "Amélie's" -> "amelie"."""
    return plain(_POSSESSIVE.sub("", word)).replace(" ", "")
