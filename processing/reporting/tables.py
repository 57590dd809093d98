"""Results as rows of text, and rows as markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from processing.pair_retrieval.measures import RECALL_AT
from processing.pair_retrieval.ranking import DIRECTIONS

from .matching_tables import confidence_rows, matched_rows, matching_comparison_rows
from .wording import known_words

SHOWN_RECALLS = ("R@1", "R@10")
Table = tuple[str, list[list[str]]]


def report_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the tables of an evaluation: headings with rows for `format_table`."""
    known = known_words(results)
    heading = f"Every poster among all movies, and every movie among all posters; known of a movie: {known}"
    tables = [(heading, pool_rows(results["metrics"]))]
    if results["known"]:
        tables.append(("By what is known of a movie, in % with 95 % intervals", known_rows(results["known"])))
    if "matching" in results:
        tables.append((f"Matched by {known}, in %", matched_rows(results["matching"])))
        if rows := confidence_rows(results["matching"]):
            tables.append(("What is accepted at the precision asked, in %", rows))
    heading = "The same ranks in smaller pools: expected values in a random part that holds the right answer"
    tables.append((heading, pool_size_rows(results["pool_sizes"])))
    if "one_to_one" in results:
        heading = "The same pool, matched one to one: given that every poster has one movie and every movie one poster"
        tables.append((heading, one_to_one_rows(results["one_to_one"])))
    if "legacy_protocol" in results:
        tables.append((legacy_heading(results), legacy_protocol_rows(results["legacy_protocol"])))
    return tables


def comparison_tables(comparison: Mapping[str, Any]) -> list[Table]:
    """Returns the tables of two models on the same pool; `comparison` is as in `comparison_rows`."""
    models = comparison["models"]
    heading = f"{' and '.join(models)} on {comparison['split']}, the difference is second minus first"
    tables = [(heading, comparison_rows(comparison))]
    matching = [results["matching"] for results in comparison["results"] if "matching" in results]
    if len(matching) == len(models):
        tables.append(("Matching with a confidence", matching_comparison_rows(models, matching)))
    return tables


def format_tables(tables: Sequence[Table]) -> str:
    """Returns markdown tables under their headings.

    Example:
        >>> print(format_tables([("Two plots", [["pool", "R@1"], ["plots", "50.00%"]])]))
        Two plots
        <BLANKLINE>
        | pool  |    R@1 |
        | :---- | -----: |
        | plots | 50.00% |
    """
    return "\n\n".join(f"{heading}\n\n{format_table(rows)}" for heading, rows in tables)


def pool_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Returns rows for `format_table` from `PoolResult.summary()`, the chance line below each direction.

    Where the summary has `intervals`, those of `bootstrap_intervals`, they stand between the two.
    """
    rows = [["direction (pool)", "R@1", "R@5", "R@10", "median rank", "mean rank", "MRR"]]
    for direction, answers in zip(DIRECTIONS, ("movies", "posters"), strict=True):
        name = f"{direction.replace('_', '-')} ({summary['pool'][direction]:,} {answers})"
        rows.append([name, *_cells(summary[direction])])
        if "intervals" in summary:
            ends = [{key: interval[end] for key, interval in summary["intervals"][direction].items()} for end in (0, 1)]
            cells = zip(*map(_cells, ends), strict=True)
            rows.append(["95% interval", *(f"{low.removesuffix('%')}-{high}" for low, high in cells)])
        rows.append(["chance", *_cells(summary["chance"][direction])])
    return rows


def pool_size_rows(sizes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[list[str]]:
    """Returns rows for `format_table` from `pool_size_metrics` of each direction, the chance of each size beside it."""
    recalls = [f"R@{k}" for k in RECALL_AT]
    rows = [["direction (pool)", *(cell for recall in recalls for cell in (recall, "chance"))]]
    for direction in DIRECTIONS:
        for size, metrics in sizes[direction].items():
            cells = [f"{of[recall]:.2%}" for recall in recalls for of in (metrics, metrics["chance"])]
            rows.append([f"{direction.replace('_', '-')} ({int(size):,})", *cells])
    return rows


def ablation_rows(results: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Returns rows for `format_table` from results on the same pool by label: recalls in %, with intervals."""
    return recall_rows("model", {label: of["metrics"] for label, of in results.items()})


