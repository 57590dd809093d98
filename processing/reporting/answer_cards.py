"""Posters beside the movies that a model ranks first, as cards of a page and as a picture."""

from __future__ import annotations

import base64
import io
import textwrap
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from processing.evaluation.retrieval import PoolResult
from processing.pair_retrieval.ranking import Ranks
from processing.posterclip.rgb import to_rgb

from .charts.style import INK, MISSED, RIGHT, SOFT, new_figure, styled

CARDS = 12  # in each part of the page
ANSWERS = 3
THUMBNAIL = (220, 330)
LABEL_LETTERS, PLOT_LETTERS = 42, 220

TopAnswers = tuple[NDArray[np.intp], NDArray[np.float64]]


@dataclass(frozen=True)
class Answer:
    """A movie that the model found for a poster, its plot, its score, and whether it is the poster's own."""

    title: str
    plot: str
    score: float
    right: bool


@dataclass(frozen=True)
class Card:
    """A poster as RGB thumbnail, its movie's title, its best movies, and the rank of its own."""

    poster: Image.Image
    title: str
    answers: list[Answer]
    rank: int

    def data_uri(self) -> str:
        """Returns the poster as the page holds it."""
        return webp_uri(self.poster)


def webp_uri(image: Image.Image, quality: int = 82) -> str:
    """Returns an RGB image as a data URI in WebP."""
    image.save(buffer := io.BytesIO(), "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def answer_cards(movies: Dataset, found: TopAnswers, pool: PoolResult) -> dict[str, list[Card]]:
    """Returns the cards of a page by part: `spread` over the split, the `best` and the `worst` found posters.

    Args:
        movies: of the split, with the columns of a catalogue; a movie with several posters has a row for each.
        found: the best movies of each poster, as rows, and their scores, (rows, k) each, best first.
        pool: the ranks.
    """
    chosen = {
        "spread": spread_rows(len(movies)),
        "best": best_rows(found[1], pool.image_to_text),
        "worst": worst_rows(pool.image_to_text),
    }
    return {part: make_cards(movies, found, pool, rows) for part, rows in chosen.items()}


def spread_rows(count: int) -> NDArray[np.intp]:
    """Returns rows spread evenly over a split, whatever the model answers there.

    Example:
        >>> spread_rows(3).tolist()
        [0, 1, 2]
    """
    return np.linspace(0, count - 1, min(CARDS, count)).astype(int)


def worst_rows(ranks: Ranks) -> NDArray[np.intp]:
    """Returns the rows of the posters whose right movie came last, the worst first; of equal ones the earlier first.

    Example:
        >>> worst_rows(np.array([1, 9, 2, 9])).tolist()
        [1, 3, 2, 0]
    """
    return np.argsort(-ranks, kind="stable")[:CARDS]


def best_rows(scores: NDArray[np.float64], ranks: Ranks) -> NDArray[np.intp]:
    """Returns the rows of the best found posters: by rank, then by the margin of the first answer over the second.

    Args:
        scores: (posters, k) of each poster's best answers, best first.
        ranks: of the posters' right movies.

    Example:
        >>> best_rows(np.array([[1.0, 0.6], [0.8, 0.0]]), np.array([1, 1])).tolist()  # the margins are 0.4 and 0.8
        [1, 0]
    """
    return np.lexsort((scores[:, 1:2].sum(1) - scores[:, 0], ranks))[:CARDS]


def make_cards(movies: Dataset, found: TopAnswers, pool: PoolResult, rows: NDArray[np.intp]) -> list[Card]:
    """Returns a card for each of these rows, its answers best first; among equal scores the right one comes last.

    `movies`, `found` and `pool` are as in `answer_cards`.
    """
    ids, titles, plots, cards = pool.image_ids, movies["title"], movies["plots"], []
    for row, best, scores in zip(rows.tolist(), found[0][rows].tolist(), found[1][rows].tolist(), strict=True):
        answers = [
            Answer(titles[j], textwrap.shorten(plots[j][0], PLOT_LETTERS, placeholder="…"), score, ids[j] == ids[row])
            for j, score in zip(best, scores, strict=True)
        ]
        rank = int(pool.image_to_text[row])
        shown = [answer for answer in answers if not answer.right]
        shown[rank - 1 : rank - 1] = [answer for answer in answers if answer.right]
        poster = to_rgb(movies[row]["image"])
        poster.thumbnail(THUMBNAIL)
        cards.append(Card(poster, titles[row], shown[:ANSWERS], rank))
    return cards


@styled
def draw_cards(cards: list[Card], title: str) -> Figure:
    """Draws a few cards, one below the other: a poster with the titles of its best movies, the right one in green."""
    figure = new_figure(title, 0.6 + 1.25 * len(cards))
    for axes, card in zip(figure.subplots(len(cards), 2, squeeze=False, width_ratios=(1, 4)), cards, strict=True):
        axes[0].imshow(card.poster)
        for each in axes:
            each.set_axis_off()
        lines = [(_label(card.title), INK, "bold")]
        lines += [
            (f"{answer.score:.2f}  {_label(answer.title)}", RIGHT if answer.right else SOFT, "normal")
            for answer in card.answers
        ]
        if not any(answer.right for answer in card.answers):
            lines.append((f"the right movie is at rank {card.rank:,}", MISSED, "normal"))
        for number, (text, colour, weight) in enumerate(lines):
            drawn = axes[1].text(
                0, 0.9 - 0.2 * number, text, color=colour, fontweight=weight, fontsize=9.5, va="center"
            )
            drawn.set_in_layout(False)
    return figure


def _label(title: str) -> str:
    return textwrap.shorten(title, LABEL_LETTERS, placeholder="…") or f"{title[:LABEL_LETTERS]}…"
