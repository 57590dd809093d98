"""What `make demo` leaves in the folder that POSTERCLIP_DEMO names; `make test` makes it once, before the tests."""

import csv
import json
import os
from pathlib import Path

import pytest
from PIL import Image

REPORTS = ("report-test", "report-titles")


@pytest.fixture
def folder() -> Path:
    """What `make demo` leaves."""
    if "POSTERCLIP_DEMO" not in os.environ:
        pytest.skip("POSTERCLIP_DEMO names no folder that make demo has left")
    return Path(os.environ["POSTERCLIP_DEMO"])


def test_held_out_stories_are_found_at_least_twice_as_often_as_by_chance(folder):
    metrics = json.loads((folder / "model" / "report-test" / "results.json").read_text())["metrics"]
    for direction in ("image_to_text", "text_to_image"):
        assert metrics["pool"][direction] >= 40
        assert metrics[direction]["R@5"] >= 2 * metrics["chance"][direction]["R@5"]
    assert Image.open(folder / "model" / "report-test" / "examples.png").height > 1000
    assert f"{metrics['image_to_text']['R@1']:.2%}" in (folder / "model" / "README.md").read_text(encoding="utf-8")


def test_titles_find_more_of_them_and_the_matches_are_accepted(folder):
    hidden, used = (json.loads((folder / "model" / name / "results.json").read_text()) for name in REPORTS)
    assert (hidden["titles"], used["titles"], used["plots"]) == ("hide", "use", "all") and used["both_stages"]
    for direction in ("image_to_text", "text_to_image"):
        assert used["metrics"][direction]["R@1"] > hidden["metrics"][direction]["R@1"] + 0.2
    accepted = used["matching"]["complete_table"]["accepted"]["0.95"]
    assert accepted["posters"]["share"] > 0.5 and accepted["precision"]["share"] > 0.9


def test_scanned_posters_are_matched_with_a_table_that_lacks_some_of_their_movies(folder):
    summary = json.loads((folder / "matches" / "summary.json").read_text(encoding="utf-8"))
    scans = sorted(path.name for path in (folder / "scans").iterdir())
    with open(folder / "matches" / "matches.csv", encoding="utf-8-sig", newline="") as file:
        assert [row["poster"] for row in csv.DictReader(file)] == scans
    assert summary["counts"]["posters"] == len(scans) and summary["titles"] == "use"
    assert (folder / "matches" / "review.html").is_file()
