import json
import random
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
from datasets import Dataset, Image
from PIL import Image as PILImage

from processing.catalogue.ocr_lines import LINES
from scripts.common.command_line import load_model
from scripts.common.matching.matcher import FILE, Matcher
from scripts.common.matching.matcher_fitting import fit_matcher
from tests.tiny import tiny_model, tiny_processor

NAMES = [f"{3 * one} {3 * two}" for one, two in combinations_with_replacement("abcdefghijklmnopqr", 2)]
random.Random(0).shuffle(NAMES)


def rows(start: int, count: int) -> Dataset:
    """Movies that are called by two words, which are printed on their posters."""
    names = NAMES[start : start + count]
    pictures = [PILImage.new("RGB", (24, 32), (len(name) * i % 255, i, 90)) for i, name in enumerate(names)]
    movies = {
        **{"id": names, "title": names, "plots": [["a" * (1 + i % 3)] for i in range(count)]},
        **{"year": [1950] * count, "image": pictures, "poster": [f"{name}.png" for name in names]},
    }
    lines = [[{"text": name, "score": 0.9, "box": [0.1, 0.2, 0.9, 0.4]}] for name in names]
    data = Dataset.from_dict(movies).cast_column("image", Image())
    return data.add_column("poster_text", lines, feature=LINES)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model, processor = tiny_model(use_poster_text=True, char_ngram_dim=1024), tiny_processor()
    model.char_ngrams.fit(processor.tokenizer, rows(0, 40)["title"][:])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    matcher = Matcher(*load_model(str(folder)), cache="none")
    fit_matcher(matcher, rows(0, 60), rows(60, 100))
    matcher.save(folder)
    return folder


@pytest.fixture
def matcher(fitted) -> Matcher:
    matcher = Matcher.from_pretrained(str(fitted))
    matcher.cache = "none"
    return matcher


def test_posters_find_their_movies_with_a_confidence(matcher):
    movies = rows(100, 30)
    matches = matcher.match(movies, movies)
    assert matches["poster"][:] == movies["poster"][:]
    assert matches["id"][:] == movies["id"][:]
    assert set(matches["status"]) == {"accepted"}
    assert min(matches["confidence"]) > 0.9
    first = matches[0]
    assert first["candidates"][0]["id"] == first["id"]
    assert first["matched"] == first["poster_text"] == [movies[0]["title"]]


def test_a_movie_that_is_not_in_the_table_is_not_accepted(matcher):
    movies = rows(100, 40)
    matches = matcher.match(movies, movies.select(range(20)))
    assert set(matches["status"][:20]) == {"accepted"}
    assert matches["status"][20:].count("accepted") <= 1  # one in twenty is what the precision allows
    absent = [match for match in matches if match["status"] == "not in the table"]
    assert len(absent) > 10
    assert {match["id"] for match in absent} == {None} and all(match["candidates"] for match in absent)


def test_hidden_titles_are_not_looked_at(matcher):
    movies = rows(100, 30)
    without = movies.remove_columns("title")
    hidden, titleless = matcher.match(movies, movies, titles="hide"), matcher.match(movies, without)
    assert hidden["similarity"][:] == titleless["similarity"][:]
    assert set(hidden["status"]) == {"review"}
    assert set(hidden["confidence"]) == {None}


def test_one_to_one_gives_no_movie_twice(matcher):
    movies = rows(100, 10)
    twice = Dataset.from_list([*movies, movies[0]], features=movies.features)
    found = [movie for movie in matcher.match(twice, movies, one_to_one=True)["id"] if movie is not None]
    assert len(found) == len(set(found)) == 10


