"""Charts of one evaluation, in the colours of the contact sheet, each legible 340 pixels wide."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from processing.evaluation.retrieval import PoolResult
from processing.pair_retrieval.measures import RECALL_AT
from processing.pair_retrieval.ranking import DIRECTIONS, Embeddings

from .contact_sheet import CARD, INK, LINE, SOFT

WIDTH = 5.0  # inches; with text of 11 points a chart 340 pixels wide has letters of 10
DPI = 216  # 1080 pixels: twice what a page shows
CELLS = 400  # rows and columns of a heat map, at most: with more a page shows no single one
SHOWN_GROUPS = 20
CHANCE = "chance"
# Blue and amber differ in lightness too, and each direction has a marker of its own.
COLOURS = {"image_to_text": "#1f5f99", "text_to_image": "#d98b16"}
SHADES = {"image_to_text": ["#0f3a63", "#2f78b7", "#86b6dd"], "text_to_image": ["#7d4a05", "#d98b16", "#eec078"]}
MARKERS = {"image_to_text": "o", "text_to_image": "D"}
WAYS = {"image_to_text": "poster to plot", "text_to_image": "plot to poster"}
HEAT = LinearSegmentedColormap.from_list("near", ["#0b2545", "#1f5f99", "#7fb0d2", "#dfe6e4", "#f7f4ee"])
STYLE: dict[str, Any] = {
    **{"font.family": "DejaVu Sans", "font.size": 11, "text.color": INK, "text.parse_math": False},
    **{"figure.facecolor": CARD, "axes.facecolor": CARD, "axes.edgecolor": LINE, "axes.labelcolor": INK},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True},
    **{"grid.color": "#ece8e0", "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": INK},
    **{"ytick.labelcolor": INK, "legend.frameon": False, "legend.fontsize": 10, "axes.labelsize": 11},
}
styled = style.context(["default", STYLE])


def new_figure(title: str, height: float) -> Figure:
    """An empty figure with its title, `height` in inches."""
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08))
    lines = textwrap.fill(title, 44)
    figure.suptitle(lines, x=0.02, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return figure


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG: the same figure, the same bytes."""
    figure.savefig(path, dpi=DPI, format="png", metadata={"Software": None})


def block_means(embeds: Embeddings, size: int) -> NDArray[np.float64]:
    """The mean of each `size` rows, the last of those that are left: (ceil(rows / size), dim).

    The dot product of two such means is the mean of the dot products between their rows.

    Example:
        >>> block_means(np.array([[1.0], [3.0], [7.0]]), 2).tolist()
        [[2.0], [7.0]]
    """
    starts = np.arange(0, len(embeds), size)
    counts = np.diff(np.append(starts, len(embeds)))
    return np.add.reduceat(np.asarray(embeds, np.float64), starts) / counts[:, None]


@styled
def distance_matrix(images: Embeddings, texts: Embeddings) -> Figure:
    """A heat map of the distances -cosine of posters (rows) to plots (columns), the right pairs on the diagonal.

    Where there are more than 400 movies, a cell is the mean over a block of equally many posters and plots.

    Args:
        images, texts: (movies, dim), L2-normalised, in the same order.
    """
    size = -(-len(images) // CELLS)
    distances = -block_means(images, size) @ block_means(texts, size).T
    figure = new_figure("Distance of every poster to every plot", 5.9)
    axes = figure.add_subplot()
    ends = np.quantile(distances, [0.0005, 0.9995])
    extent = (0, len(texts), len(images), 0)
    drawn = axes.imshow(distances, cmap=HEAT, vmin=ends[0], vmax=ends[1], extent=extent)
    axes.grid(False)
    axes.set(xlabel="plot (number in the split)", ylabel="poster (number in the split)")
    of = "" if size == 1 else f", mean of {size} by {size}"
    bar = figure.colorbar(drawn, label=f"distance = -cosine{of}", location="bottom", fraction=0.05, aspect=30)
    bar.ax.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def rank_bins(pool_size: int) -> list[tuple[int, int]]:
    """Ranges of ranks, (first, last), that end at 1, 2, 5, 10, 20, 50 and so on, the last at the pool's size.

    Example:
        >>> rank_bins(12)
        [(1, 1), (2, 2), (3, 5), (6, 10), (11, 12)]
    """
    ends = [digit * 10**power for power in range(len(str(pool_size))) for digit in (1, 2, 5)]
    ends = [*(end for end in ends if end < pool_size), pool_size]
    return [(before + 1, end) for before, end in zip([0, *ends], ends, strict=False)]


@styled
def rank_histogram(pool: PoolResult) -> Figure:
    """At which ranks the right answers came, in ranges, both directions, with what a random order would give.

    The pool has one right answer to each query.
    """
    size = len(pool.text_ids)
    bins = rank_bins(size)
    figure = new_figure("Where the right answer came", 1.5 + 0.36 * len(bins))
    axes = figure.add_subplot()
    places = np.arange(len(bins))
    for shift, direction in zip((-0.2, 0.2), DIRECTIONS, strict=True):
        ranks = getattr(pool, direction)
        shares = [np.mean((ranks >= first) & (ranks <= last)) for first, last in bins]
        axes.barh(places + shift, shares, 0.36, color=COLOURS[direction], label=WAYS[direction])
    expected = [(last - first + 1) / size for first, last in bins]
    axes.vlines(expected, places - 0.45, places + 0.45, INK, ":", linewidth=1.8, label=CHANCE)
    labels = [f"{first:,}" if first == last else f"{first:,}\u2013{last:,}" for first, last in bins]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel="share of the queries", ylabel=f"rank among {size:,}")
    legend_below(figure)
    return figure


