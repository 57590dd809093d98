import csv
import json
import os
import time

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, List, load_dataset
from PIL import Image

from processing.catalogue import FEATURES, BadRow, CatalogueError, fingerprint, load_catalogue

PLOT = "A whale takes a leg, and a captain takes it badly."


def poster(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 6), colour).save(path)
    return path


def movie(number, **fields):
    """A row of metadata; a field given as None is left out."""
    row = {"file_name": f"posters/{number}.jpg", "id": number, "title": f"Movie {'abcdefghij'[number % 10]}"}
    row |= {"year": 1851, "genres": ["Adventure"], "plot": f"{PLOT} {number}"} | fields
    return {name: value for name, value in row.items() if value is not None}


@pytest.fixture
def folder(tmp_path):
    """Write metadata rows (dicts, or raw bytes) as a folder with a poster for each; returns its path."""

    def write(rows, name="metadata.jsonl"):
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\n".join(lines) + b"\n")
        for row in rows:
            if isinstance(row, dict) and not str(row.get("file_name", "..")).startswith((".", "/")):
                poster(path.parent / row["file_name"])
        return str(tmp_path)

    return write


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def movielens(root, movies, plots, train=None):
    """The layout of MovieLens with a poster for each movie."""
    (root / "movies.dat").write_bytes("".join(f"{line}\n" for line in movies).encode("latin-1"))
    (root / "plots.txt").write_text("".join(f"{line}\n" for line in plots), encoding="utf-8")
    for line in movies:
        poster(root / "posters" / f"{line.split('::')[0]}.jpg")
    if train is not None:
        (root / "train.txt").write_text("".join(f"{number}\n" for number in train))
    return str(root)


def ids(catalogue):
    return {name: split["id"][:] for name, split in catalogue.splits.items()}


class TestFolder:
    def test_every_layout_gives_the_same_columns(self, folder):
        rows = [movie(n, split="train" if n < 3 else "test", director="unknown column") for n in range(5)]
        catalogue = load_catalogue(folder(rows))
        assert ids(catalogue) == {"train": ["0", "1", "2"], "test": ["3", "4"]}
        for split in catalogue.splits.values():
            assert split.features == FEATURES and split.column_names == list(FEATURES)
        first = catalogue.splits["train"][0]
        assert first.pop("image").size == (4, 6)
        assert first == {
            "id": "0",
            "plots": [f"{PLOT} 0"],
            "title": "Movie a",
            "year": 1851,
            "genres": ["Adventure"],
            "series": "movie a",
        }
        assert json.loads(json.dumps(catalogue.report())) == {
            "source": catalogue.source,
            "rows": {"train": 3, "test": 2},
            "bad_rows": {"count": 0, "lines": []},
            "plot_columns": ["plot"],
            "split_by": "given",
            "shared_series": 0,
            "shared_plots": 0,
        }

    def test_posters_stay_on_disk(self, folder):
        catalogue = load_catalogue(folder([movie(1, split="train")]))
        cell = catalogue.splits["train"].data["image"][0].as_py()
        assert cell["bytes"] is None and os.path.isfile(cell["path"])

    def test_csv_with_quotes_and_lines_in_a_plot(self, tmp_path):
        plot = 'He said: "Call me\nIshmael", twice.'
        rows = [["file_name", "Title", "Year", "Genres", "Overview", "split"]]
        rows += [["7.jpg", "Moby-Dick", "1851.0", "Adventure|Drama", plot, "train"]]
        rows += [["8.jpg", "Emma", "", "", "A match is made.", "train"]]
        write_csv(tmp_path / "metadata.csv", rows)
        poster(tmp_path / "7.jpg"), poster(tmp_path / "8.jpg")
        train = load_catalogue(str(tmp_path)).splits["train"].remove_columns("image")
        assert train[0] == {
            **{"id": "7", "plots": [plot], "title": "Moby-Dick", "year": 1851},
            **{"genres": ["Adventure", "Drama"], "series": "moby dick"},
        }
        assert train[1]["year"] is None and train[1]["genres"] == []

    def test_plots_come_from_known_columns_or_from_those_named(self, folder):
        row = movie(1, plot=None, intro="short", overview="long", wiki_intro=None, poem="rhyme", split="train")
        other = movie(2, plot=None, intro=None, overview="N/A", plots=["one", None, " ", "two"], split="train")
        source = folder([row, other])
        catalogue = load_catalogue(source)
        assert catalogue.plot_columns == ["plots", "intro", "overview"]
        assert catalogue.splits["train"]["plots"][:] == [["short", "long"], ["one", "two"]]
        skipped = load_catalogue(source, plot_columns=["poem", "intro"], on_bad_rows="skip")
        assert skipped.splits["train"]["plots"][:] == [["rhyme", "short"]]
        for wanted in (["tagline"], ["intro", "tagline"]):
            with pytest.raises(CatalogueError, match=r"wanted column.*plot_columns; columns: .*poem"):
                load_catalogue(source, plot_columns=wanted)

    def test_no_column_of_plots(self, folder):
        source = folder([movie(1, plot=None, poem="rhyme")])
        with pytest.raises(CatalogueError, match=r"by plot_columns; columns: file_name, id, .*poem"):
            load_catalogue(source)

    def test_folders_of_splits(self, folder, tmp_path):
        folder([movie(n) for n in range(3)], "train/metadata.jsonl")
        folder([movie(3, file_name="../train/posters/0.jpg"), movie(4)], "extra/metadata.jsonl")
        write_csv(tmp_path / "test.csv", [])  # some other file
        assert ids(load_catalogue(str(tmp_path))) == {"train": ["0", "1", "2"], "extra": ["3", "4"]}

    def test_a_lone_folder_is_a_split_only_if_it_is_called_so(self, folder, tmp_path):
        source = folder([movie(n) for n in range(3)], "images/metadata.jsonl")
        assert list(load_catalogue(source).splits) == ["train", "validation", "test"]
        (tmp_path / "images").rename(tmp_path / "dev")
        assert ids(load_catalogue(source)) == {"dev": ["0", "1", "2"]}

    def test_an_absent_title_makes_no_series(self, folder):
        absent = [movie(n, title=title, split="train") for n, title in enumerate(["nan", "NaN", NAN, "N/A", None])]
        train = load_catalogue(folder(absent)).splits["train"]
        assert train["title"][:] == [""] * 5 and train["series"][:] == train["id"][:]

    def test_movies_with_one_plot_are_counted(self, folder):
        plots = ["one", "two", "one", ["three", "two"], "one"]
        rows = [movie(n, plot=plot, split=["train", "test"][n % 2]) for n, plot in enumerate(plots)]
        assert load_catalogue(folder(rows)).report()["shared_plots"] == 3

    def test_the_id_is_by_default_the_name_of_the_file(self, folder):
        assert ids(load_catalogue(folder([movie(7, id=None, split="train")]))) == {"train": ["7"]}


