"""Contact sheets of a pool: which posters they show, and what the model answers to them."""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from PIL import Image

from processing.evaluation.retrieval import PoolResult, top_answers
from processing.pair_retrieval.ranking import Embeddings, Ranks

from .contact_sheet import Answer, contact_sheet

SHEET_POSTERS, SHEET_ANSWERS = 12, 3


def spread_rows(count: int) -> NDArray[np.intp]:
    """Rows spread evenly over a split, not chosen by how well they did: as many as a contact sheet shows.

    Example:
        >>> spread_rows(3).tolist()
        [0, 1, 2]
    """
    return np.linspace(0, count - 1, min(SHEET_POSTERS, count)).astype(int)


def worst_rows(ranks: Ranks) -> NDArray[np.intp]:
    """Rows of the posters whose right plot came last, the worst first; of equal ones the earlier first.

    Example:
        >>> worst_rows(np.array([1, 9, 2, 9])).tolist()
        [1, 3, 2, 0]
    """
    return np.argsort(-ranks, kind="stable")[:SHEET_POSTERS]


def best_rows(embeds: tuple[Embeddings, Embeddings], ranks: Ranks) -> NDArray[np.intp]:
    """Rows of the posters that were found most clearly: by rank, then by how far the first answer leads the second.

    `embeds` are those of posters and of plots, (movies, dim) each; `ranks` of the posters' right plots.

    Example:
        >>> posters, plots = np.eye(2), np.array([[1.0, 0.0], [0.6, 0.8]])
        >>> best_rows((posters, plots), np.array([1, 1])).tolist()  # they lead by 0.4 and by 0.8
        [1, 0]
    """
    scores = top_answers(*embeds, 2)[1]
    return np.lexsort((scores[:, -1] - scores[:, 0], ranks))[:SHEET_POSTERS]


def shown_answers(
    movies: Dataset, embeds: tuple[Embeddings, Embeddings], pool: PoolResult, rows: NDArray[np.intp]
) -> list[list[Answer]]:
    """The three best plots of the posters in these rows, best first; among equal scores the right one comes last."""
    images, texts = embeds
    titles, plots = movies["title"], [plots[0] for plots in movies["plots"]]
    answers = []
    for row, *best in zip(rows, *top_answers(images[rows], texts, SHEET_ANSWERS + 1), strict=True):
        found = [Answer(titles[j], plots[j], float(score), bool(j == row)) for j, score in zip(*best, strict=True)]
        shown = [answer for answer in found if not answer.right]
        place = int(pool.image_to_text[row]) - 1
        shown[place:place] = [answer for answer in found if answer.right]
        answers.append(shown[:SHEET_ANSWERS])
    return answers


def draw_sheet(
    movies: Dataset,
    embeds: tuple[Embeddings, Embeddings],
    pool: PoolResult,
    rows: NDArray[np.intp],
    heading: str,
) -> Image.Image:
    """A contact sheet of the posters in these rows, each with its `shown_answers` and the rank of the right one.

    `embeds` are those of posters and of plots, (movies, dim) each; `pool` is what `evaluate_pool` makes of them.
    """
    titles, answers = movies["title"], shown_answers(movies, embeds, pool, rows)
    posters = [movies[int(row)]["image"] for row in rows]
    ranks = [int(rank) for rank in pool.image_to_text[rows]]
    footer = "The number beside a plot is its cosine similarity. A tie counts against the model."
    return contact_sheet(posters, [titles[row] for row in rows], answers, ranks, heading=heading, footer=footer)
