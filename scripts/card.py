"""Write the card of a model from its evaluation: `python scripts/card.py MODEL/report-test`."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from scripts.common.command_line import USER_ERRORS, parse, quiet_libraries, stop

NAME = re.compile(r"[\w./ -]+")


@dataclass
class CardArguments:
    """The card and its tables."""

    name: str | None = field(
        default=None,
        metadata={"help": "The Hub repository in the card's example; the folder by default."},
    )
    dataset: str | None = field(
        default=None,
        metadata={"help": "The catalogue's name on the Hub: writes .eval_results beside the card."},
    )
    beside: list[Path] = field(
        default_factory=list,
        metadata={"help": "Results files of other models or settings on the same pool, for a table in this order."},
    )
    output: Path | None = field(default=None, metadata={"help": "The card; README.md beside the weights by default."})


def main(arguments: list[str] | None = None) -> None:
    """Read the results and write the card."""
    quiet_libraries()
    options, rest = parse((CardArguments,), arguments, positional="results", description=__doc__)
    from processing.reporting.model_card import HUB_NAME, eval_results, fill_card
    from processing.reporting.results import read_evaluation, read_evaluations
    from scripts.common.evaluation.evaluation import RESULTS

    source = Path(rest.results)
    try:
        results = read_evaluation(source / RESULTS if source.is_dir() else source)
        if options.dataset and not HUB_NAME.fullmatch(options.dataset):
            raise ValueError(f"dataset: {options.dataset} is no name on the Hub, such as someone/movies.")
        if options.name and not NAME.fullmatch(options.name):
            raise ValueError(
                f"name: {options.name} is neither a name on the Hub, such as someone/posterclip, nor a path."
            )
        if not options.output and not Path(results["model"]).is_dir():
            raise ValueError(f"{results['model']} is no folder: give the card's path by --output.")
        output = options.output or Path(results["model"]) / "README.md"
        beside = read_evaluations(options.beside) if options.beside else None
        output.write_text(fill_card(results, options.name or results["model"], beside), encoding="utf-8")
        if options.dataset:
            entries = output.parent / ".eval_results" / "posterclip.yaml"
            entries.parent.mkdir(exist_ok=True)
            entries.write_text(eval_results(results, options.dataset), encoding="utf-8")
    except USER_ERRORS as error:
        stop(error)
    print(f"The card is in {output}")


if __name__ == "__main__":
    main()
