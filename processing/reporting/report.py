"""The page of an evaluation: its pictures, and one HTML file that holds all there is to see."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from processing.evaluation.retrieval import PoolResult
from processing.pair_retrieval.ranking import DIRECTIONS, Embeddings

from . import charts, comparison_charts, sheets, tables
from .embedding_map import embedding_map

QUALITY = 82  # of the page's copies of pictures, as WebP
EVALUATION, COMPARISON = "evaluation.html", "comparison.html"


@dataclass(frozen=True)
class Picture:
    """A picture in a file: the section of the page it is for, what stands below it, and what it says in words."""

    path: Path
    section: str
    caption: str
    alt: str

    def data_uri(self) -> str:
        """The picture as the page holds it."""
        buffer = io.BytesIO()
        with Image.open(self.path) as image:
            image.convert("RGB").save(buffer, "WEBP", quality=QUALITY)
        return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        with Image.open(self.path) as image:
            return image.size


def write_pictures(
    folder: Path,
    movies: Dataset,
    embeds: tuple[Embeddings, Embeddings],
    pool: PoolResult,
    results: Mapping[str, Any],
) -> list[Picture]:
    """Draw one evaluation into a folder as PNG files, in the order of the page.

    Args:
        folder: is made if need be.
        movies: of the split, with the columns of a catalogue.
        embeds: of their posters and plots, (movies, dim) each, in the same order.
        pool: what `evaluate_pool` makes of them.
        results: what `results.json` holds, of which `metrics`, `pool_sizes` and `groups` are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics, split, count = results["metrics"], results["split"], len(movies)
    pictures: list[Picture] = []

    def draw(name: str, section: str, figure: Figure, caption: str, alt: str) -> None:
        path = folder / f"{name}.png"
        charts.save(figure, path)
        pictures.append(Picture(path, section, caption, alt))

    shown: dict[str, tuple[str, Any, str]] = {
        "spread": (
            "Posters",
            sheets.spread_rows(count),
            "Spread evenly over the split, whatever the model made of them.",
        ),
        "best": (
            "The most clearly found posters",
            sheets.best_rows(embeds, pool.image_to_text),
            "By the rank of the right plot, then by the lead of the first. Chosen because they went well: no sample.",
        ),
        "worst": (
            "The worst found posters",
            sheets.worst_rows(pool.image_to_text),
            "Right plot last. Chosen because they went badly: what the model cannot do.",
        ),
    }
    for name, (which, rows, caption) in shown.items():
        path = folder / f"sheet-{name}.png"
        heading = f"{which} of the {split} split, each with its best of {count:,} plots"
        sheets.draw_sheet(movies, embeds, pool, rows, heading).save(path)
        alt = f"Contact sheet. {heading}: {_listed([movies[int(row)]['title'] or 'untitled' for row in rows])}."
        pictures.append(Picture(path, name, caption, alt))

    draw(
        "ranks",
        "ranks",
        charts.rank_histogram(pool),
        "Bars to the right of the dotted line: more often than by chance. A good model fills the top.",
        f"Bar chart of ranks. {_recalls(metrics)}",
    )
    draw(
        "pool-sizes",
        "ranks",
        charts.pool_size_curves(results["pool_sizes"]),
        "The same ranks in random parts of the pool that hold the right answer. Compare models at one size only.",
        f"Curves of recall that fall as the pool grows. {_recalls(metrics)}",
    )
    draw(
        "distances",
        "space",
        charts.distance_matrix(*embeds),
        "Dark is near. Right pairs lie on the diagonal; stripes are posters and plots that are near to everything.",
        f"Heat map of the distances of {count:,} posters to {count:,} plots, the right pairs on the diagonal.",
    )
    draw(
        "map",
        "space",
        embedding_map(*embeds, movies["genres"][:]),
        "In two dimensions, by t-SNE (very few movies: by principal components). A movie has the colour of the first "
        "of its genres in the legend; arrows lead from a few posters to their plots.",
        f"Scatter plot of posters and plots of {count:,} movies in the colours of their genres.",
    )
    notes = {
        "genre": "A movie of several genres counts in each.",
        "decade": "The decade of the movie's year.",
    }
    for kind, note in notes.items():
        groups = results["groups"][kind]
        first = groups[DIRECTIONS[0]]
        shares = [f"{label} {group['R@10']:.0%} of {group['count']}" for label, group in first.items()]
        draw(
            f"by-{kind}",
            "groups",
            charts.group_recalls(groups, metrics, f"Found among the first ten, by {kind}"),
            f"{note} In brackets the number of movies; the bars are 95 % Wilson intervals, wide where movies are few.",
            f"Dots with intervals. R@10 from poster to plot: {_listed(shares)}.",
        )
    return pictures


