import json

import pytest

from processing.catalogue.catalogue import load_catalogue
from processing.catalogue.leakage import audit, leak_count
from processing.reporting.tables import format_table, leak_lines, leak_rows, title_rows
from tests.processing.catalogues import drawn, movie

WHALE = "A captain hunts the white whale that took his leg and loses his ship."
COUNT = "A count leaves his castle in the mountains and comes to London by ship."


@pytest.fixture
def audited(folder, tmp_path):
    """What the audit finds of movies that are given as (split, seed of the poster, other fields)."""

    def look(*movies):
        rows = [movie(n, split=split, file_name=f"{n}.png", **fields) for n, (split, _, fields) in enumerate(movies)]
        source = folder(rows)
        for number, (_, seed, _) in enumerate(movies):
            drawn(seed).save(tmp_path / f"{number}.png")
        return audit(load_catalogue(source))

    return look


def ids(found):
    return sorted(pair["ids"] for pair in found["examples"])


def test_a_clean_catalogue_has_no_leak(audited):
    found = audited(*((split, seed, {}) for seed, split in enumerate(["train", "train", "validation", "test"])))
    assert leak_count(found) == 0
    assert found["posters"]["duplicates"]["count"] == found["plots"]["duplicates"]["count"] == 0


def test_a_leak_is_between_a_held_out_split_and_another(audited):
    """One poster on five movies: seven pairs have a held-out movie, and in another split the other."""
    found = audited(*((split, 1, {}) for split in ["train", "train", "extra", "test", "validation"]))
    leaks, others = found["posters"]["leaks"], found["posters"]["duplicates"]
    assert (leaks["count"], leaks["held_out_movies"]) == (7, 2)
    assert ids(others) == [["0", "1"], ["0", "2"], ["1", "2"]] and others["count"] == 3


def test_near_plots_leak_with_their_splits_and_likeness(audited):
    found = audited(
        ("train", 0, {"plots": ["Short.", WHALE]}),
        ("test", 1, {"plot": f"{WHALE.upper()} The end."}),
        ("test", 2, {"plot": COUNT}),
        ("test", 3, {"plot": COUNT}),
    )
    assert found["plots"]["leaks"] == {
        "count": 1,
        "held_out_movies": 1,
        "examples": [{"ids": ["0", "1"], "splits": ["train", "test"], "likeness": 1.0}],
    }
    assert found["plots"]["duplicates"]["count"] == 1 and ids(found["plots"]["duplicates"]) == [["2", "3"]]
    assert found["plots"]["duplicates"]["held_out_movies"] == 2


def test_a_series_in_a_held_out_split_and_another_is_one_leak(audited):
    titles = {"Jaws": "train", "Jaws 2": "test", "Jaws 3-D": "test", "Rocky": "train", "Rocky II": "extra"}
    found = audited(*((split, seed, {"title": title}) for seed, (title, split) in enumerate(titles.items())))
    pair = {"ids": ["1", "0"], "splits": ["test", "train"]}
    assert found["series"]["leaks"] == {"count": 1, "held_out_movies": 2, "examples": [pair]}
    assert leak_count(found) == 1


def test_titles_in_plots_are_counted_but_leak_nothing(audited):
    found = audited(
        ("train", 0, {"title": "Moby-Dick", "plots": ["A whale.", "The whale is called Moby Dick."]}),
        ("train", 1, {"title": "Emma", "plots": ["EMMA makes a match."]}),
        ("train", 2, {"title": "Toy Story", "plots": ["A story of a toy."]}),
        ("test", 3, {"title": None, "plots": ["Nobody knows what it is called."]}),
    )
    assert leak_count(found) == 0
    assert found["titles"] == {
        "train": {"movies": 3, "first_plot": 1, "any_plot": 2},
        "test": {"movies": 0, "first_plot": 0, "any_plot": 0},
    }


def test_the_report_is_tables_and_lines_and_its_json_names_nothing_but_ids(audited):
    found = audited(
        ("train", 0, {"title": "Moby-Dick", "plot": WHALE}),
        ("test", 0, {"title": "The Whale", "plot": WHALE}),
    )
    text = json.dumps(found)
    assert not any(word in text for word in ("Moby", "Whale", "captain", ".png"))
    table = format_table(leak_rows(found)) + format_table(title_rows(found))
    assert "| pairs with nearly the same poster          |     1 |                       1 |           0 |" in table
    assert "| train               |     1 |                 0 |           0 |" in table
    assert leak_lines(found, {"0": "Moby-Dick", "1": ""})[0] == (
        "posters: 0 (train, Moby-Dick) and 1 (test), likeness 1.00"
    )


@pytest.mark.parametrize("splits", [["train", "train"], ["train", "extra"], ["test", "test"]])
def test_without_a_held_out_split_and_another_there_are_duplicates_but_no_leaks(audited, splits):
    found = audited(*((split, 1, {}) for split in splits))
    assert leak_count(found) == 0 and found["posters"]["duplicates"]["count"] == 1


def test_two_posters_of_one_movie_are_no_duplicates(audited):
    same = {"id": 7, "title": "Emma", "plot": COUNT}
    found = audited(("train", 1, same), ("train", 1, same), ("test", 2, {}))
    assert found["posters"]["duplicates"]["count"] == found["plots"]["duplicates"]["count"] == 0
