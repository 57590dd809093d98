"""Charts of matching with a confidence."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from processing.reporting.matching_tables import TABLES

from .style import INK, legend_below, new_figure, styled

COLOURS = {"complete_table": "#1f5f99", "half_of_the_table": "#d98b16", "one_to_one": "#1f7a4d"}
STYLES = {"complete_table": "-", "half_of_the_table": "--", "one_to_one": "-."}
MARKERS = {"complete_table": "o", "half_of_the_table": "D", "one_to_one": "s"}
LARGEST_DOT = 220  # square points, of all posters
FEWEST = 0.05  # share of posters; of fewer the precision jumps, and it is cut off


@styled
def risk_coverage_chart(matching: Mapping[str, Any]) -> Figure:
    """Draws the share of right answers against the share of posters that are answered, the most confident first.

    Args:
        matching: `BothStages.metrics`, with at least one of TABLES.
    """
    figure = new_figure("Right answers by the share of posters answered", 4.9)
    axes = figure.add_subplot()
    lowest = 1.0
    for name, label in _drawn(matching).items():
        curve = matching[name]["curve"]
        lowest = min(lowest, *(point["precision"] for point in curve if point["coverage"] > FEWEST))
        points = [point["coverage"] for point in curve], [point["precision"] for point in curve]
        axes.plot(*points, STYLES[name], color=COLOURS[name], linewidth=2, label=label)
        for asked, at in matching[name]["coverage"].items():
            axes.plot(at["coverage"], float(asked), MARKERS[name], color=COLOURS[name], markersize=6)
    axes.set(
        xlim=(0, 1.01),
        ylim=(lowest - 0.03, 1.01),
        xlabel="posters answered, most confident first",
        ylabel="right among them",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend_below(figure, columns=1)
    return figure


@styled
def reliability_chart(matching: Mapping[str, Any]) -> Figure:
    """Draws the share of right answers against the confidence, in bins; a calibrated one lies on the diagonal.

    The area of a dot grows with the posters in its bin.

    Args:
        matching: as for `risk_coverage_chart`.
    """
    figure = new_figure("Right answers by confidence", 5.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=1.4, label="calibrated")
    for name, label in _drawn(matching).items():
        curve = matching[name]["calibration"]["curve"]
        points = [point["confidence"] for point in curve], [point["right"] for point in curve]
        total = sum(point["count"] for point in curve)
        sizes = [12 + LARGEST_DOT * point["count"] / total for point in curve]
        axes.plot(*points, STYLES[name], color=COLOURS[name], linewidth=1.2)
        axes.scatter(*points, s=sizes, marker=MARKERS[name], color=COLOURS[name], alpha=0.75, linewidths=0, label=label)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal", xlabel="confidence", ylabel="right")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend_below(figure, columns=1)
    return figure


def _drawn(matching: Mapping[str, Any]) -> dict[str, str]:
    return {name: label for name, label in TABLES.items() if "curve" in matching.get(name, {})}
