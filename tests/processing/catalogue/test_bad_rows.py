import json
import os

import pytest

from processing.catalogue.catalogue import BadRow, CatalogueError, load_catalogue
from tests.processing.catalogues import PLOT, ids, movie, movielens, poster

NAN = float("nan")
BAD_ROWS = {
    "no plot": (movie(2, plot=None), r"row 2 \(id 2\), posters/2.jpg: no plot"),
    "NaN plot": (movie(2, plot=NAN), "no plot"),
    "plot 'nan'": (movie(2, plot="nan"), "no plot"),
    "blank plots": (movie(2, plot=None, plots=["", " \n"]), "no plot"),
    "long plot": (movie(2, plot="x" * 1_000_000), "a plot of 1000000 characters, the limit is 100000"),
    "a plot that is no text": (movie(2, plot={"en": PLOT}), "plot is not text but dict"),
    "an id twice": (
        movie(2, id=1),
        r"row 2 \(id 1\), posters/2.jpg: the id is taken by metadata.jsonl row 1",
    ),
    "no id": (movie(2, id=""), "no id"),
    "no poster": (movie(2, file_name="./2.jpg"), r"row 2 \(id 2\), ./2.jpg: no such file"),
    "no file_name": (movie(2, file_name=None), "no file_name"),
    "a file above the folder": (movie(2, file_name="../x.jpg"), r"../x.jpg: the path leaves the folder"),
    "a file somewhere else": (movie(2, file_name="/etc/passwd"), "/etc/passwd: the path leaves the folder"),
    "a NUL in the path": (movie(2, file_name="./\0.jpg"), "the path is not valid text"),
    "half a character in the path": (movie(2, file_name="./\udce9.jpg"), "not valid text"),
    "latin-1": (
        json.dumps(movie(2, title="Les Mis?rables")).encode().replace(b"?", b"\xe9"),
        "title is not UTF-8",
    ),
    "broken JSON": (b'{"file_name": "posters/2.jpg", "id"', "metadata.jsonl row 2: not JSON: "),
    "deep JSON": (b"[" * 100_000, "not JSON: |not a JSON object"),
    "no object": (b"[1, 2]", "not a JSON object"),
    "a year in words": (movie(2, year="last year"), "bad year 'last year'"),
    "half a year": (movie(2, year=1999.5), "year is not text but float"),
    "a year too far": (movie(2, year=19995), "bad year '19995'"),
    "a split with a space": (movie(2, split="train 2"), "bad name of a split 'train 2'"),
}


