import pytest

from processing.matching.pair_text import TEXT_FEATURES, MovieText, PosterText, matched_lines, text_features


def features(lines, *movies) -> list[dict[str, float]]:
    rows = text_features(PosterText(lines), list(movies))
    return [dict(zip(TEXT_FEATURES, row, strict=True)) for row in rows.tolist()]


def line(text: str, height: float, score: float = 0.9) -> dict:
    return {"text": text, "score": score, "box": [0.1, 0.5, 0.9, 0.5 + height]}


@pytest.mark.parametrize("lines", [["MOBY DICK"], ["MOBYDICK"], ["MOBY", "DICK"], ["by H. Melville", "Moby-Dick"]])
def test_a_title_is_found_whole_however_ocr_parts_it(lines):
    (found,) = features(lines, MovieText(["Moby Dick"]))
    assert found["title_as_lines"] == found["title_in_text"] == found["title_words"] == 1


def test_a_misread_title_is_found_nearly():
    right, wrong = features(["2QDAYS"], MovieText(["28 Days"]), MovieText(["Jaws"]))
    assert right["title_as_lines"] > 0.8 > wrong["title_as_lines"]


def test_a_title_that_holds_more_than_the_poster_fits_less():
    whole, longer = features(["THE EXORCIST"], MovieText(["Exorcist, The"]), MovieText(["The Exorcist III"]))
    assert whole["title_as_lines"] == 1 > longer["title_as_lines"]
    assert (whole["numbers_missing"], longer["numbers_missing"]) == (0, 1)


@pytest.mark.parametrize("printed", ["ROCKY II", "ROCKY 2", "ROCKY TWO"])
def test_numbers_are_compared_in_any_spelling(printed):
    second, first = features([printed], MovieText(["Rocky 2"]), MovieText(["Rocky"]))
    assert (second["numbers_shared"], second["numbers_extra"]) == (1, 0)
    assert (first["numbers_shared"], first["numbers_extra"]) == (0, 1)


def test_the_largest_lines_count_for_themselves():
    lines = [line("MURDER", 0.2), line("the best tale of jealous love", 0.03)]
    large, small = features(lines, MovieText(["Murder!"]), MovieText(["Jealous Love"]))
    assert large["title_as_largest"] == large["line_height"] == 1
    assert small["title_in_text"] == 1 > small["title_in_largest"]


def test_the_best_of_several_titles_counts():
    (found,) = features(["LA HAINE"], MovieText(["Hate", "La Haine"]))
    assert found["title_as_lines"] == 1


def test_a_printed_year_speaks_for_its_movie_and_against_others():
    right, near, wrong = features(["1956"], *(MovieText(["Moby Dick"], year) for year in (1956, 1957, 1930)))
    assert (right["year_printed"], right["other_year_printed"]) == (1, 0)
    assert (near["year_printed"], near["other_year_printed"]) == (0, 0)
    assert (wrong["year_printed"], wrong["other_year_printed"]) == (0, 1)


def test_nothing_printed_and_no_title_are_zeros():
    assert not text_features(PosterText([]), [MovieText(["Moby Dick"], 1956)]).any()
    assert not text_features(PosterText(["MOBY DICK"]), [MovieText([])]).any()


def test_lines_that_ocr_is_unsure_of_are_left_out():
    poster = PosterText([line("JAWS", 0.1, score=0.2), line("ALIEN", 0.1)])
    assert poster.lines == ["ALIEN"]


def test_matched_lines_are_those_of_the_title():
    poster = PosterText(["Gregory Peck", "MOBY", "DICK", "1956"])
    assert matched_lines(poster, MovieText(["Moby Dick"])) == ["MOBY", "DICK"]
    assert matched_lines(poster, MovieText(["Jaws"])) == []