def known_rows(known: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Returns rows for `format_table` from `KnownPool.results`: recalls in %, with intervals, and their chance."""
    rows = recall_rows("known of a movie", {known_words(of): of["metrics"] for of in known})
    chance = known[0]["metrics"]["chance"]
    return [*rows, ["chance", *(f"{100 * chance[way][k]:.1f}" for k in SHOWN_RECALLS for way in DIRECTIONS)]]


def recall_rows(heading: str, metrics: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Returns rows for `format_table` from metrics with `intervals` by label: recalls in %, with intervals."""
    rows = [[heading, *(f"{recall} {_way(way)}" for recall in SHOWN_RECALLS for way in DIRECTIONS)]]
    for label, of in metrics.items():
        cells = []
        for recall in SHOWN_RECALLS:
            for way in DIRECTIONS:
                low, high = of["intervals"][way][recall]
                cells.append(f"{100 * of[way][recall]:.1f} ({100 * low:.1f}-{100 * high:.1f})")
        rows.append([label, *cells])
    return rows


def legacy_heading(results: Mapping[str, Any]) -> str:
    """Returns the heading of `legacy_protocol_rows`, which are those of the first stage."""
    known = known_words({**results, "both_stages": False})
    return f"All posters against all movies of all splits, as in the course report; known of a movie: {known}"


def legacy_protocol_rows(protocol: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Returns rows for `format_table` from `legacy_protocol`."""
    heading = ["movies (pool: all)", "count", "image-to-text", "text-to-image"]
    return [heading] + [
        [name, f"{group['count']:,}", *(f"{group[direction]:.2%}" for direction in DIRECTIONS)]
        for name, group in protocol.items()
    ]


def one_to_one_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Returns rows for `format_table` from `match_one_to_one`: those of the dual softmax, then of the assignment."""
    (_, *names), *rows = pool_rows(summary["dual_softmax"])
    pairs = summary["dual_softmax"]["pool"][DIRECTIONS[0]]
    shares = {f"assignment ({pairs:,} pairs)": "right_pairs", "chance": "chance"}
    blank = ["-"] * (len(names) - 1)
    heading = ["one to one, dual softmax (pool)", *names]
    return [heading, *rows, *([name, f"{summary['assignment'][key]:.2%}", *blank] for name, key in shares.items())]


def group_rows(kind: str, groups: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Returns rows for `format_table` from the groups of one kind, by direction, of `group_metrics`."""
    rows = [[kind, "movies", *(cell for way in DIRECTIONS for cell in (f"R@10 {_way(way)}", "95% interval"))]]
    for label, group in groups[DIRECTIONS[0]].items():
        cells = []
        for found in (groups[way][label] for way in DIRECTIONS):
            low, high = found["interval"]
            cells += [f"{found['R@10']:.2%}", f"{100 * low:.2f}-{high:.2%}"]
        rows.append([label, f"{group['count']:,}", *cells])
    return rows


def comparison_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """Returns rows for `format_table` of two models on the same pool, with the second less the first: shares in points.

    Args:
        comparison: `models`, two names; `results`, those of each; `differences` by direction and metric, each with
            `difference` and `interval` [low, high].
    """
    rows = [["metric", *comparison["models"], "difference", "95% interval"]]
    for direction, differences in comparison["differences"].items():
        both = [results["metrics"][direction] for results in comparison["results"]]
        for name, found in differences.items():
            cells = [metric_text(name, metrics[name]) for metrics in both]
            low, high = (difference_text(name, end) for end in found["interval"])
            label = f"{name.replace('_', ' ')}, {_way(direction)}"
            rows.append([label, *cells, difference_text(name, found["difference"]), f"{low} to {high}"])
    return rows


def metric_text(name: str, value: float) -> str:
    """Returns a metric as text: shares of queries in %, ranks with one digit, other means with four.

    Example:
        >>> metric_text("R@1", 0.5), metric_text("mean_rank", 3.25), metric_text("MRR", 0.5)
        ('50.00%', '3.2', '0.5000')
    """
    return f"{value:.2%}" if _is_share(name) else f"{value:,.1f}" if name.endswith("rank") else f"{value:.4f}"


def difference_text(name: str, value: float) -> str:
    """Returns the difference of a metric as text, signed; that of shares in percentage points.

    Example:
        >>> difference_text("R@1", 0.5), difference_text("mean_rank", -3.25)
        ('+50.00', '-3.2')
    """
    return f"{100 * value:+.2f}" if _is_share(name) else f"{value:+,.1f}" if name.endswith("rank") else f"{value:+.4f}"


def leak_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Returns rows for `format_table` from `audit`: pairs across a held-out split, and other pairs."""
    rows = [["in validation or test and in another split", "leaks", "held-out movies in them", "other pairs"]]
    names = {
        "posters": "pairs with nearly the same poster",
        "plots": "pairs with nearly the same plot",
        "series": "series",
    }
    for kind, name in names.items():
        leaks, others = found[kind]["leaks"], found[kind].get("duplicates")
        counts = [f"{leaks['count']:,}", f"{leaks['held_out_movies']:,}"]
        rows.append([name, *counts, f"{others['count']:,}" if others else "-"])
    return rows


def title_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Returns rows for `format_table` from `audit`: of how many movies with a title a plot holds it."""
    rows = [["movies with a title", "count", "in the first plot", "in any plot"]]
    for split, counts in found["titles"].items():
        rows.append([split, *(f"{counts[key]:,}" for key in ("movies", "first_plot", "any_plot"))])
    return rows


def leak_lines(found: Mapping[str, Any], titles: Mapping[str, str], most: int = 5) -> list[str]:
    """The likest leaks of each kind in `audit`, a line each, with the titles of the movies by id.

    Example:
        >>> pair = {"ids": ["7", "9"], "splits": ["train", "test"], "likeness": 0.97}
        >>> kinds = {kind: {"leaks": {"examples": []}} for kind in ("posters", "series")}
        >>> leak_lines(kinds | {"plots": {"leaks": {"examples": [pair]}}}, {"7": "Jaws", "9": ""})
        ['plots: 7 (train, Jaws) and 9 (test), likeness 0.97']
    """
    lines = []
    for kind in ("posters", "plots", "series"):
        examples = found[kind]["leaks"]["examples"]
        for pair in examples[:most]:
            movies = [
                f"{number} ({', '.join(filter(None, (split, titles[number])))})"
                for number, split in zip(pair["ids"], pair["splits"], strict=True)
            ]
            likeness = f", likeness {pair['likeness']:.2f}" if "likeness" in pair else ""
            lines.append(f"{kind}: {' and '.join(movies)}{likeness}")
        if len(examples) > most:
            lines.append(f"{kind}: and {found[kind]['leaks']['count'] - most:,} more")
    return lines


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns an aligned markdown table: the first row is the heading, the first column is flush left.

    Example:
        >>> print(format_table([["pool", "R@1"], ["plots", "50.00%"]]))
        | pool  |    R@1 |
        | :---- | -----: |
        | plots | 50.00% |
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for first, *others in (rows[0], rule, *rows[1:]):
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _way(direction: str) -> str:
    return direction.replace("image", "poster").replace("text", "movie").replace("_", " ")


def _is_share(name: str) -> bool:
    return name.lower().startswith(("r@", "recall@"))


def _cells(metrics: Mapping[str, float]) -> list[str]:
    """Returns a pool's metrics as text, in the order of the tables."""
    recalls = [f"{metrics[f'R@{k}']:.2%}" for k in RECALL_AT]
    middle = [f"{metrics[key]:,.1f}" for key in ("median_rank", "mean_rank")]
    return [*recalls, *middle, f"{metrics['MRR']:.4f}"]