class TestSplits:
    def test_without_splits_they_are_made_by_series(self, folder):
        source = folder([movie(n, title=f"{'abcdefghij'[n % 10] * 2} {n // 10 + 1}") for n in range(40)])
        catalogue = load_catalogue(source)
        assert {name: len(split) for name, split in catalogue.splits.items()} == {
            **{"train": 28, "validation": 4, "test": 8}
        }
        series = [set(split["series"]) for split in catalogue.splits.values()]
        assert sum(map(len, series)) == len(set.union(*series)) == 10
        assert catalogue.split_by.startswith("series (seed 0, ")
        assert ids(load_catalogue(source)) == ids(catalogue) != ids(load_catalogue(source, seed=1))

    def test_a_series_column_decides(self, folder):
        catalogue = load_catalogue(folder([movie(n, series="abc"[n % 3]) for n in range(6)]))
        assert sorted(ids(catalogue).values()) == [["0", "3"], ["1", "4"], ["2", "5"]]

    def test_rows_without_a_split_among_rows_with_one(self, folder):
        source = folder([movie(1, split="train"), movie(2), movie(3, split="")])
        with pytest.raises(CatalogueError, match=r"2 of 3 rows .*no split.* first is metadata.jsonl row 2"):
            load_catalogue(source)

    def test_a_series_in_two_splits_is_counted(self, folder, caplog):
        splits = ["train", "test", "extra", "train", "extra"]
        titles = ["Jaws", "Jaws 2", "Jaws 3-D", "Rocky", "Rocky II"]
        rows = [movie(n, title=title, split=split) for n, (title, split) in enumerate(zip(titles, splits, strict=True))]
        assert load_catalogue(folder(rows)).report()["shared_series"] == 1
        assert "1 series of validation or test lie in another split too" in caplog.text

    def test_validation_is_carved_out_of_train(self, folder, caplog):
        rows = [movie(n, series=f"series {n // 2}", split="train") for n in range(48)]
        source = folder([*rows, movie(48, series="other", split="test"), movie(49, series="other", split="test")])
        given = load_catalogue(source)
        catalogue = given.with_validation()
        assert catalogue.report() == given.report() | {
            "rows": {"train": 42, "validation": 6, "test": 2},
            "split_by": "given; validation by series out of train (seed 0)",
        }
        train, validation = (catalogue.splits[name] for name in ("train", "validation"))
        assert set(train["series"]).isdisjoint(validation["series"])
        assert sorted([*train["id"], *validation["id"]]) == sorted(given.splits["train"]["id"])
        assert given.report()["rows"] == {"train": 48, "test": 2}
        assert ids(given.with_validation()) == ids(catalogue) != ids(load_catalogue(source, seed=1).with_validation())
        assert catalogue.with_validation() is catalogue
        assert not caplog.records

    def test_a_carved_validation_that_shares_a_series_is_told(self, folder, caplog):
        rows = [movie(n, title=f"Film {'abcd'[n % 4]}", split="train" if n < 4 else "extra") for n in range(8)]
        assert load_catalogue(folder(rows)).with_validation().shared_series == 2
        assert "2 series of validation or test lie in another split too" in caplog.text

    @pytest.mark.parametrize(("split", "message"), [("train", "1 series cannot fill"), ("extra", "no split 'train'")])
    def test_no_validation_can_be_carved(self, folder, split, message):
        catalogue = load_catalogue(folder([movie(n, title="Jaws", split=split) for n in range(2)]))
        with pytest.raises(CatalogueError, match=message):
            catalogue.with_validation()

    def test_too_few_series(self, folder):
        with pytest.raises(CatalogueError, match=r"cannot be split: 1 series .*'validation', 'test' would be empty"):
            load_catalogue(folder([movie(1, title="Jaws"), movie(2, title="Jaws 2")]))

    def test_a_split_with_nothing_but_bad_rows(self, folder):
        source = folder([movie(1, split="train"), movie(2, split="test", plot=" ")])
        with pytest.raises(CatalogueError, match="no rows are left of split 'test'"):
            load_catalogue(source, on_bad_rows="skip")


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


