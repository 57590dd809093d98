"""Charts of one evaluation."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from processing.evaluation.retrieval import PoolResult
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.pair_retrieval.measures import RECALL_AT
from processing.pair_retrieval.ranking import DIRECTIONS

from .style import CHANCE, COLOURS, DIRECTION_NAMES, INK, MARKERS, SOFT, legend_below, new_figure, styled

CELLS = 400  # rows and columns of a heat map, at most: with more a page shows no single one
SHOWN_GROUPS = 20
SHADES = {"image_to_text": ["#0f3a63", "#2f78b7", "#86b6dd"], "text_to_image": ["#7d4a05", "#d98b16", "#eec078"]}
HEAT_MAP = LinearSegmentedColormap.from_list("near", ["#0b2545", "#1f5f99", "#7fb0d2", "#dfe6e4", "#f7f4ee"])


def block_means(embeds: HybridVectors, size: int) -> NDArray[np.float64]:
    """Returns the mean of each block of `size` rows, (ceil(rows / size), dim); the last block may be smaller.

    The dot product of two such means is the mean of the dot products between their rows.

    Example:
        >>> embeds = HybridVectors.from_array(np.array([[1.0, 0.0], [3.0, 2.0], [7.0, 0.0]]), dense_dim=1)
        >>> block_means(embeds, 2).tolist()
        [[2.0, 1.0], [7.0, 0.0]]
    """
    blocks = (embeds[start : start + size] for start in range(0, len(embeds), size))
    means = [(block.dense.mean(axis=0, dtype=np.float64), block.sparse.mean(axis=0)) for block in blocks]
    return np.stack([np.concatenate(parts) for parts in means])


@styled
def distance_matrix(images: HybridVectors, texts: HybridVectors) -> Figure:
    """Draws a heat map of the distances -cosine of posters (rows) to movies (columns), right pairs on the diagonal.

    With more than 400 movies a cell is the mean over a block of equally many posters and movies.

    Args:
        images, texts: L2-normalised embeddings of the movies, in the same order.
    """
    size = -(-len(images) // CELLS)
    distances = -block_means(images, size) @ block_means(texts, size).T
    figure = new_figure("Distance of every poster to every movie", 5.9)
    axes = figure.add_subplot()
    ends = np.quantile(distances, [0.0005, 0.9995])
    extent = (0, len(texts), len(images), 0)
    drawn = axes.imshow(distances, cmap=HEAT_MAP, vmin=ends[0], vmax=ends[1], extent=extent)
    axes.grid(False)
    axes.set(xlabel="movie (number in the split)", ylabel="poster (number in the split)")
    of = "" if size == 1 else f", mean of {size} by {size}"
    bar = figure.colorbar(drawn, label=f"distance = -cosine{of}", location="bottom", fraction=0.05, aspect=30)
    bar.ax.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def rank_bins(pool_size: int) -> list[tuple[int, int]]:
    """Returns ranges of ranks, (first, last), that end at 1, 2, 5, 10, 20, 50 and so on, and at the pool's size.

    Example:
        >>> rank_bins(12)
        [(1, 1), (2, 2), (3, 5), (6, 10), (11, 12)]
    """
    ends = [digit * 10**power for power in range(len(str(pool_size))) for digit in (1, 2, 5)]
    ends = [*(end for end in ends if end < pool_size), pool_size]
    return [(before + 1, end) for before, end in zip([0, *ends], ends, strict=False)]


@styled
def rank_histogram(pool: PoolResult) -> Figure:
    """Draws the share of the best right answers by range of ranks, both directions.

    The dotted line is the chance of a query that has one right answer.
    """
    size = max(len(pool.image_ids), len(pool.text_ids))
    bins = rank_bins(size)
    figure = new_figure("Rank of the right answer", 1.5 + 0.36 * len(bins))
    axes = figure.add_subplot()
    places = np.arange(len(bins))
    for shift, direction in zip((-0.2, 0.2), DIRECTIONS, strict=True):
        ranks = getattr(pool, direction)
        shares = [np.mean((ranks >= first) & (ranks <= last)) for first, last in bins]
        axes.barh(places + shift, shares, 0.36, color=COLOURS[direction], label=DIRECTION_NAMES[direction])
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
    """Draws R@1, R@5 and R@10 against the size of the pool, one panel a direction, chance dotted.

    Args:
        sizes: by direction, the result of `pool_size_metrics`.
    """
    figure = new_figure("R@k by the size of the pool", 5.8)
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
        axes.set_title(DIRECTION_NAMES[direction], loc="left", fontsize=11, color=SOFT)
        axes.set_xscale("log")
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylabel("R@k")
        if len(at) <= 6:
            axes.set_xticks(at, [f"{size:,}" for size in at])
            axes.xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xlabel("candidates in the pool (dotted: chance)")
    return figure


@styled
def group_recalls(groups: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any], title: str) -> Figure:
    """Draws R@10 of each group with its interval, both directions, beside that of the whole pool and chance.

    Only the first twenty groups are drawn.

    Args:
        groups: by direction, the result of `recall_by_group`; the same groups in both.
        metrics: `PoolResult.summary()`.
        title: of the chart.
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
        axes.errorbar(shares, places + shift, xerr=spans, elinewidth=1.6, label=DIRECTION_NAMES[direction], **look)
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
