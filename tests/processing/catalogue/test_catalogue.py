import json
import os
import time

import pytest

from processing.catalogue.catalogue import CatalogueError, load_catalogue
from processing.catalogue.fingerprints import fingerprint
from processing.catalogue.movies import MOVIE_FEATURES
from tests.processing.catalogues import PLOT, drawn, ids, movie, poster, write_csv


class TestFolder:
    def test_every_layout_gives_the_same_columns(self, folder):
        rows = [movie(n, split="train" if n < 3 else "test", director="unknown column") for n in range(5)]
        catalogue = load_catalogue(folder(rows))
        assert ids(catalogue) == {"train": ["0", "1", "2"], "test": ["3", "4"]}
        for split in catalogue.splits.values():
            assert split.features == MOVIE_FEATURES and split.column_names == list(MOVIE_FEATURES)
        first = catalogue.splits["train"][0]
        assert first.pop("image").size == (4, 6)
        assert first == {
            "id": "0",
            "plots": [f"{PLOT} 0"],
            "title": "Movie a",
            "other_titles": [],
            "year": 1851,
            "genres": ["Adventure"],
            "series": "movie a",
            "poster_text": None,
        }
        assert json.loads(json.dumps(catalogue.report())) == {
            "source": catalogue.source,
            "rows": {"train": 3, "test": 2},
            "bad_rows": {"count": 0, "lines": []},
            "columns": {
                **{"id": "id", "title": "title", "year": "year", "plots": "plot", "genres": "genres"},
                **{"split": "split", "image": "file_name"},
            },
            "plot_columns": ["plot"],
            "genres": {"Adventure": 5},
            "split_by": "given",
            "shared_series": 0,
            "shared_plots": 0,
            "poster_text": {"given": 0, "read": 0, "without_text": 0, "failed": []},
            "warnings": ["columns that were not understood: director"],
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
            **{"id": "7", "plots": [plot], "title": "Moby-Dick", "other_titles": [], "year": 1851},
            **{"genres": ["Adventure", "Drama"], "series": "moby dick", "poster_text": None},
        }
        assert train[1]["year"] is None and train[1]["genres"] == []

    def test_plots_come_from_known_columns_or_from_those_named(self, folder):
        row = movie(1, plot=None, intro="short", overview="long", wiki_intro=None, poem="rhyme", split="train")
        other = movie(2, plot=None, intro=None, overview="N/A", plots=["one", None, " ", "two"], split="train")
        source = folder([row, other])
        catalogue = load_catalogue(source)
        assert catalogue.columns["plots"] == ["plots", "intro", "overview"]
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
        source = folder([movie(n, series="abcdefghij"[n]) for n in range(10)], "images/metadata.jsonl")
        assert list(load_catalogue(source, seed=2).splits) == ["train", "validation", "test"]
        (tmp_path / "images").rename(tmp_path / "dev")
        assert ids(load_catalogue(source)) == {"validation": [str(n) for n in range(10)]}

    def test_an_absent_title_makes_no_series(self, folder):
        absent = [
            movie(n, title=title, split="train") for n, title in enumerate(["nan", "NaN", float("nan"), "N/A", None])
        ]
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
        series = [set(split["series"]) for split in catalogue.splits.values()]
        assert sum(map(len, series)) == len(set.union(*series)) == 10
        shares = [f"{name} {100 * len(split) / 40:.1f} %" for name, split in catalogue.splits.items()]
        aims = ["(aim 70 %)", "(aim 10 %)", "(aim 20 %)"]
        described = ", ".join(map(" ".join, zip(shares, aims, strict=True)))
        assert catalogue.report()["split_by"] == f"series and near-duplicates (seed 0): {described}"
        assert ids(load_catalogue(source)) == ids(catalogue) != ids(load_catalogue(source, seed=1))

    def test_a_movie_more_moves_no_other(self, folder):
        rows = [movie(n, series=f"series {n // 2}") for n in range(40)]
        before = ids(load_catalogue(folder(rows), seed=2))
        after = ids(load_catalogue(folder([movie(40, series="new"), *rows]), seed=2))
        assert {name: set(after[name]) - {"40"} for name in after} == {name: set(before[name]) for name in before}

    def test_a_series_column_decides(self, folder):
        catalogue = load_catalogue(folder([movie(n, series="abcdefghij"[n % 10]) for n in range(20)]), seed=2)
        for number in range(10):
            assert sum(not {str(number), str(number + 10)}.isdisjoint(part) for part in ids(catalogue).values()) == 1

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
        train, validation = (catalogue.splits[name] for name in ("train", "validation"))
        assert catalogue.report()["rows"] == {"train": len(train), "validation": len(validation), "test": 2}
        assert catalogue.report()["split_by"].startswith("given; validation from train by series and near-duplicates")
        assert set(train["series"]).isdisjoint(validation["series"])
        assert sorted([*train["id"], *validation["id"]]) == sorted(given.splits["train"]["id"])
        assert given.report()["rows"] == {"train": 48, "test": 2}
        assert ids(given.with_validation()) == ids(catalogue) != ids(load_catalogue(source, seed=1).with_validation())
        assert catalogue.with_validation() is catalogue
        assert not caplog.records

    def test_movies_with_one_poster_or_plot_are_in_one_split(self, folder, tmp_path):
        whale = "A captain hunts the white whale that took his leg and loses his ship."
        rows = [movie(n, series=f"series {n}", file_name=f"{n}.png") for n in range(40)]
        rows[0]["plot"], rows[3]["plot"] = whale, f"{whale.upper()} The end."
        source = folder(rows)
        for number in range(40):
            drawn({3: 1, 6: 1}.get(number, number)).save(tmp_path / f"{number}.png")
        for seed in range(5):
            split_of = {number: name for name, of in ids(load_catalogue(source, seed=seed)).items() for number in of}
            assert split_of["0"] == split_of["3"] and split_of["1"] == split_of["6"]
        (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row | {"split": "train"}) for row in rows))
        for seed in range(5):
            parts = ids(load_catalogue(source, seed=seed).with_validation())
            assert sum(not {*"03"}.isdisjoint(part) for part in parts.values()) == 1

    def test_near_duplicates_in_two_splits_are_a_warning(self, folder):
        rows = [movie(n, series=f"series {n // 2}") for n in range(48)]
        before = ids(load_catalogue(folder(rows), seed=2))
        for name in ("train", "test"):  # odd movies are not the first of their series
            rows[next(int(number) for number in before[name] if int(number) % 2)]["plot"] = "The same story."
        catalogue = load_catalogue(folder(rows), seed=2)
        assert ids(catalogue) == before
        assert "1 pair of near-duplicate movies is in two splits" in catalogue.warnings[-1]

    def test_a_carved_validation_that_shares_a_series_is_told(self, folder, caplog):
        rows = [movie(n, series=f"{n % 20}", split="train" if n < 20 else "extra") for n in range(40)]
        carved = load_catalogue(folder(rows)).with_validation()
        assert carved.shared_series == len(carved.splits["validation"]) > 0
        assert f"{carved.shared_series} series of validation or test lie in another split too" in caplog.text

    @pytest.mark.parametrize(
        ("split", "message"), [("train", "1 series leave 'validation' empty"), ("extra", "no split 'train'")]
    )
    def test_no_validation_can_be_carved(self, folder, split, message):
        catalogue = load_catalogue(folder([movie(n, title="Jaws", split=split) for n in range(2)]))
        with pytest.raises(CatalogueError, match=message):
            catalogue.with_validation()

    def test_too_few_series(self, folder):
        with pytest.raises(CatalogueError, match=r"1 series leave .* empty.*column `split`.*--split_seed"):
            load_catalogue(folder([movie(1, title="Jaws"), movie(2, title="Jaws 2")]))

    def test_a_split_with_nothing_but_bad_rows(self, folder):
        source = folder([movie(1, split="train"), movie(2, split="test", plot=" ")])
        with pytest.raises(CatalogueError, match="no rows are left of split 'test'"):
            load_catalogue(source, on_bad_rows="skip")


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
