import json

import pytest

from processing.catalogue.catalogue import CatalogueError, load_catalogue
from processing.catalogue.movies import read_movie
from processing.catalogue.sources.columns import Columns
from tests.processing.catalogues import ids, movie, poster


def read(**fields):
    fields = {"id": 1, "plot": "A."} | fields
    return read_movie(fields, Columns.find([*fields]))


def test_titles_main_and_others():
    found = read(title="Seven (1995)", original_title="Se7en", alternative_titles='["Sieben", "Seven"]')
    assert (found["title"], found["year"], found["other_titles"]) == ("Seven", 1995, ["Se7en", "Sieben"])
    assert read(title="N/A", original_title="Ran")["title"] == "Ran"
    assert read(title="2012 (2009)", year=2010)["year"] == 2010


def test_a_series_is_given_or_that_of_the_title():
    assert read(title="Jaws 2", belongs_to_collection="{'id': 1, 'name': 'Jaws Films'}")["series"] == "Jaws Films"
    assert read(title="Jaws 2")["series"] == "jaws"
    assert read(title="")["series"] == "1"


def test_a_year_comes_from_the_first_column_that_has_one():
    assert read(year="", release_date="1995-10-30")["year"] == 1995


def test_a_plot_in_two_columns_is_one_plot():
    assert read(caption="A.", overview="No overview found.")["plots"] == ["A."]


class TestSeveralPosters:
    def test_of_one_movie_are_rows_of_one_id(self, folder):
        rows = [movie(n // 2, file_name=f"posters/{n}.jpg", split="TRAIN" if n < 4 else "Val") for n in range(6)]
        catalogue = load_catalogue(folder(rows))
        assert ids(catalogue) == {"train": ["0", "0", "1", "1"], "validation": ["2", "2"]}
        assert catalogue.report()["shared_series"] == catalogue.report()["shared_plots"] == 0

    def test_of_two_movies_under_one_id_are_refused(self, folder):
        rows = [movie(1), movie(1, file_name="posters/2.jpg", title="Another")]
        with pytest.raises(CatalogueError, match=r"row 2 \(id 1\), posters/2.jpg: the id is taken by .* row 1"):
            load_catalogue(folder(rows))

    def test_that_are_one_file_are_refused(self, folder):
        with pytest.raises(CatalogueError, match=r"row 2 \(id 1\).*: the same movie and poster as .* row 1"):
            load_catalogue(folder([movie(1), movie(1)]))

    def test_have_text_by_their_files(self, folder, tmp_path):
        rows = [movie(1, file_name=f"posters/{n}.jpg", split="train") for n in range(2)]
        (tmp_path / "poster_text.jsonl").write_text(
            '{"file_name": "posters/1.jpg", "lines": ["ONE"]}\n{"id": 1, "lines": ["?"]}\n'
        )
        catalogue = load_catalogue(folder(rows))
        lines = [of and of[0]["text"] for of in catalogue.splits["train"]["poster_text"][:]]
        assert lines == [None, "ONE"]
        assert catalogue.warnings == ("rows of poster_text*.jsonl that belong to no poster: 1 (1)",)


def test_text_is_joined_by_the_value_of_ids_and_what_joins_nothing_is_counted(tmp_path):
    rows = ["file_name,id,split,title,plot", "1.jpg,862.0,train,A,A.", "2.jpg,0007,train,B,B."]
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    poster(tmp_path / "1.jpg"), poster(tmp_path / "2.jpg")
    lines = [{"id": 862, "lines": ["862"]}, {"id": "7", "lines": ["7"]}, {"id": 99, "lines": ["99"]}]
    (tmp_path / "poster_text.jsonl").write_text("\n".join(map(json.dumps, lines)))
    catalogue = load_catalogue(str(tmp_path))
    assert [of[0]["text"] for of in catalogue.splits["train"]["poster_text"][:]] == ["862", "7"]
    assert catalogue.warnings == ("rows of poster_text*.jsonl that belong to no poster: 1 (99)",)


def test_movies_without_titles_are_counted(folder):
    catalogue = load_catalogue(folder([movie(n, title=None, series=None, split="train") for n in range(2)]))
    assert catalogue.warnings == ("2 of 2 rows have no title",)


def test_movies_without_titles_are_not_split_by_series(folder):
    catalogue = load_catalogue(folder([movie(n, title=None, file_name=f"posters/{n}.jpg") for n in range(40)]))
    (line,) = catalogue.warnings
    assert line.startswith("40 of 40 rows have no title: splits are not by series there")
