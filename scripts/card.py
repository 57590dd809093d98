"""Write the card of a model from its evaluation: `python scripts/card.py MODEL/report-test`."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from processing.reporting.model_card import HUB_NAME, eval_results, fill_card
from processing.reporting.results import read_evaluation
from scripts.common.command_line import USER_ERRORS, parse, quiet_libraries, stop
from scripts.common.evaluator import RESULTS
from scripts.experiments.ablations import table

NAME = re.compile(r"[\w./ -]+")


@dataclass
class CardArguments:
    """What to write where."""

    name: str | None = field(
        default=None, metadata={"help": "The Hub repository that the card's example loads; the folder by default."}
    )
    dataset: str | None = field(
        default=None,
        metadata={"help": "The catalogue's name on the Hub, if it is there: for .eval_results beside the card."},
    )
    beside: Path | None = field(
        default=None, metadata={"help": "Results of scripts/ablations.py on the same pool, for a table of them."}
    )
    output: Path | None = field(default=None, metadata={"help": "The card; README.md beside the weights by default."})


def main(arguments: list[str] | None = None) -> None:
    """Fill the card."""
    quiet_libraries()
    options, rest = parse((CardArguments,), arguments, positional="results", description=__doc__)
    source = Path(rest.results)
    try:
        results = read_evaluation(source / RESULTS if source.is_dir() else source)
        if options.dataset and not HUB_NAME.fullmatch(options.dataset):
            raise ValueError(f"dataset: {options.dataset} is no name on the Hub, as someone/movies is.")
        if options.name and not NAME.fullmatch(options.name):
            raise ValueError(
                f"name: {options.name} is neither a name on the Hub, as someone/posterclip is, nor a path."
            )
        if not options.output and not Path(results["model"]).is_dir():
            raise ValueError(f"{results['model']} is no folder: name by --output where the card shall be.")
        output = options.output or Path(results["model"]) / "README.md"
        beside = table(options.beside) if options.beside else None
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
