"""A map of the embeddings of posters and plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import KernelPCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from processing.pair_retrieval.hybrid_vectors import Candidates, HybridVectors

from .style import INK, SOFT, legend_below, new_figure, styled

MOVIES = 150  # that are drawn at most: t-SNE of all of a large split takes minutes
FEW = 30  # points, too few for t-SNE
LINKS = 6
# Okabe and Ito's colours for all kinds of colour vision, without the yellow, which is too pale on white.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
OTHERS = "#cbc6bc"


def to_plane(points: HybridVectors) -> NDArray[np.float64]:
    """Returns two coordinates for each unit vector: t-SNE of 50 principal components; of few vectors the first two.

    t-SNE ([van der Maaten and Hinton 2008](https://jmlr.org/papers/v9/vandermaaten08a.html)) keeps neighbours
    together; distances between far groups mean nothing. The principal components are computed from dot products
    (kernel PCA with a linear kernel). The same vectors get the same places on the same machine.
    """
    exact = points.on_grid()
    dots = Candidates(exact).scores(exact)
    if not np.ptp(dots):  # a model that has collapsed
        return np.zeros((len(points), 2))
    perplexity = min(30, (len(points) - 1) / 3)
    with threadpool_limits(1):  # several threads sum in any order, and t-SNE amplifies differences in the last bit
        reduced = KernelPCA(min(50, len(points)), kernel="precomputed", eigen_solver="dense").fit_transform(dots)
        if len(points) < FEW:
            return reduced[:, :2]
        return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)


@styled
def embedding_map(images: HybridVectors, texts: HybridVectors, genres: Sequence[Sequence[str]]) -> Figure:
    """Draws posters and plots on one plane, in the colours of the six most frequent genres, with a few pairs linked.

    A movie has the colour of the first of its genres that has one. Of more than 150 movies, 150 are drawn, spread
    evenly.

    Args:
        images, texts: L2-normalised embeddings of the movies, in the same order.
        genres: of each movie.
    """
    rows = np.linspace(0, len(images) - 1, min(MOVIES, len(images))).astype(int)
    points = to_plane(HybridVectors.joined([images[rows], texts[rows]]))
    sides = {"o": points[: len(rows)], "^": points[len(rows) :]}
    frequent = [genre for genre, _ in Counter(name for own in genres for name in own).most_common(len(COLOURS))]
    colour_of = dict(zip(frequent, COLOURS, strict=False))
    colours = [next((colour_of[name] for name in genres[row] if name in colour_of), OTHERS) for row in rows]

    figure = new_figure("Posters (dots) and movies (triangles) in the model's space", 5.6)
    axes = figure.add_subplot()
    area = float(np.clip(9000 / len(rows), 9, 42))
    for marker, places in sides.items():
        axes.scatter(places[:, 0], places[:, 1], s=area, c=colours, marker=marker, alpha=0.75, linewidths=0)
    linked = np.linspace(0, len(rows) - 1, min(LINKS, len(rows))).astype(int)
    for start, end in zip(sides["o"][linked], sides["^"][linked], strict=True):
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 0.7})
    for name, colour in (colour_of | {"others": OTHERS}).items():
        axes.scatter([], [], s=42, color=colour, label=name if len(name) <= 16 else f"{name[:15]}…")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel("near points are similar; the axes have no unit", color=SOFT)
    legend_below(figure)
    return figure
