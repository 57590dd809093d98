from datetime import date

import pytest

from processing.catalogue.sources.values import as_genres, as_id, as_plots, as_year, match_ids, split_name


@pytest.mark.parametrize(
    "value",
    [
        '[{"id": 16, "name": "Animation"}, {"id": 10751, "name": "Family"}]',
        "[{'id': 16, 'name': 'Animation'}, {'id': 10751, 'name': 'Family'}]",
        [{"id": 16, "name": "Animation"}, {"id": 10751, "name": "Family"}],
        {"id": [16, 10751], "name": ["Animation", "Family"]},
        '{"/m/0hcr": "Animation", "/m/0hqxf": "Family"}',
        '["Animation", "Family"]',
        "['Animation', 'Family']",
        ["Animation", "Family", None],
        "Animation|Family",
        "Animation, Family, N/A",
        "Animation; Family; Animation",
    ],
)
def test_genres_in_every_spelling(value):
    assert as_genres(value) == ["Animation", "Family"]


@pytest.mark.parametrize("value", [None, "", "(no genres listed)", r"\N", "[]", "unknown", [], "-"])
def test_no_genres(value):
    assert as_genres(value) == []


@pytest.mark.parametrize(
    ("value", "year"),
    [
        *((value, 1995) for value in (1995, 1995.0, "1995", "1995.0", "1995-10-30", "30/10/1995", "Oct 30, 1995")),
        *((value, 1995) for value in ("(1995)", "1995–1998", date(1995, 10, 30))),
        *((value, None) for value in (None, "", r"\N", float("nan"), "N/A")),
        ("-700", -700),
    ],
)
def test_years_and_dates(value, year):
    assert as_year(value) == year


@pytest.mark.parametrize(
    "text",
    [
        *(
            "No overview found.",
            "N/A",
            r"\N",
            "null",
            "nan",
            "-",
            "",
            "Add a Plot",
            "Plot unknown.",
            "No plot available",
        ),
        *("The plot is currently unknown.", "No description available.", "Coming soon", "NO OVERVIEW FOUND"),
        "We don't have an overview translated in English. Help us expand our database by adding one.",
    ],
)
def test_what_sites_write_in_place_of_a_plot_is_none(text):
    assert as_plots(text, "plot") == []


@pytest.mark.parametrize(
    "text", ["No plot survives the war that Anna plans.", "Unknown men take a train.", "[Silent.] A."]
)
def test_plots_that_only_begin_so_are_kept(text):
    assert as_plots(text, "plot") == [text]


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("val", "VAL", "valid", "Validation", "dev"), "validation"),
        (("Train", "training", "TRAIN "), "train"),
        (("test", "Testing", "eval"), "test"),
        (("extra",), "extra"),
        ((None, "", "nan"), None),
    ],
)
def test_names_of_splits(names, split):
    assert {split_name(name) for name in names} == {split}


def test_ids_are_joined_by_value_where_that_is_the_only_way():
    assert [as_id(value) for value in (862, "862", 862.0, "862.0", " 862 ")] == ["862"] * 5
    assert match_ids(["0862", "tt0114709", "7"], ["862", "114709"]) == {"0862": "862", "tt0114709": "114709"}
    assert match_ids(["862"], ["862", "0862"]) == {"862": "862"}
    assert match_ids(["862"], ["00862", "0862"]) == {}
