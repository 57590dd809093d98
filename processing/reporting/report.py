"""The report of an evaluation or a comparison: charts as PNG files, and one HTML page with everything in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from matplotlib.figure import Figure
from PIL import Image

from processing.evaluation.retrieval import PoolResult
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.pair_retrieval.ranking import DIRECTIONS

from . import tables
from .answer_cards import Card, TopAnswers, answer_cards, draw_cards, webp_uri
from .charts.comparison_charts import differences_chart, rank_against_rank
from .charts.embedding_map import MOVIES, embedding_map
from .charts.evaluation_charts import distance_matrix, group_recalls, pool_size_curves, rank_histogram
from .charts.matching_charts import reliability_chart, risk_coverage_chart
from .charts.style import DIRECTION_NAMES, save
from .matching_tables import TABLES
from .rendering import render
from .results import PAGE
from .wording import evaluated_words, trained_movies_words

EXAMPLES = 4  # cards in the picture examples.png


@dataclass(frozen=True)
class Chart:
    """A chart in a PNG file, the section of the page that it stands in, its caption, and its content in words."""

    path: Path
    section: str
    caption: str
    alt: str

    def data_uri(self) -> str:
        """Returns the chart as the page holds it."""
        with Image.open(self.path) as image:
            return webp_uri(image.convert("RGB"))

    def size(self) -> tuple[int, int]:
        """Returns width and height in pixels."""
        with Image.open(self.path) as image:
            return image.size


def write_report(
    folder: Path,
    movies: Dataset,
    embeds: tuple[HybridVectors, HybridVectors],
    answers: TopAnswers,
    pool: PoolResult,
    results: Mapping[str, Any],
) -> None:
    """Writes the page of one evaluation, its charts, and `examples.png` with a few posters and their best movies.

    Args:
        folder: is made if need be.
        movies: of the split, with the columns of a catalogue; a movie with several posters has a row for each.
        embeds: of posters and movies, in the same order.
        answers: the best movies of each poster, as rows, and their scores, (rows, k) each, best first.
        pool: the ranks.
        results: the content of `results.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cards = answer_cards(movies, answers, pool)
    title = f"Posters and their best of {len(pool.text_ids):,} movies"
    examples = cards["spread"][:: max(1, len(cards["spread"]) // EXAMPLES)][:EXAMPLES]
    save(draw_cards(examples, title), folder / "examples.png")
    write_page(folder / PAGE, results, draw_charts(folder, movies, embeds, pool, results), cards)


def draw_charts(
    folder: Path,
    movies: Dataset,
    embeds: tuple[HybridVectors, HybridVectors],
    pool: PoolResult,
    results: Mapping[str, Any],
) -> list[Chart]:
    """Draws the charts of one evaluation as PNG files and returns them in the order of the page.

    The arguments are those of `write_report`.
    """
    metrics, count = results["metrics"], len(movies)
    charts: list[Chart] = []

    def draw(name: str, section: str, figure: Figure, caption: str, alt: str) -> None:
        path = folder / f"{name}.png"
        save(figure, path)
        charts.append(Chart(path, section, caption, alt))

    draw(
        "ranks",
        "ranks",
        rank_histogram(pool),
        "A bar beyond the dotted line is more than chance. A good model has long bars at the top.",
        f"Bar chart of ranks. {_recalls(metrics)}",
    )
    draw(
        "pool-sizes",
        "ranks",
        pool_size_curves(results["pool_sizes"]),
        "The same ranks in random parts of the pool that hold the right answer. Compare models at one size only.",
        f"Curves of recall that fall as the pool grows. {_recalls(metrics)}",
    )
    draw(
        "distances",
        "space",
        distance_matrix(*embeds),
        "Dark is near. Right pairs lie on the diagonal. A stripe is a poster or movie that is near to everything.",
        f"Heat map of the distances of {count:,} posters to {count:,} movies, the right pairs on the diagonal.",
    )
    draw(
        "map",
        "space",
        embedding_map(*embeds, movies["genres"][:]),
        f"In two dimensions, by t-SNE (very few movies: by principal components), {MOVIES} movies at most. A movie has "
        "the colour of the first of its genres in the legend. Arrows lead from a few posters to their movies.",
        f"Scatter plot of posters and texts of {min(count, MOVIES):,} movies in the colours of their genres.",
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
            group_recalls(groups, metrics, f"Found among the first ten, by {kind}"),
            f"{note} In brackets the number of movies; the bars are 95 % Wilson intervals, wide where movies are few.",
            f"Dots with intervals. R@10 from poster to movie: {_listed(shares)}.",
        )
    matching = results.get("matching", {})
    if tables.confidence_rows(matching):
        draw(
            "risk-coverage",
            "matching",
            risk_coverage_chart(matching),
            "Answering only the most confident posters raises the share of right answers. The marks are at 90, 95 and "
            "99 %.",
            f"Curves of precision that fall as more posters are answered. {_coverages(matching)}",
        )
        draw(
            "reliability",
            "matching",
            reliability_chart(matching),
            "Below the diagonal the confidence is too high, above it too low. A larger dot is more posters.",
            f"Dots of the share of right answers by confidence. {_errors(matching)}",
        )
    return charts


def write_comparison(folder: Path, comparison: Mapping[str, Any], pools: tuple[PoolResult, PoolResult]) -> None:
    """Writes the page of two models side by side, and its charts.

    Args:
        folder: is made if need be.
        comparison: `models`, two names; `results`, those of each; `differences` by direction and metric, the second
            model's less the first's: `difference`, `interval` [low, high].
        pools: of the two models, over the same movies in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = comparison_words(comparison)
    path = folder / "differences.png"
    save(differences_chart(comparison["differences"]), path)
    alt = f"Dots with intervals. {' '.join(words)}"
    charts = [Chart(path, "differences", "An interval that holds zero shows no difference.", alt)]
    for direction in DIRECTIONS:
        first, second = (getattr(pool, direction) for pool in pools)
        size = comparison["results"][0]["metrics"]["pool"][direction]
        path = folder / f"ranks-{direction.replace('_', '-')}.png"
        save(rank_against_rank((first, second), direction, size), path)
        alt = (
            f"Scatter plot of {len(first):,} queries, {DIRECTION_NAMES[direction]}: the second model is better in "
            f"{(second < first).sum():,}, the first in {(first < second).sum():,}."
        )
        caption = "Below the diagonal the second model ranks the right answer higher. A larger dot is more queries."
        charts.append(Chart(path, "differences", caption, alt))
    _render(folder / PAGE, "comparison.html", charts=charts, comparison=comparison, words=words)


def write_page(
    path: Path, results: Mapping[str, Any], charts: Sequence[Chart], cards: Mapping[str, Sequence[Card]]
) -> None:
    """Writes an evaluation as one HTML file that loads nothing from outside.

    Args:
        path: of the file.
        results: the content of `results.json`.
        charts: those of `draw_charts`.
        cards: those of `answer_cards`, by part.
    """
    sentences = {"summary": summary_sentence(results), "trained_movies": trained_movies_words(results)}
    _render(path, "evaluation.html", charts=charts, cards=cards, results=results, **sentences)


def summary_sentence(results: Mapping[str, Any]) -> str:
    """Returns what is known of a movie, and R@1 in both directions, in words.

    Example:
        >>> way = {"R@1": 0.25}
        >>> metrics = {"pool": {"image_to_text": 40}, "image_to_text": way, "chance": {"image_to_text": {"R@1": 0.025}}}
        >>> metrics["intervals"] = {"image_to_text": {"R@1": [0.1, 0.4]}}
        >>> _found_first(metrics, "image_to_text", "movie", "posters")
        'the right movie of 40 first for 25.0 % of posters (10.0-40.0; chance 2.5)'
    """
    metrics = results["metrics"]
    movies = _found_first(metrics, "image_to_text", "movie", "posters")
    posters = _found_first(metrics, "text_to_image", "poster", "movies")
    return f"Known of a movie: {evaluated_words(results)}. The model finds {movies}, and {posters}."


def comparison_words(comparison: Mapping[str, Any]) -> list[str]:
    """Returns a sentence a direction: by which metrics a model is better, so that the interval excludes zero."""
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
        found.append(f"From {DIRECTION_NAMES[direction]}, {'; '.join(parts)}.")
    return found


def _found_first(metrics: Mapping[str, Any], direction: str, right: str, queries: str) -> str:
    share, chance = (100 * each[direction]["R@1"] for each in (metrics, metrics["chance"]))
    low, high = (100 * end for end in metrics["intervals"][direction]["R@1"])
    of = f"the right {right} of {metrics['pool'][direction]:,} first"
    return f"{of} for {share:.1f} % of {queries} ({low:.1f}-{high:.1f}; chance {chance:.1f})"


def _recalls(metrics: Mapping[str, Any]) -> str:
    shares = [
        f"{DIRECTION_NAMES[way]} {', '.join(f'{name} {metrics[way][name]:.1%}' for name in ('R@1', 'R@10'))}"
        for way in DIRECTIONS
    ]
    return f"{_listed(shares).capitalize()}."


def _coverages(matching: Mapping[str, Any]) -> str:
    shares = [
        f"{label}: {at['coverage']:.1%} at {float(asked):.0%}"
        for name, label in TABLES.items()
        for asked, at in matching.get(name, {}).get("coverage", {}).items()
    ]
    return f"{_listed(shares).capitalize()}."


def _errors(matching: Mapping[str, Any]) -> str:
    errors = [
        f"{label}: {matching[name]['calibration']['error']:.3f}"
        for name, label in TABLES.items()
        if "calibration" in matching.get(name, {})
    ]
    return f"Calibration errors: {_listed(errors)}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _render(path: Path, template: str, **content: Any) -> None:
    html = render(
        template,
        tables=tables,
        DIRECTION_NAMES=DIRECTION_NAMES,
        listed=_listed,
        evaluated_words=evaluated_words,
        **content,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
