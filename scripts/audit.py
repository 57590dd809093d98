"""Audit a catalogue before training: `python scripts/audit.py --catalogue FOLDER --output leaks.json`."""

from dataclasses import dataclass, field
from pathlib import Path

from processing.catalogue.fingerprints import fingerprint
from processing.catalogue.leakage import audit, leak_count
from processing.reporting.results import write_results
from processing.reporting.tables import format_table, leak_lines, leak_rows, title_rows
from scripts.common.command_line import USER_ERRORS, CatalogueArguments, parse, quiet_libraries, stop


@dataclass
class AuditArguments:
    """What becomes of what is found."""

    output: Path | None = field(default=None, metadata={"help": "JSON file of counts and ids; none by default."})
    fail_on_leak: bool = field(default=False, metadata={"help": "End with an error if there is a leak."})


def main(arguments: list[str] | None = None) -> None:
    """Look for leaks, print and write them."""
    quiet_libraries()
    data, options = parse((CatalogueArguments, AuditArguments), arguments, description=__doc__)
    try:
        if options.output and (options.output.is_dir() or options.output.suffix != ".json"):
            raise ValueError(f"{options.output} cannot be written: name a file that ends in .json.")
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
        catalogue = data.load()
        found = audit(catalogue)
        if options.output:
            prints = {name: fingerprint(split) for name, split in catalogue.splits.items()}
            write_results(options.output, {"catalogue": catalogue.report(), "data_fingerprint": prints, **found})
    except USER_ERRORS as error:
        stop(error)
    print(format_table(leak_rows(found)))
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