def draw_comparison(folder: Path, comparison: Mapping[str, Any], pools: tuple[PoolResult, PoolResult]) -> list[Picture]:
    """Draw two models' differences and their ranks, query by query, into a folder as PNG files.

    Args:
        folder: is made if need be.
        comparison: as in `write_comparison`.
        pools: of the two models, over the same movies in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "differences.png"
    charts.save(comparison_charts.differences_chart(comparison["differences"]), path)
    words = " ".join(comparison_words(comparison))
    pictures = [Picture(path, "differences", "An interval that crosses zero shows no difference.", f"Dots. {words}")]
    for direction in DIRECTIONS:
        first, second = (getattr(pool, direction) for pool in pools)
        size = comparison["results"][0]["metrics"]["pool"][direction]
        path = folder / f"ranks-{direction.replace('_', '-')}.png"
        charts.save(comparison_charts.rank_against_rank((first, second), direction, size), path)
        alt = (
            f"Scatter plot of {len(first):,} queries, {charts.WAYS[direction]}: the second model is better in "
            f"{(second < first).sum():,}, the first in {(first < second).sum():,}."
        )
        caption = "Below the diagonal the second model ranks the right answer higher. Larger dots are more queries."
        pictures.append(Picture(path, "differences", caption, alt))
    return pictures


def write_page(path: Path, results: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
    """Write an evaluation as one HTML file that asks for nothing outside it.

    Args:
        path: of the file.
        results: what `results.json` holds.
        pictures: those of `write_pictures`.
    """
    _render(path, EVALUATION, pictures, results=results, verdict=verdict(results))


def write_comparison(path: Path, comparison: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
    """Write two models side by side as one HTML file that asks for nothing outside it.

    Args:
        path: of the file.
        comparison: `models`, two names; `results`, those of each; `differences` by direction and metric, the second's
            less the first's: `difference`, `interval` [low, high].
        pictures: those of `draw_comparison`.
    """
    _render(path, COMPARISON, pictures, comparison=comparison, words=comparison_words(comparison))


def verdict(results: Mapping[str, Any]) -> str:
    """One sentence with the numbers that matter most.

    Example:
        >>> way = {"R@1": 0.25}
        >>> metrics = {"pool": {"image_to_text": 40}, "image_to_text": way, "chance": {"image_to_text": {"R@1": 0.025}}}
        >>> metrics["intervals"] = {"image_to_text": {"R@1": [0.1, 0.4]}}
        >>> _found_first(metrics, "image_to_text", "plot", "posters")
        'the right plot of 40 first for 25.0 % of posters (10.0-40.0; chance 2.5)'
    """
    metrics = results["metrics"]
    plots = _found_first(metrics, "image_to_text", "plot", "posters")
    posters = _found_first(metrics, "text_to_image", "poster", "plots")
    hidden = {"mask_titles": "the titles masked in the plots", "remove_poster_text": "the lettering painted over"}
    masks = [words for name, words in hidden.items() if results[name]]
    return f"{f'With {_listed(masks)}, it' if masks else 'It'} finds {plots}, and {posters}."


def comparison_words(comparison: Mapping[str, Any]) -> list[str]:
    """In words, by direction, in which metrics the interval of the difference excludes zero, and for whom."""
    found = []
    for direction, differences in comparison["differences"].items():
        better: dict[str, list[str]] = {"second": [], "first": [], "neither": []}
        for name, each in differences.items():
            low, high = each["interval"]
            lower_is_better = name.endswith("rank")
            winner = "neither" if low <= 0 <= high else "second" if (low > 0) != lower_is_better else "first"
            label = name.replace("_", " ")
            text = label if winner == "neither" else f"{label} ({tables.difference_text(name, each['difference'])})"
            better[winner].append(text)
        clear = {who: names for who, names in better.items() if names and who != "neither"}
        parts = [f"the {who} model is better by {_listed(names)}" for who, names in clear.items()]
        if better["neither"]:
            parts.append(f"no difference is shown by {_listed(better['neither'])}")
        found.append(f"From {charts.WAYS[direction]}, {'; '.join(parts)}.")
    return found


def _found_first(metrics: Mapping[str, Any], direction: str, right: str, queries: str) -> str:
    share, chance = (100 * each[direction]["R@1"] for each in (metrics, metrics["chance"]))
    low, high = (100 * end for end in metrics["intervals"][direction]["R@1"])
    of = f"the right {right} of {metrics['pool'][direction]:,} first"
    return f"{of} for {share:.1f} % of {queries} ({low:.1f}-{high:.1f}; chance {chance:.1f})"


def _recalls(metrics: Mapping[str, Any]) -> str:
    shares = [
        f"{charts.WAYS[way]} {', '.join(f'{name} {metrics[way][name]:.1%}' for name in ('R@1', 'R@10'))}"
        for way in DIRECTIONS
    ]
    return f"{_listed(shares).capitalize()}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _render(path: Path, template: str, pictures: Sequence[Picture], **content: Any) -> None:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(template).render(
        pictures=pictures, tables=tables, DIRECTIONS=DIRECTIONS, ways=charts.WAYS, listed=_listed, **content
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