class TestMovieLens:
    MOVIES = (
        "1::Matrix, The (1999)::Action|Sci-Fi",
        "2::Misérables, Les (1995)::Drama",
        "7::Femme Nikita, La (Nikita) (1990)::(no genres listed)",
    )
    PLOTS = ("1::A hacker wakes up.", "2\tA thief: redeemed.", "7::A thief is trained.", "7::A second plot.")

    def test_the_layout_of_the_seed(self, tmp_path):
        catalogue = load_catalogue(movielens(tmp_path, self.MOVIES, self.PLOTS, train=[2, 7]))
        assert ids(catalogue) == {"train": ["2", "7"], "test": ["1"]}
        assert catalogue.split_by == "train.txt"
        assert catalogue.splits["test"].remove_columns("image")[0] == {
            **{"id": "1", "plots": ["A hacker wakes up."], "title": "The Matrix", "year": 1999},
            **{"genres": ["Action", "Sci-Fi"], "series": "matrix"},
        }
        assert catalogue.splits["train"].remove_columns("image")[:] == {
            "id": ["2", "7"],
            "plots": [["A thief: redeemed."], ["A thief is trained.", "A second plot."]],
            "title": ["Les Misérables", "La Femme Nikita"],
            "year": [1995, 1990],
            "genres": [["Drama"], []],
            "series": ["les miserables", "la femme nikita"],
        }

    def test_plots_in_csv_and_posters_in_another_folder(self, tmp_path):
        source = movielens(tmp_path, self.MOVIES, ["x"])
        (tmp_path / "posters").rename(tmp_path / "ml1m-images")
        (tmp_path / "plots.txt").unlink()
        plots = [["movieId", "plot_short", "plot_long"], [1, "s", "l"], [2, "", "m"], [7, "t", "n"]]
        write_csv(tmp_path / "plots.csv", plots)
        catalogue = load_catalogue(source)
        assert catalogue.plot_columns == ["plot_short", "plot_long"]
        assert {name: len(split) for name, split in catalogue.splits.items()} == {
            **{"train": 1, "validation": 1, "test": 1}
        }
        plots = {
            id: plots
            for split in catalogue.splits.values()
            for id, plots in zip(split["id"], split["plots"], strict=True)
        }
        assert plots == {"1": ["s", "l"], "2": ["m"], "7": ["t", "n"]}

    def test_what_does_not_fit_is_named(self, tmp_path):
        movies = [*self.MOVIES, "8::No Plot (2000)::Drama", "nonsense"]
        source = movielens(tmp_path, movies, [*self.PLOTS, "9::A plot of nothing", "?"], train=[1, 77])
        (tmp_path / "posters" / "2.jpg").unlink()
        (tmp_path / "movies.dat").write_text("".join(f"{line}\n" for line in [*movies, "10::Neither (2001)::"]))
        catalogue = load_catalogue(source, on_bad_rows="skip")
        assert ids(catalogue) == {"train": ["1"], "test": ["7"]}
        assert [str(bad) for bad in catalogue.bad_rows] == [
            "movies.dat row 2 (id 2), posters/2.jpg: no such file",
            "movies.dat row 4 (id 8), posters/8.jpg: no plot",
            "movies.dat row 5 (id nonsense): not id::title::genres",
            "movies.dat row 6 (id 10), posters/10.jpg: no such file, and no plot either",
            "plots.txt row 5 (id 9): not in movies.dat",
            "plots.txt row 6: neither id::plot nor id, tab, plot",
            "train.txt row 2 (id 77): not in movies.dat",
        ]

    @pytest.mark.parametrize(
        ("missing", "message"),
        [
            ("plots.txt", "plots in one of plots.txt, .*found: none"),
            ("posters", "one folder of posters.*found: none"),
        ],
    )
    def test_a_part_is_missing(self, tmp_path, missing, message):
        source = movielens(tmp_path, self.MOVIES, self.PLOTS)
        (tmp_path / missing).rename(tmp_path / "elsewhere")
        for file in (tmp_path / "elsewhere").glob("*.jpg"):
            file.unlink()
        with pytest.raises(CatalogueError, match=message):
            load_catalogue(source)


