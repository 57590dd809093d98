"""Write what the demo needs: the embedded catalogue with its drawn posters, and two small pretrained encoders.

For `scripts/match.py` it also writes what a user brings: `scans/`, the posters of the test split under names that say
nothing, and `movies.csv`, a table in which some of their movies are missing.
"""

import argparse
import csv
import shutil
from pathlib import Path

from scripts.common.command_line import USER_ERRORS, quiet_libraries, stop

TABLE_COLUMNS = ("id", "title", "year", "plot_short", "plot_long")
ABSENT = 5  # of so many scanned posters, one has its movie missing from the table


def main(arguments: list[str] | None = None) -> None:
    """Write the demo's inputs into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/demo"))
    folder = parser.parse_args(arguments).folder
    quiet_libraries()
    from modeling.demo_encoders import export_text_encoder, export_vision_encoder
    from processing.stories import write_catalogue

    try:
        count = write_catalogue(folder / "catalogue")
        scans, absent = write_scans(folder)
        vision = export_vision_encoder(folder / "encoders" / "efficientnet-lite2")
        text = export_text_encoder(folder / "encoders" / "all-minilm-l6-v2")
    except USER_ERRORS as error:
        stop(error)
    print(f"{count} stories with drawn posters in {folder / 'catalogue'}; encoders in {vision} and {text}")
    print(f"{scans} posters in {folder / 'scans'}, of which {absent} have no movie in {folder / 'movies.csv'}")


def write_scans(folder: Path) -> tuple[int, int]:
    """Copies the test split's posters and writes a table that lacks some of their movies; returns both numbers."""
    from processing.catalogue.catalogue import load_catalogue
    from processing.stories import read_stories

    test = sorted(load_catalogue(str(folder / "catalogue")).splits["test"]["id"][:])
    shutil.rmtree(folder / "scans", ignore_errors=True)
    (folder / "scans").mkdir()
    for number, story in enumerate(test, 1):
        shutil.copy(folder / "catalogue" / "posters" / f"{story}.png", folder / "scans" / f"scan-{number:02}.png")
    absent = test[::ABSENT]
    with open(folder / "movies.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, TABLE_COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows(story for story in read_stories() if story["id"] not in absent)
    return len(test), len(absent)


if __name__ == "__main__":
    main()
