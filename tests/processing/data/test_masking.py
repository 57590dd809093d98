import pytest
from datasets import Dataset

from processing.data.masking import mask_names, mask_title, with_masked_titles


@pytest.mark.parametrize(
    ("title", "plot", "masked"),
    [
        ("Moby-Dick", "MOBY DICK, a whale, is hunted: Moby Dick!", "..., a whale, is hunted: ...!"),
        ("Matrix, The (1999)", "Neo leaves the matrix.", "Neo leaves ...."),
        ("The Thing", "They find The Thing in ice, a thing.", "They find ... in ice, a ...."),
        ("Misérables, Les (1995)", "A tale of les miserables.", "A tale of ...."),
        ("Amélie", "AMELIE's garden, amélie’s gnome.", "...'s garden, ...’s gnome."),
        ("Wayne's World", "Wayne's World's hosts, Wayne and Garth", "...'s hosts, ... and Garth"),
        ("Spider-Man (2002)", "Spiderman, or Spider-Man, or spider man.", "..., or ..., or ...."),
        ("M*A*S*H (1970)", "Doctors of MASH.", "Doctors of ...."),
        ("Shanghai Triad (Yao a yao) (1995)", "In Shanghai. Yao a Yao.", "In .... ...."),
        ("Seven (a.k.a. Se7en) (1995)", "Se7en sins.", "... sins."),
        ("Ace Ventura: When Nature Calls", "When Ventura calls Ace in nature.", "When ... Ace in ...."),
        ("It (1990)", "It hides where it can. IT is back.", "... hides where it can. ... is back."),
        ("10 (1979)", "He is 10 of 100.", "He is ... of 100."),
        ("7 1/2 (2000)", "Floor 7 1/2 of 7.", "Floor ... of 7."),
        ("Jaws", "Jaws", "..."),
        ("Sense and Sensibility", "Sense, and good sense and sensibility.", "..., and good ...."),
        ("", "Nothing to hide.", "Nothing to hide."),
        ("!!!", "Nothing to hide.", "Nothing to hide."),
    ],
)  # fmt: skip
def test_a_title_goes_in_all_its_forms(title, plot, masked):
    assert mask_title(plot, title) == masked
    assert mask_title(masked, title) == masked


def test_short_and_common_words_of_a_title_stay_where_they_stand_alone():
    assert mask_title("With her car she went from there, the man too.", "From Here with the Man, Her Car") == (
        "With her car she went from there, the man too."
    )


@pytest.mark.parametrize(
    ("plot", "masked"),
    [
        ("A boy named Mark makes a mark in Paris. Mark goes.", "A boy named ... makes a mark in .... ... goes."),
        ("Ishmael joins captain Ahab. Ahab hunts.", "Ishmael joins captain .... ... hunts."),
        ("He asks Dr. Jones and J. R. Smith.", "He asks .... ... and .... .... ...."),
        ("She says I am late, but I'm not.", "She says I am late, but I'm not."),
        ("A man (Bob) meets \"Al\". Then? They go.", 'A man (...) meets "...". Then? They go.'),
        ("“Come home.” They come.", "“Come home.” They come."),
        ("Peter's friend meets Peter's and peter's.", "...'s friend meets ...'s and peter's."),
        ("A SPY SAVES THE WORLD", "A ... SAVES THE WORLD"),
        ("The Spy, jean-claude Van Damme", "The ..., jean-claude ..."),
    ],
)  # fmt: skip
def test_names_go_wherever_they_have_a_capital(plot, masked):
    assert mask_names(plot, "Spy") == masked
    assert mask_names(masked, "Spy") == masked


@pytest.mark.parametrize("plot", ["Jaws", "jaws jaws", "Al and Jaws Bo", "“Jaws!”", "x", "鮫"])
def test_no_plot_becomes_empty(plot):
    assert mask_title(plot, "Jaws").strip() and mask_names(plot, "Jaws").strip()


def test_a_split_is_masked_and_all_else_of_it_stays():
    movies = Dataset.from_dict(
        {"id": ["1", "2", "3"], "plots": [["The matrix.", "A hacker."], ["A whale."], ["Jaws!"]]}
        | {"title": ["Matrix, The", "", "Jaws"]}
    ).select([2, 0])
    masked = with_masked_titles(movies)
    assert masked["plots"][:] == [["...!"], ["....", "A hacker."]]
    assert masked["id"][:] == ["3", "1"] and set(masked.features) == set(movies.features)