class TestBadRows:
    @pytest.mark.parametrize(("row", "line"), BAD_ROWS.values(), ids=BAD_ROWS)
    def test_each_is_named_and_can_be_skipped(self, folder, caplog, row, line):
        source = folder([movie(1, split="train"), row, movie(3, split="train")])
        with pytest.raises(CatalogueError, match=line) as caught:
            load_catalogue(source)
        first, bad, hint = str(caught.value).splitlines()
        assert first.endswith(" has bad rows (1):") and "--on_bad_rows skip" in hint
        assert bad.startswith("  metadata.jsonl row 2") and len(bad) < 200

        catalogue = load_catalogue(source, on_bad_rows="skip")
        assert ids(catalogue) == {"train": ["1", "3"]}
        assert catalogue.report()["bad_rows"] == {"count": 1, "lines": [bad.strip()]}
        assert f"left out: {bad.strip()}" in caplog.text

    def test_a_link_out_of_the_folder(self, folder, tmp_path_factory):
        source = folder([movie(1, split="train"), movie(2, split="train")])
        outside = poster(tmp_path_factory.mktemp("outside") / "2.jpg")
        os.remove(f"{source}/posters/2.jpg")
        os.symlink(outside, f"{source}/posters/2.jpg")
        with pytest.raises(CatalogueError, match=r"posters/2.jpg: the path leaves the folder"):
            load_catalogue(source)

    def test_a_bad_poster(self, folder):
        source = folder([movie(1, split="train"), movie(45, split="train")])
        with open(f"{source}/posters/45.jpg", "wb") as file:
            file.write(b"<!DOCTYPE html>")
        catalogue = load_catalogue(source, on_bad_rows="skip")
        bad = BadRow("metadata.jsonl row 2 (id 45)", "posters/45.jpg", "not an image: starts with <!DOCTYPE")
        assert catalogue.bad_rows == [bad]
        assert catalogue.splits["train"][0]["id"] == "1" and len(catalogue.splits["train"]) == 1

    def test_csv_rows(self, tmp_path):
        poster(tmp_path / "1.jpg")
        good, latin = b"1.jpg,1,train,A plot.\n", b"1.jpg,2,train,Les Mis\xe9rables.\n"
        short, unquoted, long = (
            b"1.jpg,3\n",
            b'1.jpg,4,train,"A" plot\n',
            b"1.jpg,5,train," + b"x" * 10**6 + b"\n",
        )
        content = b"\xef\xbb\xbffile_name,id,split,plot\n" + good + latin + short + unquoted + long
        (tmp_path / "metadata.csv").write_bytes(content + b"1.jpg,6,train,nan\n1.jpg,7,train,\n1.jpg,8,train,Last.\n")
        catalogue = load_catalogue(str(tmp_path), on_bad_rows="skip")
        assert ids(catalogue) == {"train": ["1", "8"]}
        assert [(bad.row, bad.reason) for bad in catalogue.bad_rows] == [
            ("metadata.csv row 3 (id 2)", "plot is not UTF-8 text"),
            ("metadata.csv row 4 (id 3)", "2 cells where the header has 4"),
            ("metadata.csv row 5", "not CSV: ',' expected after '\"'"),
            ("metadata.csv row 6 (id 5)", "a plot of 1000000 characters, the limit is 100000"),
            ("metadata.csv row 7 (id 6)", "no plot"),
            ("metadata.csv row 8 (id 7)", "no plot"),
        ]

    def test_of_many_twenty_are_shown(self, folder):
        with pytest.raises(CatalogueError) as caught:
            load_catalogue(folder([movie(n, plot=" ") for n in range(30)]))
        lines = str(caught.value).splitlines()
        assert lines[0].endswith(" has bad rows (30):") and len(lines) == 23 and lines[21] == "  and 10 more"

    def test_all_of_them(self, folder):
        with pytest.raises(CatalogueError, match=r"no rows are left of .*: all 2 are bad, first metadata.jsonl row 1"):
            load_catalogue(folder([b"{", b"}"]), on_bad_rows="skip")


class TestNoCatalogue:
    def test_no_such_folder(self, tmp_path):
        with pytest.raises(CatalogueError, match="no such folder"):
            load_catalogue(str(tmp_path / "nothing"))

    def test_neither_folder_nor_dataset(self):
        with pytest.raises(CatalogueError, match="someone/nothing is neither a folder nor, on the Hub, a dataset"):
            load_catalogue("someone/nothing")

    def test_a_file_that_is_no_table(self, tmp_path):
        with pytest.raises(CatalogueError, match=r"1.jpg is no table; known layouts"):
            load_catalogue(str(poster(tmp_path / "1.jpg")))

    def test_a_folder_of_nothing_but_images_says_which_layouts_are_known(self, tmp_path):
        poster(tmp_path / "1.jpg")
        with pytest.raises(CatalogueError, match=r"no catalogue; known layouts:\n.*metadata.jsonl(.|\n)*MovieLens"):
            load_catalogue(str(tmp_path))

    @pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "movies.dat"])
    def test_empty_metadata(self, tmp_path, name):
        movielens(tmp_path, ["1::Jaws (1975)::Horror"], ["1::A shark terrorises a beach."])
        (tmp_path / "movies.dat").unlink()
        (tmp_path / name).write_text("file_name,plot\n" if name.endswith("csv") else "\n")
        with pytest.raises(CatalogueError, match=f"{name} holds no rows"):
            load_catalogue(str(tmp_path))

    def test_a_broken_header(self, folder):
        with pytest.raises(CatalogueError, match=r"the first row of .*metadata.csv is not CSV"):
            load_catalogue(folder([b'"file"name,plot', b"1.jpg,A plot."], "metadata.csv"))

    def test_both_kinds_of_metadata(self, folder, tmp_path):
        folder([movie(1)])
        folder([b"file_name,plot"], "metadata.csv")
        with pytest.raises(CatalogueError, match=r"holds metadata.jsonl and metadata.csv; keep one"):
            load_catalogue(str(tmp_path))

    def test_no_column_file_name(self, folder):
        with pytest.raises(CatalogueError, match=r"no column of posters \(file_name.* its columns are id, title, "):
            load_catalogue(folder([movie(1, file_name=None)]))
