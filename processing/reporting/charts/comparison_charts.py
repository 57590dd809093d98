"""Charts of two models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from processing.pair_retrieval.ranking import DIRECTIONS, Ranks

from .style import COLOURS, DIRECTION_NAMES, INK, MARKERS, SOFT, legend_below, new_figure, styled


@styled
def differences_chart(differences: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Draws the differences of the metrics that are shares, in percentage points, with their intervals.

    Ranks have another unit and stay in the table.

    Args:
        differences: by direction and metric, `difference` and `interval` [low, high].
    """
    names = [name for name in differences[DIRECTIONS[0]] if not name.endswith("rank")]
    figure = new_figure("Gain of the second model over the first", 1.8 + 0.45 * len(names))
    axes = figure.add_subplot()
    places = np.arange(len(names))
    for shift, direction in zip((-0.16, 0.16), DIRECTIONS, strict=True):
        found = [differences[direction][name] for name in names]
        middle = 100 * np.array([each["difference"] for each in found])
        spans = np.abs(100 * np.array([each["interval"] for each in found]).T - middle)
        look: dict[str, Any] = {"color": COLOURS[direction], "fmt": MARKERS[direction], "markersize": 6}
        axes.errorbar(middle, places + shift, xerr=spans, elinewidth=2, label=DIRECTION_NAMES[direction], **look)
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("difference in percentage points, with 95 % interval")
    legend_below(figure)
    return figure


@styled
def rank_against_rank(ranks: tuple[Ranks, Ranks], direction: str, pool_size: int) -> Figure:
    """Draws each query's rank by the second model against that by the first; below the diagonal the second is better.

    The area of a dot grows with the queries that share it.
    """
    first, second = ranks
    figure = new_figure(f"Ranks by both models, {DIRECTION_NAMES[direction]}", 4.9)
    axes = figure.add_subplot()
    pairs, shared = np.unique(np.stack([first, second]), axis=1, return_counts=True)
    axes.scatter(pairs[0], pairs[1], s=20 * shared**0.75, color=COLOURS[direction], alpha=0.55, linewidths=0)
    axes.plot([1, pool_size], [1, pool_size], color=INK, linewidth=1.2)
    ends = 0.8, pool_size * 1.25
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="rank by the first model", ylabel="rank by the second model")
    counts = {"second better": second < first, "first": first < second, "equal": first == second}
    axes.set_title(
        ", ".join(f"{who}: {queries.sum():,}" for who, queries in counts.items()), loc="left", fontsize=10, color=SOFT
    )
    return figure
