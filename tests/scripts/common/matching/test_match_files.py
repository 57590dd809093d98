import csv
import json
import resource

import pytest
from datasets import Dataset
from PIL import Image

from processing.reporting.results import read_results
from scripts.common.matching.match_files import MatchInputs, check_folder, write_matches

SETTINGS = {"model": "m", "posters": "scans", "movies": "movies.csv", "titles": "use", "precision": 0.95}


@pytest.fixture
def scans(tmp_path):
    """Three posters in a tree, two of them the same file, and two files that are none."""
    folder = tmp_path / "scans"
    (folder / "box 1").mkdir(parents=True)
    Image.effect_noise((200, 300), 90).save(folder / "IMG_1.jpg")
    Image.effect_noise((200, 300), 90).save(folder / "box 1" / "IMG_1.jpg")
    (folder / "copy.jpg").write_bytes((folder / "IMG_1.jpg").read_bytes())
    (folder / "cut.jpg").write_bytes((folder / "IMG_1.jpg").read_bytes()[:3000])
    (folder / "page.jpg").write_bytes(b"<!DOCTYPE html>")
    return folder


@pytest.fixture
def table(tmp_path):
    """Two movies, one of them without a plot, one twice, and a row that says nothing."""
    file = tmp_path / "movies.csv"
    file.write_text("id,title,plot\n7,Moby Dick,A whale.\n8,Dracula,\n7,Moby Dick,A whale.\n9,,\n")
    return file


@pytest.fixture
def inputs(scans, table):
    return MatchInputs.read(str(scans), str(table))


def matches_of(inputs):
    """Every poster is Moby Dick, with little doubt."""
    found = {"id": "7", "title": "Moby Dick", "year": None, "confidence": 0.96, "similarity": 0.5}
    row = {"status": "accepted", **found, "matched": ["moby"], "poster_text": ["MOBY"], "error": None}
    rows = [
        {"poster": name, **row, "candidates": [{**found, "matched": ["moby"]}]} for name in inputs.posters["poster"][:]
    ]
    return Dataset.from_list(rows)


def test_posters_of_a_tree_are_read_and_what_cannot_be_is_named(inputs):
    assert sorted(inputs.posters["poster"][:]) == ["IMG_1.jpg", "box 1/IMG_1.jpg", "copy.jpg"]
    assert inputs.failed == {"cut.jpg": "image is truncated", "page.jpg": "not an image: starts with <!DOCTYPE"}
    lines = "\n".join(inputs.lines())
    assert "posters that cannot be read (2):\n  cut.jpg: image is truncated" in lines
    assert "the same picture: IMG_1.jpg, copy.jpg" in lines


def test_a_movie_that_is_there_twice_and_one_without_anything_are_named(inputs):
    assert inputs.movies["id"][:] == ["7", "8"]
    assert len(inputs.bad_rows) == 2
    assert "the same movie as" in inputs.bad_rows[0] and "neither a title nor a plot" in inputs.bad_rows[1]


def test_with_hidden_titles_movies_without_a_plot_are_left_out_and_counted(scans, table, tmp_path):
    inputs = MatchInputs.read(str(scans), str(table), titles="hide")
    assert inputs.movies["id"][:] == ["7"]
    assert any("movies without a plot, which are not found while titles are hidden: 1" in note for note in inputs.notes)
    (tmp_path / "titles.csv").write_text("title\nDracula\n")
    with pytest.raises(ValueError, match=r"titles\.csv has no plots, and the titles are hidden"):
        MatchInputs.read(str(scans), str(tmp_path / "titles.csv"), titles="hide")


def test_a_table_without_titles_is_matched_by_plots_and_says_so(scans, tmp_path):
    (tmp_path / "plots.csv").write_text("id,plot\n7,A whale.\n8,A count.\n")
    inputs = MatchInputs.read(str(scans), str(tmp_path / "plots.csv"))
    assert inputs.titles == "hide"
    assert any("has no titles: posters are matched by plots alone" in note for note in inputs.notes)


def test_movies_without_a_title_among_others_with_one_are_counted(scans, tmp_path):
    (tmp_path / "mixed.csv").write_text("title,plot\nMoby Dick,A whale.\n,A count.\n,A shark.\n")
    inputs = MatchInputs.read(str(scans), str(tmp_path / "mixed.csv"))
    assert inputs.titles == "use"
    assert any("seldom found beside those with one" in note and note.endswith(": 2") for note in inputs.notes)


def test_a_folder_of_broken_posters_is_refused(table, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"none of the 1 posters in .*broken can be read, first a\.jpg: image is empty"
    ):
        MatchInputs.read(str(tmp_path / "broken"), str(table))


def test_the_results_are_three_files_with_every_poster_in_them(inputs, tmp_path):
    folder = tmp_path / "out"
    summary = write_matches(folder, matches_of(inputs), inputs, SETTINGS, {"calibration": None})
    assert sorted(path.name for path in folder.iterdir()) == ["matches.csv", "review.html", "summary.json"]
    with open(folder / "matches.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["poster"]: row for row in csv.DictReader(file)}
    assert rows["copy.jpg"]["status"] == "accepted" and rows["cut.jpg"]["error"] == "image is truncated"
    read = read_results(folder / "summary.json")
    assert {name: read[name] for name in summary} == summary
    assert read["counts"] == {"posters": 5, "movies": 2, "statuses": {"accepted": 3, "failed": 2}}
    assert read["expected_precision"] == 0.96 and read["titles"] == "use"
    assert "96.0 % are expected to be right" in (folder / "review.html").read_text(encoding="utf-8")


def test_a_run_replaces_its_own_results_and_no_others(inputs, tmp_path):
    folder = tmp_path / "out"
    check_folder(folder, SETTINGS)
    write_matches(folder, matches_of(inputs), inputs, SETTINGS, {})
    check_folder(folder, {**SETTINGS, "precision": 0.99})
    with pytest.raises(ValueError, match=r"out holds the matches of another run \(movies movies\.csv\)"):
        check_folder(folder, {**SETTINGS, "movies": "others.csv"})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="full holds something else"):
        check_folder(tmp_path / "full", SETTINGS)


def test_on_a_full_disk_the_results_of_before_stay(inputs, tmp_path):
    folder = tmp_path / "out"
    write_matches(folder, matches_of(inputs), inputs, SETTINGS, {})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # larger files cannot be written, as on a full disk
    try:
        with pytest.raises(OSError, match=rf"The matches cannot be written to {folder}: File too large"):
            write_matches(folder, matches_of(inputs), inputs, {**SETTINGS, "precision": 0.5}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert json.loads(before["summary.json"])["precision"] == 0.95