class TestDatasets:
    def test_a_prepared_catalogue_loads_back_equal(self, folder, tmp_path_factory):
        rows = [movie(n, split=["train", "extra"][n % 2], year=[None, 1, -700][n % 3]) for n in range(6)]
        rows[3] |= {"genres": [], "plots": ["one", "two"], "series": "mine"}
        catalogue = load_catalogue(folder(rows))
        saved = str(tmp_path_factory.mktemp("saved"))
        catalogue.splits.save_to_disk(saved)
        again = load_catalogue(saved)
        assert list(again.splits) == list(catalogue.splits) and again.split_by == "given"
        for name, split in catalogue.splits.items():
            assert again.splits[name].features == split.features
            assert again.splits[name].remove_columns("image")[:] == split.remove_columns("image")[:]
            assert fingerprint(again.splits[name]) == fingerprint(split)

    def rows(self, tmp_path, count=10):
        posters = [str(poster(tmp_path / "images" / f"{n}.jpg")) for n in range(count)]
        return {"cover": posters, "Text": [f"{PLOT} {n}" for n in range(count)], "rating": list(range(count))}

    def test_parquet_with_other_names_and_without_splits(self, tmp_path, monkeypatch):
        data = Dataset.from_dict(self.rows(tmp_path)).cast_column("cover", FEATURES["image"])
        (tmp_path / "data").mkdir()
        data.to_parquet(tmp_path / "data" / "all.parquet")
        monkeypatch.setattr(
            "processing.readers.load_dataset",
            lambda name: load_dataset(name, cache_dir=str(tmp_path / "cache")),
        )
        catalogue = load_catalogue(str(tmp_path / "data"))
        assert {name: len(split) for name, split in catalogue.splits.items()} == {
            **{"train": 7, "validation": 1, "test": 2}
        }
        assert sorted(id for of in ids(catalogue).values() for id in of) == [str(n) for n in range(10)]
        first = catalogue.splits["test"][0]
        assert first["image"].size == (4, 6) and first["plots"] == [f"{PLOT} {first['id']}"]

    def test_classes_are_read_by_their_names(self, tmp_path):
        kinds = ClassLabel(names=["Drama", "Horror"])
        data = Dataset.from_dict(self.rows(tmp_path, 3)).cast_column("cover", FEATURES["image"])
        for name, column, feature in (("one", [1, -1, None], kinds), ("many", [[1, 0], [], None], List(kinds))):
            DatasetDict(train=data.add_column("genres", column, feature=feature)).save_to_disk(tmp_path / name)
        found = {name: load_catalogue(str(tmp_path / name)).splits["train"]["genres"][:] for name in ("one", "many")}
        assert found == {"one": [["Horror"], [], []], "many": [["Horror", "Drama"], [], []]}

    def test_bad_rows_are_named_by_split_and_index(self, tmp_path):
        data = Dataset.from_dict(self.rows(tmp_path, 3)).cast_column("cover", FEATURES["image"])
        (tmp_path / "images" / "1.jpg").write_bytes(b"")
        DatasetDict(train=data, test=data.add_column("id", ["x", "y", "z"])).save_to_disk(tmp_path / "other")
        with pytest.raises(CatalogueError, match=r"split 'test' of .* has other columns: .*, id"):
            load_catalogue(str(tmp_path / "other"))
        DatasetDict(train=data).save_to_disk(tmp_path / "saved")
        with pytest.raises(CatalogueError, match=r"train\[1\] \(id 1\), 1.jpg: image is empty"):
            load_catalogue(str(tmp_path / "saved"))

    def test_an_empty_split(self, tmp_path):
        data = Dataset.from_dict(self.rows(tmp_path, 2)).cast_column("cover", FEATURES["image"])
        DatasetDict(train=data, test=data.select([])).save_to_disk(tmp_path / "saved")
        with pytest.raises(CatalogueError, match=r"split 'test' of .* is empty"):
            load_catalogue(str(tmp_path / "saved"))

    def test_no_column_of_posters(self, tmp_path):
        Dataset.from_dict({"text": [PLOT], "label": [0]}).cast_column("label", ClassLabel(names=["x"])).save_to_disk(
            tmp_path / "saved"
        )
        with pytest.raises(CatalogueError, match=r"no column of posters .*columns: text, label"):
            load_catalogue(str(tmp_path / "saved"))


