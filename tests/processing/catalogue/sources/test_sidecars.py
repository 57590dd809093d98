import json

import pytest

from processing.catalogue.movies import read_movie
from processing.catalogue.sources.layouts import read_source
from processing.catalogue.sources.rows import CatalogueError
from tests.processing.catalogues import poster


def write(root, files):
    """Write posters, JSON and text files."""
    for name, content in files.items():
        path = root / name
        if content is None:
            poster(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_source(str(root))


def movies(found):
    return [read_movie(row.fields, found.columns) for row in found.rows if not row.problem]


def test_files_of_img2dataset(tmp_path):
    found = write(
        tmp_path,
        {
            **{"00000/000000001.jpg": None, "00000/000000001.txt": "A whale."},
            **{"00000/000000001.json": {"caption": "A whale.", "key": "000000001", "width": 9}},
            **{"00001/000010000.jpg": None, "00001/000010000.txt": "A shark."},
            "00000_stats.json": {"count": 2},
        },
    )
    assert [(movie["id"], movie["plots"]) for movie in movies(found)] == [
        ("000000001", ["A whale."]),
        ("000010000", ["A shark."]),
    ]
    assert found.columns.report() == {"id": "key", "plots": ["caption", "txt"]} and found.columns.unknown == ["width"]


def test_mm_imdb(tmp_path):
    movie = {"title": "Heat", "plot": ["A heist.", "A chase."], "genres": ["Crime"], "year": 1995}
    files = {
        f"dataset/000000{n}.{kind}": movie if kind == "json" else None for n in (1, 2) for kind in ("json", "jpeg")
    }
    found = write(tmp_path, {**files, "split.json": {"train": ["0000001"], "dev": ["0000002"]}})
    assert [row.split for row in found.rows] == ["train", "dev"] and found.split_by == "split.json"
    assert [movie["id"] for movie in movies(found)] == ["0000001", "0000002"]
    assert movies(found)[0]["plots"] == ["A heist.", "A chase."]


def test_one_folder_for_each_movie(tmp_path):
    found = write(
        tmp_path,
        {
            **{"Heat (1995)/front.jpg": None, "Heat (1995)/back.jpg": None, "Heat (1995)/plot.txt": "A heist."},
            **{"Emma/poster.png": None, "Emma/info.json": {"title": "Emma.", "overview": "A match."}},
        },
    )
    assert [(movie["id"], movie["title"], movie["year"]) for movie in movies(found)] == [
        ("Emma", "Emma.", None),
        ("Heat (1995)", "Heat", 1995),
        ("Heat (1995)", "Heat", 1995),
    ]


def test_folders_called_as_splits(tmp_path):
    files = {"train/1.jpg": None, "train/1.txt": "A.", "val/2.jpg": None, "val/2.txt": "B."}
    assert [row.split for row in write(tmp_path, files).rows] == ["train", "val"]


def test_what_does_not_fit_is_named(tmp_path):
    found = write(
        tmp_path,
        {
            **{"1.jpg": None, "1.json": {"plot": "A."}, "2.jpg": None, "2.json": "{", "3.jpg": None, "3.json": [1]},
            **{"4.jpg": None, "5.json": {"plot": "No poster."}, "6.jpg": None, "6.txt": "A."},
        },
    )
    assert {row.where: row.problem.partition(":")[0] for row in found.rows if row.problem} == {
        "2.jpg": "2.json is not JSON",
        "3.jpg": "3.json is not JSON",
        "4.jpg": "no text or JSON file belongs to it",
        "5.json": "no poster of this name (.jpg, .jpeg, .png, .webp, ...)",
    }
    (tmp_path / "split.json").write_text("[1]")
    with pytest.raises(CatalogueError, match=r"split.json is no JSON object of splits"):
        read_source(str(tmp_path))
