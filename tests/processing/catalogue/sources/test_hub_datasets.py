import io
import tarfile

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value, load_dataset

from processing.catalogue.catalogue import CatalogueError, load_catalogue
from processing.catalogue.fingerprints import fingerprint
from processing.catalogue.movies import MOVIE_FEATURES
from processing.catalogue.sources.layouts import read_source
from tests.processing.catalogues import PLOT, ids, movie, poster


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


class TestImageColumns:
    """Columns of posters, whatever their type."""

    def read(self, tmp_path, column, values, **options):
        rows = {"id": ["a", "b"], "plot": ["A plot.", "Another."], column: values}
        Dataset.from_dict(rows).to_parquet(tmp_path / "movies.parquet")
        return read_source(str(tmp_path / "movies.parquet"), **options)

    def test_of_content_as_bytes_or_in_a_mapping_or_a_list(self, tmp_path):
        content = poster(tmp_path / "images" / "1.jpg").read_bytes()
        cell = {"bytes": content, "path": None}
        for values in ([content, content], [cell, cell], [[cell], [cell]], [[content], [content]]):
            found = self.read(tmp_path, "image", values)
            assert [image["bytes"] for image in found.images["image"]] == [content] * 2
            assert found.columns.report()["image"] == "image"

    def test_of_lists_give_a_row_for_each_poster(self, tmp_path):
        content = poster(tmp_path / "images" / "1.jpg").read_bytes()
        cell = {"bytes": content, "path": None}
        found = self.read(tmp_path, "posters", [[cell, cell], []])
        assert [row.fields["id"] for row in found.rows] == ["a", "a", "b"]
        assert [image is None or image["bytes"] is None for image in found.images["image"]] == [False, False, True]

    def test_of_lists_of_type_image(self, tmp_path):
        content = poster(tmp_path / "images" / "1.jpg").read_bytes()
        cells = [[{"bytes": content, "path": None}]] * 2
        features = Features(images=List(Image()), plot=Value("string"))
        Dataset.from_dict({"images": cells, "plot": ["A plot.", "Another."]}, features).to_parquet(
            tmp_path / "m.parquet"
        )
        found = read_source(str(tmp_path / "m.parquet"))
        assert [image["bytes"] for image in found.images["image"]] == [content] * 2

    def test_of_lists_of_empty_images_say_so(self, tmp_path):
        cells = [[{"bytes": None, "path": None}]] * 2
        columns = {"images": cells, "plot": ["A plot.", "Another."]}
        features = Features(images=List(Image(decode=False)), plot=Value("string"))
        Dataset.from_dict(columns, features).to_parquet(tmp_path / "movies.parquet")
        with pytest.raises(CatalogueError, match=r"no poster \(the image has neither bytes nor a path\)"):
            load_catalogue(str(tmp_path / "movies.parquet"))

    def test_of_paths_are_relative_to_the_file(self, tmp_path):
        poster(tmp_path / "images" / "1.jpg")
        found = self.read(tmp_path, "poster_path", ["images/1.jpg", "images/2.jpg"])
        assert found.rows[0].path == tmp_path / "images" / "1.jpg" and not found.rows[1].path.is_file()

    def test_can_be_named(self, tmp_path):
        content = poster(tmp_path / "images" / "1.jpg").read_bytes()
        found = self.read(tmp_path, "scan", [content, content], image_column="scan")
        assert found.columns.report()["image"] == "scan"
        with pytest.raises(CatalogueError, match=r"no column of posters .*name it by image_column; columns: .*scan"):
            self.read(tmp_path, "scan", [content, content])
        with pytest.raises(CatalogueError, match="the column of posters shot is missing"):
            self.read(tmp_path, "scan", [content, content], image_column="shot")


def test_tars_of_webdataset(tmp_path):
    poster(tmp_path / "1.jpg")
    files = {"jpg": (tmp_path / "1.jpg").read_bytes(), "txt": b"A plot.", "json": b'{"id": "tt1", "title": "Heat"}'}
    for number in range(2):
        with tarfile.open(tmp_path / f"train-{number}.tar", "w") as archive:
            for kind, content in files.items():
                info = tarfile.TarInfo(f"{number}.{kind}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    (tmp_path / "1.jpg").unlink()
    found = read_source(str(tmp_path))
    assert [(row.fields["title"], row.fields["txt"]) for row in found.rows] == [("Heat", "A plot.")] * 2
    assert found.columns.report() == {"id": "id", "title": "title", "plots": "txt", "image": "jpg"}