def test_a_poster_that_cannot_be_read_fails_alone(matcher, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not an image")
    movies = rows(100, 3)
    posters = movies.cast_column("image", Image(decode=False)).select_columns(["poster", "image", "poster_text"])
    bad = {"poster": "bad.png", "image": {"path": str(tmp_path / "bad.png"), "bytes": None}, "poster_text": None}
    posters = Dataset.from_list([bad, *posters], features=posters.features)
    matches = matcher.match(posters, movies)
    assert matches["status"][0] == "failed"
    assert matches["error"][0]
    assert matches["id"][1:] == movies["id"][:]


@pytest.mark.parametrize("content", [b"not an image", None])
def test_a_poster_that_cannot_be_decoded_fails_alone_also_where_its_text_is_given(content, matcher, tmp_path):
    """It may be gone or broken since it was checked."""
    if content:
        (tmp_path / "bad.png").write_bytes(content)
    movies = rows(100, 3)
    posters = movies.cast_column("image", Image(decode=False)).select_columns(["poster", "image", "poster_text"])
    bad = {**posters[0], "poster": "bad.png", "image": {"path": str(tmp_path / "bad.png"), "bytes": None}}
    matches = matcher.match(Dataset.from_list([posters[0], bad, *posters], features=posters.features), movies)
    assert [status == "failed" for status in matches["status"]] == [False, True, False, False, False]
    assert matches["error"][1] == ("not an image: starts with not" if content else "no such file")
    assert [found for found in matches["id"] if found] == [movies["id"][0], *movies["id"][:]]


def test_where_no_poster_can_be_decoded_all_fail(matcher):
    movies = rows(100, 2)
    posters = movies.cast_column("image", Image(decode=False)).map(lambda row: {"image": {"path": None, "bytes": b""}})
    assert matcher.match(posters, movies)["status"][:] == ["failed"] * 2


def test_a_poster_that_is_there_twice_gets_the_same_movie(matcher):
    movies = rows(100, 5)
    twice = Dataset.from_list([*movies, movies[0]], features=movies.features)
    matches = matcher.match(twice, movies)
    first, again = ({**match, "poster": None} for match in (matches[0], matches[5]))
    assert first == again


def test_a_table_of_one_movie_is_matched_with_confidence(matcher):
    posters = rows(100, 3)
    matches = matcher.match(posters, posters.select([1]))
    assert matches["confidence"][1] > 0.5 and matches["id"][1] == posters["id"][1]
    assert "accepted" not in (matches["status"][0], matches["status"][2])


def test_a_model_without_a_second_stage_has_no_confidence(fitted, tmp_path):
    for file in fitted.iterdir():
        if file.is_file() and file.name != FILE:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    matcher = Matcher.from_pretrained(str(tmp_path))
    matcher.cache = "none"
    movies = rows(100, 5)
    matches = matcher.match(movies, movies)
    assert matcher.calibration is None
    assert set(matches["status"]) == {"review"}
    assert matches["confidence"][:] == [None] * 5


def test_a_damaged_second_stage_is_named(fitted, tmp_path):
    for file in fitted.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ValueError, match=FILE):
        Matcher.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("precision", [0, 1, 1.5])
def test_a_precision_that_no_model_reaches_is_refused(matcher, precision):
    with pytest.raises(ValueError, match="precision"):
        matcher.match(rows(100, 3), rows(100, 3), precision=precision)


def test_the_file_says_what_the_confidence_was_calibrated_on(fitted):
    assert json.loads((fitted / FILE).read_text())["calibration"] == {"splits": ["validation"], "posters": 100}


def test_small_catalogues_say_what_is_missing():
    matcher = Matcher(tiny_model(use_poster_text=True, char_ngram_dim=1024), tiny_processor(), cache="none")
    assert "fewer than" in fit_matcher(matcher, rows(0, 5), None)
    assert "too few" in fit_matcher(matcher, rows(0, 30), rows(30, 10))
    assert matcher.calibration is None


def test_the_parts_of_a_similarity_sum_up_to_it(matcher):
    movies = rows(100, 2)
    found = matcher.why(movies[0], movies[0])
    assert sum(found["parts"].values()) == pytest.approx(found["similarity"], abs=1e-5)
    assert found["similarity"] == pytest.approx(matcher.match(movies, movies)[0]["similarity"], abs=1e-5)
    assert found["matched"] == [movies[0]["title"]]


def test_the_words_that_carried_a_match_are_those_of_the_title(matcher):
    movie = rows(100, 1)[0]
    found = matcher.why(movie, movie)
    assert {word["word"].strip(".") for word in found["words"]} == set(movie["title"].split())
    assert found["score"] > 0


def test_a_poster_without_text_is_explained_by_its_image(matcher):
    movie = rows(100, 1)[0]
    found = matcher.why({**movie, "poster_text": []}, movie)
    assert found["words"] == []
    assert found["parts"]["image"] == pytest.approx(found["similarity"], abs=1e-5)
