"""Evaluate a model on a split: `python scripts/evaluate.py MODEL --catalogue FOLDER --split test`.

With a second model, or the report of an earlier evaluation in place of one, the two are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, require_extra, stop
from scripts.common.evaluation.pool_arguments import PoolArguments

if TYPE_CHECKING:
    from processing.catalogue.catalogue import Catalogue
    from scripts.common.evaluation.evaluation import Evaluation
    from scripts.common.evaluation.evaluator import Evaluator


@dataclass
class ReportArguments:
    """What is written, and where."""

    output: Path | None = field(
        default=None,
        metadata={
            "help": "Folder for the report: report-SPLIT beside the weights by default; for two models "
            "comparison-SPLIT, with the reports of both inside."
        },
    )
    page: bool = field(default=True, metadata={"help": "Also write charts and a page; needs the extra `report`."})
    distances: Path | None = field(
        default=None, metadata={"help": "Also write the whole matrix of distances: a .npy or .parquet file."}
    )


def main(arguments: list[str] | None = None) -> None:
    """Evaluates or compares, prints the results and writes them."""
    quiet_libraries()
    classes = (CatalogueArguments, PoolArguments, ReportArguments)
    data, options, report, rest = parse(classes, arguments, positional="model", count="+", description=__doc__)
    from processing.evaluation.distances import check_format
    from scripts.common.evaluation.evaluation import Evaluation, check_replaceable

    comparing = len(rest.model) > 1
    try:
        if len(rest.model) > 2:
            raise ValueError(f"One model is evaluated or two are compared; {len(rest.model)} are named.")
        output = report.output or default_output(rest.model, options.split)
        folders = [output / letter for letter in "AB"] if comparing else [output]
        for folder in (output, *folders):
            if folder.exists() and not folder.is_dir():
                raise ValueError(f"{folder} is no folder: name one for the report.")
        if report.distances:
            if comparing:
                raise ValueError("distances: of two models at once there is no matrix of distances.")
            check_format(report.distances)
        if report.page:
            require_extra("report", "matplotlib", "sklearn", "threadpoolctl")
        catalogue = data.load(options.splits)
        parts = [find(name, catalogue, options, data.ocr_language, comparing) for name in rest.model]
        descriptions = [part.results if isinstance(part, Evaluation) else part.description() for part in parts]
        check_replaceable(output, descriptions)
        for folder, description in zip(folders, descriptions, strict=True):
            check_replaceable(folder, [description])
    except USER_ERRORS as error:
        stop(error)

    try:
        found = [
            part if isinstance(part, Evaluation) else evaluate(part, folder, report)
            for part, folder in zip(parts, folders, strict=True)
        ]
        if comparing:
            report_comparison(found[0], found[1], output, report.page)
    except (OSError, ValueError) as error:
        stop(error)


def find(
    name: str, catalogue: Catalogue, options: PoolArguments, ocr_language: str | None, comparing: bool
) -> Evaluator | Evaluation:
    """Returns a model to evaluate, or the report of an earlier evaluation to compare with."""
    from scripts.common.evaluation.evaluation import RESULTS, Evaluation
    from scripts.common.evaluation.evaluator import Evaluator

    if not (Path(name) / RESULTS).is_file():
        return Evaluator(name, catalogue, options, ocr_language)
    if not comparing:
        raise ValueError(f"{name} is the report of an evaluation already: name what to compare it with.")
    return Evaluation.load(Path(name), catalogue)


def evaluate(evaluator: Evaluator, folder: Path, report: ReportArguments) -> Evaluation:
    """Evaluates a model, prints the results and writes them into the folder."""
    from processing.evaluation.distances import write_distances
    from processing.reporting.results import PAGE
    from processing.reporting.tables import format_tables, report_tables
    from processing.reporting.wording import evaluation_name, trained_movies_words

    evaluation, shown = evaluator.evaluate()
    evaluation.save(folder)
    results = evaluation.results
    tables = format_tables(report_tables(results))
    print(f"\n{evaluation_name(results)} on {results['split']}; a tie counts against the model\n\n{tables}")
    print(f"\n{trained_movies_words(results)}")
    if results["titles"] == "use" and not results["both_stages"]:
        print(f"{evaluator.name} has no second stage: the first alone was measured.")
    (folder / "tables.md").write_text(f"{tables}\n", encoding="utf-8")
    (folder / PAGE).unlink(missing_ok=True)  # of an evaluation before this one
    if report.page:
        from processing.reporting.report import write_report  # needs the extra `report`

        write_report(folder, evaluator.movies, shown.embeds, shown.answers, evaluation.pool, results)
    if report.distances:
        write_distances(report.distances, *shown.embeds, evaluator.movies["id"][:])
        print(f"\nThe distances of all posters and movies are in {report.distances}")
    print(f"\nThe report is in {folder / PAGE if report.page else folder}")
    return evaluation


def report_comparison(one: Evaluation, other: Evaluation, folder: Path, page: bool) -> None:
    """Prints how two evaluations differ and writes it into the folder."""
    from processing.reporting.results import PAGE, write_results
    from processing.reporting.tables import comparison_tables, format_tables
    from scripts.common.evaluation.evaluation import RESULTS, compare

    comparison = compare(one, other)
    tables = format_tables(comparison_tables(comparison))
    print(f"\n{tables}")
    write_results(folder / RESULTS, comparison)
    (folder / "tables.md").write_text(f"{tables}\n", encoding="utf-8")
    if page:
        from processing.reporting.report import write_comparison  # needs the extra `report`

        write_comparison(folder, comparison, (one.pool, other.pool))
    print(f"\nThe comparison is in {folder / PAGE if page else folder}")


def default_output(models: list[str], split: str) -> Path:
    """Returns the folder beside a model's weights; one in the working directory for a Hub model and for two models."""
    if len(models) > 1:
        return Path(f"comparison-{split}")
    return Path(models[0] if Path(models[0]).is_dir() else ".") / f"report-{split}"


if __name__ == "__main__":
    main()