class TestNoCatalogue:
    def test_no_such_folder(self, tmp_path):
        with pytest.raises(CatalogueError, match="no such folder"):
            load_catalogue(str(tmp_path / "nothing"))

    def test_neither_folder_nor_dataset(self):
        with pytest.raises(CatalogueError, match="someone/nothing is neither a folder nor, on the Hub, a dataset"):
            load_catalogue("someone/nothing")

    def test_a_file(self, folder):
        with pytest.raises(CatalogueError, match="is a file; give the folder"):
            load_catalogue(folder([movie(1)]) + "/metadata.jsonl")

    def test_a_folder_of_nothing_but_images_says_which_layouts_are_known(self, tmp_path):
        poster(tmp_path / "1.jpg")
        with pytest.raises(CatalogueError, match=r"no catalogue; known layouts:\n.*metadata.jsonl(.|\n)*MovieLens"):
            load_catalogue(str(tmp_path))

    @pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "movies.dat"])
    def test_empty_metadata(self, tmp_path, name):
        movielens(tmp_path, TestMovieLens.MOVIES, TestMovieLens.PLOTS)
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
        with pytest.raises(CatalogueError, match="no column file_name; its columns are id, title, "):
            load_catalogue(folder([movie(1, file_name=None)]))


def test_a_fingerprint_is_of_content_and_order(folder, tmp_path):
    source = folder([movie(n, split="train") for n in range(3)])
    data = load_catalogue(source).splits["train"]
    found = fingerprint(data)
    assert len(found) == 64
    assert fingerprint(load_catalogue(source).splits["train"].remove_columns("year")) == found
    assert fingerprint(data.select([1, 0, 2])) != found
    poster(tmp_path / "posters" / "1.jpg", "blue")
    assert fingerprint(data) != found


@pytest.mark.real
def test_real_movies():
    if "POSTERCLIP_MOVIES" not in os.environ:
        pytest.skip("POSTERCLIP_MOVIES names no catalogue")
    start = time.perf_counter()
    catalogue = load_catalogue(os.environ["POSTERCLIP_MOVIES"])
    print(f"\n{sum(map(len, catalogue.splits.values()))} posters read in {time.perf_counter() - start:.1f} s")
    report = catalogue.report()
    assert report["rows"] == {"train": 2235, "validation": 369, "test": 1067, "extra": 2535}
    assert report["bad_rows"]["count"] == report["shared_series"] == 0
    assert report["plot_columns"] == ["intro", "overview", "wiki_intro"]
    assert all(1 <= len(plots) <= 3 for split in catalogue.splits.values() for plots in split["plots"])
