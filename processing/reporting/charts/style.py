"""The look of all charts."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH = 5.0  # inches; with text of 11 points a chart 340 pixels wide has letters of 10
DPI = 216  # 1080 pixels: twice what a page shows
CHANCE = "chance"
CARD, LINE, INK, SOFT = "#ffffff", "#dedad2", "#26241f", "#7a756b"
RIGHT, MISSED = "#1f7a4d", "#a6502a"
# Blue and amber differ in lightness too, and each direction has a marker of its own.
COLOURS = {"image_to_text": "#1f5f99", "text_to_image": "#d98b16"}
MARKERS = {"image_to_text": "o", "text_to_image": "D"}
DIRECTION_NAMES = {"image_to_text": "poster to movie", "text_to_image": "movie to poster"}
STYLE: dict[str, Any] = {
    **{"font.family": "DejaVu Sans", "font.size": 11, "text.color": INK, "text.parse_math": False},
    **{"figure.facecolor": CARD, "axes.facecolor": CARD, "axes.edgecolor": LINE, "axes.labelcolor": INK},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True},
    **{"grid.color": "#ece8e0", "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": INK},
    **{"ytick.labelcolor": INK, "legend.frameon": False, "legend.fontsize": 10, "axes.labelsize": 11},
}
styled = style.context(["default", STYLE])


def new_figure(title: str, height: float) -> Figure:
    """Returns an empty figure with its title, `height` in inches."""
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08))
    lines = textwrap.fill(title, 44)
    figure.suptitle(lines, x=0.02, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return figure


@styled
def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG; the same figure gives the same bytes. A letter that the font lacks becomes a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(path, dpi=DPI, format="png", metadata={"Software": None})


def legend_below(figure: Figure, columns: int = 3) -> None:
    """Adds one legend for the figure under its axes, chance last."""
    entries = sorted(
        zip(*figure.axes[0].get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] == CHANCE
    )
    handles, labels = zip(*entries, strict=True)
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, columnspacing=1.2, handlelength=1.4)
