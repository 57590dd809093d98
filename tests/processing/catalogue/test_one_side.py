import json

import pytest
from datasets import Dataset, Image

from processing.catalogue.one_side import read_movies, read_posters
from processing.catalogue.sources.rows import CatalogueError
from tests.processing.catalogues import poster, write_csv


class TestMovies:
    def test_of_a_table_under_any_names(self, tmp_path):
        rows = [["tconst", "primaryTitle", "originalTitle", "startYear", "genres", "Overview", "poster_path", "budget"]]
        rows += [["tt1", "Seven", "Se7en", "1995", "Crime,Drama", "Two detectives.", "/a.jpg", "3"]]
        rows += [["tt2", "Emma", "Emma", r"\N", r"\N", "No overview found.", "", ""]]
        write_csv(tmp_path / "title.basics.csv", rows)
        for source in (tmp_path, tmp_path / "title.basics.csv"):
            found = read_movies(str(source))
            assert found.rows[0] == {
                **{"id": "tt1", "title": "Seven", "other_titles": ["Se7en"], "year": 1995},
                **{"plots": ["Two detectives."], "genres": ["Crime", "Drama"]},
            }
            assert found.rows[1] == {
                **{"id": "tt2", "title": "Emma", "other_titles": [], "year": None, "plots": [], "genres": []}
            }
            assert found.columns.report()["title"] == "primaryTitle"
            assert found.warnings == ["columns that were not understood: budget"]

    def test_without_ids_are_numbered(self, tmp_path):
        rows = [["Release Year", "Title", "Origin/Ethnicity", "Director", "Genre", "Wiki Page", "Plot"]]
        rows += [["1901", "Kansas Saloon Smashers", "American", "Unknown", "unknown", "https://x", "A bartender."]]
        rows += [["1902", "Alice", "British", "Cecil", "fantasy", "https://y", "A girl."]]
        write_csv(tmp_path / "wiki_movie_plots_deduped.csv", rows)
        found = read_movies(str(tmp_path)).rows
        assert found["id"][:] == ["1", "2"] and found["year"][:] == [1901, 1902]
        assert found["genres"][:] == [[], ["fantasy"]]

    def test_that_cannot_be_used_are_named(self, tmp_path):
        rows = [{"id": 1, "title": "Heat (1995)"}, {"id": 2, "title": "N/A"}, {"id": "1.0", "title": "Other"}]
        rows += [{"id": 1, "title": "Heat (1995)"}, {"title": "No id"}]
        (tmp_path / "movies.json").write_text(json.dumps(rows))
        found = read_movies(str(tmp_path / "movies.json"))
        assert found.rows["title"][:] == ["Heat"] and found.rows["year"][:] == [1995]
        assert [str(bad) for bad in found.bad_rows] == [
            "row 2 (id 2): neither a title nor a plot",
            "row 3 (id 1.0): the id is taken by row 1",
            "row 4 (id 1): the same movie as row 1",
            "row 5: no id",
        ]

    @pytest.mark.parametrize(
        ("content", "message"),
        [("id,director\n1,x\n", "no column of titles or plots"), ("title\n-\n", "no row of .* can be used: all 1 are")],
    )
    def test_of_nothing(self, tmp_path, content, message):
        (tmp_path / "movies.csv").write_text(content)
        with pytest.raises(CatalogueError, match=message):
            read_movies(str(tmp_path / "movies.csv"))

    def test_of_two_tables(self, tmp_path):
        for name in ("a.csv", "b.csv"):
            (tmp_path / name).write_text("title\nHeat\n")
        with pytest.raises(CatalogueError, match=r"is no table of movies \(\.csv, .*found: a.csv, b.csv"):
            read_movies(str(tmp_path))


class TestPosters:
    def test_of_a_tree_under_any_names(self, tmp_path):
        for name in ("box 1/IMG_2.JPG", "box 1/.hidden.jpg", "a.png"):
            poster(tmp_path / name)
        (tmp_path / "notes.txt").write_text("x")
        found = read_posters(str(tmp_path))
        assert found.rows["poster"][:] == ["a.png", "box 1/IMG_2.JPG"]
        assert found.rows.cast_column("image", Image())[1]["image"].size == (4, 6)
        assert read_posters(str(tmp_path / "a.png")).rows["poster"][:] == ["a.png"]

    def test_of_a_table(self, tmp_path):
        poster(tmp_path / "scans" / "a.jpg")
        write_csv(tmp_path / "scans.csv", [["file", "shelf"], ["scans\\a.jpg", "3"], ["", "4"]])
        found = read_posters(str(tmp_path / "scans.csv"))
        assert found.rows["poster"][:] == ["scans\\a.jpg"] and found.rows[0]["image"]["path"].endswith("a.jpg")
        assert [str(bad) for bad in found.bad_rows] == ["scans.csv row 3: no file"]

    def test_of_parquet(self, tmp_path):
        file = poster(tmp_path / "a.jpg")
        data = Dataset.from_dict({"id": ["x"], "scan": [{"bytes": file.read_bytes(), "path": None}]})
        data.to_parquet(tmp_path / "scans.parquet")
        found = read_posters(str(tmp_path / "scans.parquet"), image_column="scan")
        assert found.rows["poster"][:] == ["x"] and found.rows[0]["image"]["bytes"] == file.read_bytes()

    def test_with_text_that_is_known(self, tmp_path):
        for name in ("a.png", "b.png", "c.png"):
            poster(tmp_path / name)
        rows = [{"file_name": "a.png", "lines": ["MOBY"]}, {"file_name": "b.png", "lines": []}]
        rows += [{"file_name": "lost.png", "lines": ["x"]}, {"file_name": "c.png"}]
        (tmp_path / "poster_text.jsonl").write_text("\n".join(map(json.dumps, rows)))
        found = read_posters(str(tmp_path))
        texts = [lines and [line["text"] for line in lines] for lines in found.rows["poster_text"][:]]
        assert texts == [["MOBY"], [], None]  # nothing is printed on the second, nobody has read the third
        assert found.warnings == ["rows of poster_text*.jsonl that belong to no poster: 1 (lost.png)"]
        assert [str(bad) for bad in found.bad_rows] == ["poster_text.jsonl row 4: no lines"]

    def test_with_text_in_a_column(self, tmp_path):
        poster(tmp_path / "a.jpg")
        write_csv(tmp_path / "scans.csv", [["file", "poster_text"], ["a.jpg", "MOBY\nDICK"]])
        lines = read_posters(str(tmp_path / "scans.csv")).rows[0]["poster_text"]
        assert [line["text"] for line in lines] == ["MOBY", "DICK"]

    def test_of_an_empty_folder(self, tmp_path):
        with pytest.raises(CatalogueError, match="holds no images"):
            read_posters(str(tmp_path))
