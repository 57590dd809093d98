"""What matching with a confidence reaches, as rows of text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TABLES = {
    "complete_table": "complete table",
    "half_of_the_table": "half of the movies missing",
    "one_to_one": "complete table, one to one",
}
Matching = Mapping[str, Any]


def confidence_rows(matching: Matching) -> list[list[str]]:
    """Returns rows for `format_table` of what is accepted at each precision that is asked, in % with 95 % intervals.

    Args:
        matching: `BothStages.metrics`, of an evaluation that used titles; without a confidence there are no rows.
    """
    rows = []
    for name, found in _tables(matching):
        for asked, accepted in found["accepted"].items():
            cells = [_share(accepted[kind]) for kind in ("posters", "precision", "absent_accepted")]
            could = found["coverage"][asked]
            cells.append(_percent(could["coverage"], could["interval"]))
            rows.append([f"{TABLES[name]}; {float(asked):.0%}", *cells, f"{found['calibration']['error']:.4f}"])
    heading = ["precision asked", "posters accepted", "of these right", "of the absent accepted"]
    return [[*heading, "could be answered", "calibration error"], *rows] if rows else []


def matched_rows(matching: Matching) -> list[list[str]]:
    """Returns rows for `format_table` of the posters whose movie is found, in % with 95 % intervals."""
    rows = [["posters", "share"], ["whose movie is a candidate", _share(matching["right_among_candidates"])]]
    if "one_to_one" in matching:
        rows.append(["whose movie is found one to one", _share(matching["one_to_one"]["right_pairs"])])
    return rows


def matching_comparison_rows(models: Sequence[str], both: Sequence[Matching]) -> list[list[str]]:
    """Returns rows for `format_table` of two models, in %, with the second less the first in points.

    Args:
        models: their names.
        both: as `matching` of `confidence_rows`.
    """
    rows = [["matching, %", *models, "difference"]]
    first, second = ({name: of for name, of in _values(matching)} for matching in both)
    for name in first:
        if name in second:
            one, other = first[name], second[name]
            rows.append([name, _share(one), _share(other), f"{100 * (other['share'] - one['share']):+.1f}"])
    return rows


def _values(matching: Matching) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields names and shares, with their intervals where there are some."""
    yield "posters whose movie is a candidate", matching["right_among_candidates"]
    if "one_to_one" in matching:
        yield "posters whose movie is found one to one", matching["one_to_one"]["right_pairs"]
    for name, found in _tables(matching):
        kinds = {"posters": "accepted", "precision": "right of these", "absent_accepted": "absent ones accepted"}
        for asked, accepted in found["accepted"].items():
            for kind, words in kinds.items():
                if accepted[kind]["share"] is not None:
                    yield f"{TABLES[name]}: {words} at {float(asked):.0%}", accepted[kind]
            could = found["coverage"][asked]
            yield f"{TABLES[name]}: could be answered at {float(asked):.0%}", {"share": could["coverage"], **could}
        yield f"{TABLES[name]}: calibration error", {"share": found["calibration"]["error"], "interval": None}


def _tables(matching: Matching) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields those of TABLES for which there is a confidence."""
    for name in TABLES:
        if "accepted" in matching.get(name, {}):
            yield name, matching[name]


def _share(found: Mapping[str, Any]) -> str:
    return "-" if found["share"] is None else _percent(found["share"], found["interval"])


def _percent(share: float, interval: Sequence[float] | None) -> str:
    return f"{100 * share:.1f}" + (f" ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})" if interval else "")
