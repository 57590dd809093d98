"""Show what is understood of a catalogue, and look for leaks between its splits, before anything trains on it.

Example: `python scripts/audit.py --catalogue FOLDER --output audit.json`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, stop


@dataclass
class AuditedCatalogueArguments(CatalogueArguments):
    """Which movies."""

    on_bad_rows: Literal["error", "skip"] = field(
        default="skip", metadata={"help": "skip: list every bad row in the report. error: stop at them."}
    )


@dataclass
class AuditArguments:
    """What becomes of what is found."""

    output: Path | None = field(default=None, metadata={"help": "JSON file of counts and ids; none by default."})
    tokenizer: str | None = field(
        default=None,
        metadata={"help": "A model or tokenizer that counts the plots it cuts; without one, a rule of thumb does."},
    )
    fail_on_leak: bool = field(default=False, metadata={"help": "End with an error if there is a leak."})


def main(arguments: list[str] | None = None) -> None:
    """Read the catalogue, look for leaks, print and write what was found."""
    quiet_libraries()
    data, options = parse((AuditedCatalogueArguments, AuditArguments), arguments, description=__doc__)
    from transformers import AutoTokenizer

    from processing.catalogue.fingerprints import fingerprint
    from processing.catalogue.leakage import audit, leak_count
    from processing.reporting.results import write_results
    from processing.reporting.tables import format_table, leak_lines, leak_rows, title_rows

    try:
        if options.output and (options.output.is_dir() or options.output.suffix != ".json"):
            raise ValueError(f"{options.output} cannot be written: name a file that ends in .json.")
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
        tokenizer = AutoTokenizer.from_pretrained(options.tokenizer) if options.tokenizer else None
        catalogue = data.load()
        found = audit(catalogue)
        if options.output:
            prints = {name: fingerprint(split) for name, split in catalogue.splits.items()}
            movies = {name: list(dict.fromkeys(split["id"][:])) for name, split in catalogue.splits.items()}
            report = catalogue.report(tokenizer) | {"splits": movies}
            write_results(options.output, {"catalogue": report, "data_fingerprint": prints, **found})
    except USER_ERRORS as error:
        stop(error)
    for line in catalogue.summary(tokenizer):
        print(line)
    print(f"\n{format_table(leak_rows(found))}")
    titles: dict[str, str] = {}
    for split in catalogue.splits.values():
        titles |= zip(split["id"], split["title"], strict=True)
    for line in leak_lines(found, titles):
        print(line)
    print(f"\n{format_table(title_rows(found))}")
    if options.output:
        print(f"\nWhat was found is in {options.output}, by ids")
    if options.fail_on_leak and (count := leak_count(found)):
        stop(ValueError(f"{data.catalogue}: {count} leak{'s' * (count > 1)} into validation or test"))


if __name__ == "__main__":
    main()