@styled
def pool_size_curves(sizes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """R@1, R@5 and R@10 against the size of the pool, one panel a direction, chance dotted.

    Args:
        sizes: by direction, what `pool_size_metrics` returns.
    """
    figure = new_figure("The larger the pool, the harder", 5.8)
    panels: NDArray[Any] = figure.subplots(2, 1, sharex=True, sharey=True)
    for axes, direction in zip(panels, DIRECTIONS, strict=True):
        at, label = [int(size) for size in sizes[direction]], -0.09
        for k, colour in zip(RECALL_AT, SHADES[direction], strict=True):
            found = [metrics[f"R@{k}"] for metrics in sizes[direction].values()]
            expected = [metrics["chance"][f"R@{k}"] for metrics in sizes[direction].values()]
            axes.plot(at, found, color=colour, marker=MARKERS[direction], markersize=5, linewidth=2, clip_on=False)
            axes.plot(at, expected, color=colour, linestyle=":", linewidth=1.6)
            label = max(label + 0.09, found[-1])
            axes.annotate(f"R@{k}", (at[-1], label), (7, 0), textcoords="offset points", va="center")
        axes.set_title(WAYS[direction], loc="left", fontsize=11, color=SOFT)
        axes.set_xscale("log")
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylabel("found")
        if len(at) <= 6:
            axes.set_xticks(at, [f"{size:,}" for size in at])
            axes.xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xlabel("candidates in the pool (dotted: chance)")
    return figure


@styled
def group_recalls(groups: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any], title: str) -> Figure:
    """R@10 of each group with its interval, both directions, beside the whole pool's and chance.

    Only the first twenty groups are drawn.

    Args:
        groups: by direction, what `recall_by_group` returns; the same groups both ways.
        metrics: `PoolResult.summary()`.
        title: above it.
    """
    labels = list(groups[DIRECTIONS[0]])[:SHOWN_GROUPS]
    figure = new_figure(title, 1.7 + 0.36 * len(labels))
    axes = figure.add_subplot()
    places = np.arange(len(labels))
    for shift, direction in zip((-0.16, 0.16), DIRECTIONS, strict=True):
        found = [groups[direction][label] for label in labels]
        shares = np.array([group["R@10"] for group in found])
        spans = np.abs(np.array([group["interval"] for group in found]).T - shares)
        look: dict[str, Any] = {"color": COLOURS[direction], "fmt": MARKERS[direction], "markersize": 5}
        axes.errorbar(shares, places + shift, xerr=spans, elinewidth=1.6, label=WAYS[direction], **look)
        axes.axvline(metrics[direction]["R@10"], color=COLOURS[direction], linewidth=1.2, alpha=0.6)
    axes.axvline(metrics["chance"][DIRECTIONS[0]]["R@10"], color=INK, linestyle=":", linewidth=1.6, label=CHANCE)
    counts = [groups[DIRECTIONS[0]][label]["count"] for label in labels]
    names = [textwrap.shorten(label, 18, placeholder="…") or f"{label[:17]}…" for label in labels]
    axes.set_yticks(places, [f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("R@10; the lines are the whole pool's")
    legend_below(figure)
    return figure


def legend_below(figure: Figure) -> None:
    """One legend for the figure, under its axes, chance last."""
    entries = sorted(
        zip(*figure.axes[0].get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] == CHANCE
    )
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="outside lower left", ncols=3, columnspacing=1.2, handlelength=1.4)
