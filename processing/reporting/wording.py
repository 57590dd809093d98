"""What an evaluation was of, in words."""

from collections.abc import Mapping
from typing import Any

SHOWN_IDS = 20  # in a sentence
KNOWN = {
    ("use", "all"): "titles and all plots",
    ("use", "one"): "titles and one plot",
    ("hide", "all"): "all plots",
    ("hide", "one"): "one plot",
}


def known_words(results: Mapping[str, Any]) -> str:
    """Returns what is known of a movie in an evaluation, and where titles are, by which stages it is found.

    Args:
        results: with `titles`, `plots` and `both_stages`.

    Example:
        >>> known_words({"titles": "use", "plots": "all", "both_stages": True})
        'titles and all plots, both stages'
        >>> known_words({"titles": "hide", "plots": "one", "both_stages": False})
        'one plot'
    """
    words = KNOWN[results["titles"], results["plots"]]
    if results["titles"] == "hide":
        return words
    return f"{words}, {'both stages' if results['both_stages'] else 'first stage'}"


def evaluated_words(results: Mapping[str, Any]) -> str:
    """Returns `known_words`, and what was hidden from the model.

    Example:
        >>> known = {"titles": "hide", "plots": "one", "both_stages": False}
        >>> evaluated_words({**known, "mask_titles": True, "remove_poster_text": False})
        'one plot, titles masked in the plots'
    """
    masks = {"mask_titles": "titles masked in the plots", "remove_poster_text": "poster text painted over"}
    return ", ".join([known_words(results), *(words for name, words in masks.items() if results[name])])


def evaluation_name(results: Mapping[str, Any]) -> str:
    """Returns the model's name and `evaluated_words`.

    Example:
        >>> known = {"titles": "hide", "plots": "all", "both_stages": False}
        >>> evaluation_name({"model": "runs/mine", **known, "mask_titles": False, "remove_poster_text": False})
        'runs/mine (all plots)'
    """
    return f"{results['model']} ({evaluated_words(results)})"


def trained_movies_words(results: Mapping[str, Any]) -> str:
    """Returns a sentence on whether the model was trained on, or chosen by, movies of the pool.

    Args:
        results: of an evaluation, with `trained_movies`: None, or `trained_on` and `chosen_by`, lists of ids, and
            `complete`, whether the record names all movies trained on.

    Example:
        >>> found = {"trained_on": ["7", "9"], "chosen_by": [], "complete": True}
        >>> trained_movies_words({"trained_movies": found})
        'The model was trained on 2 of the movies evaluated here (7, 9): the numbers show memory, not skill.'
        >>> trained_movies_words({"trained_movies": {**found, "trained_on": []}})
        'The model was trained on none of the movies evaluated here.'
    """
    found = results.get("trained_movies")
    if found is None:
        return "Which movies the model was trained on is not recorded."
    sentences = []
    for name, use, consequence in (
        ("trained_on", "trained on", ": the numbers show memory, not skill"),
        ("chosen_by", "chosen by", ""),
    ):
        if ids := found[name]:
            named = ", ".join(ids[:SHOWN_IDS]) + (", ..." if len(ids) > SHOWN_IDS else "")
            sentences.append(f"The model was {use} {len(ids):,} of the movies evaluated here ({named}){consequence}.")
    if not found["complete"]:
        sentences.append("It was also trained on movies that its record does not name.")
    return " ".join(sentences) or "The model was trained on none of the movies evaluated here."
