import pytest

from processing.catalogue.sources.layouts import read_source
from processing.catalogue.sources.rows import CatalogueError
from tests.processing.catalogues import movie, poster, write_csv

HEADER = ["imdbId", "Title", "Plot", "Poster"]
ROW = ["114709", "Toy Story", "Toys live.", "https://example.com/1.jpg"]


def test_the_only_table_of_a_folder_under_any_name(tmp_path):
    poster(tmp_path / "images" / "a.jpg")
    write_csv(tmp_path / "MovieGenre.csv", [HEADER, [*ROW[:3], "images/a.jpg"]])
    for source in (tmp_path, tmp_path / "MovieGenre.csv"):
        found = read_source(str(source))
        assert [(row.where, row.poster) for row in found.rows] == [("MovieGenre.csv row 2", "images/a.jpg")]


def test_posters_called_by_their_ids_where_no_column_names_a_file(tmp_path):
    poster(tmp_path / "posters" / "tt0114709.jpg")
    for cells in (ROW, [*ROW[:3], "/unknown.jpg"], [*ROW[:3], ""]):
        write_csv(tmp_path / "movies.csv", [HEADER, cells])
        assert [row.poster for row in read_source(str(tmp_path)).rows] == ["posters/tt0114709.jpg"]


def test_a_column_of_posters_can_be_named(tmp_path):
    poster(tmp_path / "a.jpg")
    write_csv(tmp_path / "movies.csv", [["scan", "plot"], ["a.jpg", "A."]])
    assert read_source(str(tmp_path), image_column="scan").rows[0].path == tmp_path / "a.jpg"
    with pytest.raises(CatalogueError, match=r"movies.csv has no column shot; its columns are scan, plot"):
        read_source(str(tmp_path), image_column="shot")


def test_tables_called_as_splits(tmp_path):
    for name in ("train", "val"):
        poster(tmp_path / f"{name}.jpg")
        write_csv(tmp_path / f"{name}.csv", [["file", "plot"], [f"{name}.jpg", "A."]])
    assert [(row.split, row.poster) for row in read_source(str(tmp_path)).rows] == [
        ("train", "train.jpg"),
        ("val", "val.jpg"),
    ]


def test_several_other_tables_are_not_guessed_among(tmp_path):
    for name in ("credits.csv", "movies.csv"):
        write_csv(tmp_path / name, [HEADER, ROW])
    with pytest.raises(CatalogueError, match=r"holds several tables \(credits.csv, movies.csv\); give the one to read"):
        read_source(str(tmp_path))


def test_posters_of_one_name_in_several_folders_are_told_apart_by_their_paths(tmp_path):
    names = ["Heat/poster.jpg", "Emma/poster.jpg"]
    for name in names:
        poster(tmp_path / name)
    write_csv(tmp_path / "metadata.csv", [["file_name", "plot"], *([name, "A."] for name in names)])
    found = read_source(str(tmp_path))
    assert [row.fields[found.columns["id"][0]] for row in found.rows] == ["Heat/poster", "Emma/poster"]


def test_folders_of_splits_under_their_usual_names(folder, tmp_path):
    for number, name in enumerate(("Training", "val", "TEST")):
        folder([movie(number)], f"{name}/metadata.jsonl")
    assert [row.split for row in read_source(str(tmp_path)).rows] == ["TEST", "Training", "val"]
