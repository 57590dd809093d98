import unicodedata

import pytest

from processing.catalogue.sources.columns import Columns
from processing.catalogue.sources.images import ImageFolder
from processing.catalogue.sources.rows import Row
from tests.processing.catalogues import poster


def located(root, name, folder=None):
    row = Row("row 1")
    ImageFolder(root).locate(row, folder or root, name)
    return row


@pytest.mark.parametrize(
    "name",
    [
        "posters/Amélie.jpg",
        "posters\\Amélie.jpg",
        unicodedata.normalize("NFD", "posters/Amélie.jpg"),
        "/Amélie.jpg",  # as TMDB writes it
        "Posters/Amélie.JPG",
        "C:\\Users\\me\\films\\Amélie.jpg",
        "/home/me/films/Amélie.jpg",
    ],
)
def test_paths_as_other_systems_write_them(tmp_path, name):
    file = poster(tmp_path / "posters" / "Amélie.jpg")
    assert located(tmp_path, name).path == file


def test_a_relative_path_names_no_file_of_another_folder(tmp_path):
    poster(tmp_path / "train" / "1.jpg")
    (tmp_path / "test").mkdir()
    row = located(tmp_path, "1.jpg", tmp_path / "test")
    assert row.path == tmp_path / "test" / "1.jpg" and not row.path.is_file()


def test_a_file_name_that_two_folders_have_is_not_guessed(tmp_path):
    for folder in ("a", "b"):
        poster(tmp_path / folder / "1.jpg")
    assert not located(tmp_path, "/1.jpg").path.is_file()


def test_a_poster_stays_in_the_folder(tmp_path):
    poster(tmp_path / "1.jpg")
    for name in ("../1.jpg", "/etc/passwd"):
        assert located(tmp_path / "catalogue", name).problem == "the path leaves the folder"
    assert located(tmp_path, "https://example.com/1.jpg").problem == "the poster is a URL: download it first"


class TestJoin:
    def join(self, root, *ids):
        rows = [Row(f"row {number}", {"id": number}) for number in ids]
        return [
            (row.fields["id"], row.poster, row.problem) for row in ImageFolder(root).join(rows, Columns.find(["id"]))
        ]

    def test_by_name_and_number(self, tmp_path):
        poster(tmp_path / "posters" / "0862.png")
        assert self.join(tmp_path, 862.0, "9") == [
            (862.0, "posters/0862.png", ""),
            ("9", "", "no poster is called by its id"),
        ]

    def test_all_posters_in_a_movies_folder(self, tmp_path):
        for name in ("front.jpg", "back.jpg"):
            poster(tmp_path / "862" / name)
        assert self.join(tmp_path, 862) == [(862, "862/back.jpg", ""), (862, "862/front.jpg", "")]
