import pytest
from datasets import ClassLabel, Dataset, DatasetDict, List, load_dataset

from processing.catalogue.catalogue import CatalogueError, load_catalogue
from processing.catalogue.fingerprints import fingerprint
from processing.catalogue.movies import MOVIE_FEATURES
from tests.processing.catalogues import PLOT, ids, movie, movielens, poster, write_csv


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
            **{"id": "1", "plots": ["A hacker wakes up."], "title": "The Matrix", "other_titles": []},
            **{"year": 1999, "genres": ["Action", "Sci-Fi"], "series": "matrix", "poster_text": None},
        }
        assert catalogue.splits["train"].remove_columns("image")[:] == {
            "id": ["2", "7"],
            "plots": [["A thief: redeemed."], ["A thief is trained.", "A second plot."]],
            "title": ["Les Misérables", "La Femme Nikita"],
            "other_titles": [[], ["Nikita"]],
            "year": [1995, 1990],
            "genres": [["Drama"], []],
            "series": ["les miserables", "la femme nikita"],
            "poster_text": [None, None],
        }

    def test_plots_in_csv_and_posters_in_another_folder(self, tmp_path):
        source = movielens(tmp_path, self.MOVIES, ["x"])
        (tmp_path / "posters").rename(tmp_path / "ml1m-images")
        (tmp_path / "plots.txt").unlink()
        plots = [["movieId", "plot_short", "plot_long"], [1, "s", "l"], [2, "", "m"], [7, "t", "n"]]
        write_csv(tmp_path / "plots.csv", plots)
        catalogue = load_catalogue(source, seed=1)
        assert catalogue.columns["plots"] == ["plot_short", "plot_long"]
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
            "movies.dat row 2 (id 2): no poster is called by its id",
            "movies.dat row 4 (id 8), posters/8.jpg: no plot",
            "movies.dat row 5 (id nonsense), posters/nonsense.jpg: not id::title::genres",
            "movies.dat row 6 (id 10): no poster is called by its id, and it has no plot either",
            "plots.txt row 5 (id 9): not in movies.dat",
            "plots.txt row 6: neither id::plot nor id, tab, plot",
            "train.txt row 2 (id 77): not in movies.dat",
        ]

    @pytest.mark.parametrize(
        ("missing", "message"),
        [
            ("plots.txt", "plots in one of plots.txt, .*found: none"),
            ("posters", "no poster in .* is called by the id of a movie"),
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
        data = Dataset.from_dict(self.rows(tmp_path)).cast_column("cover", MOVIE_FEATURES["image"])
        (tmp_path / "data").mkdir()
        data.to_parquet(tmp_path / "data" / "all.parquet")
        monkeypatch.setattr(
            "processing.catalogue.sources.hub_datasets.load_dataset",
            lambda name: load_dataset(name, cache_dir=str(tmp_path / "cache")),
        )
        catalogue = load_catalogue(str(tmp_path / "data"), seed=2)
        assert list(catalogue.splits) == ["train", "validation", "test"]
        assert sorted(id for of in ids(catalogue).values() for id in of) == [str(n) for n in range(10)]
        first = catalogue.splits["test"][0]
        assert first["image"].size == (4, 6) and first["plots"] == [f"{PLOT} {first['id']}"]

    def test_classes_are_read_by_their_names(self, tmp_path):
        kinds = ClassLabel(names=["Drama", "Horror"])
        data = Dataset.from_dict(self.rows(tmp_path, 3)).cast_column("cover", MOVIE_FEATURES["image"])
        for name, column, feature in (("one", [1, -1, None], kinds), ("many", [[1, 0], [], None], List(kinds))):
            DatasetDict(train=data.add_column("genres", column, feature=feature)).save_to_disk(tmp_path / name)
        found = {name: load_catalogue(str(tmp_path / name)).splits["train"]["genres"][:] for name in ("one", "many")}
        assert found == {"one": [["Horror"], [], []], "many": [["Horror", "Drama"], [], []]}

    def test_bad_rows_are_named_by_split_and_index(self, tmp_path):
        data = Dataset.from_dict(self.rows(tmp_path, 3)).cast_column("cover", MOVIE_FEATURES["image"])
        (tmp_path / "images" / "1.jpg").write_bytes(b"")
        DatasetDict(train=data, test=data.add_column("id", ["x", "y", "z"])).save_to_disk(tmp_path / "other")
        with pytest.raises(CatalogueError, match=r"split 'test' of .* has other columns: .*, id"):
            load_catalogue(str(tmp_path / "other"))
        DatasetDict(train=data).save_to_disk(tmp_path / "saved")
        with pytest.raises(CatalogueError, match=r"train\[1\] \(id 1\), 1.jpg: image is empty"):
            load_catalogue(str(tmp_path / "saved"))

    def test_an_empty_split(self, tmp_path):
        data = Dataset.from_dict(self.rows(tmp_path, 2)).cast_column("cover", MOVIE_FEATURES["image"])
        DatasetDict(train=data, test=data.select([])).save_to_disk(tmp_path / "saved")
        with pytest.raises(CatalogueError, match=r"split 'test' of .* is empty"):
            load_catalogue(str(tmp_path / "saved"))

    def test_no_column_of_posters(self, tmp_path):
        Dataset.from_dict({"text": [PLOT], "label": [0]}).cast_column("label", ClassLabel(names=["x"])).save_to_disk(
            tmp_path / "saved"
        )
        with pytest.raises(CatalogueError, match=r"no column of posters .*columns: text, label"):
            load_catalogue(str(tmp_path / "saved"))
