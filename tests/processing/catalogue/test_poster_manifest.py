import io
import os
import time

import datasets
import pytest
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from processing.catalogue import poster_manifest
from processing.catalogue.poster_manifest import check_posters, poster_keys

LONG_AGO = time.time() - 3600


def png(width=40, height=60):
    stream = io.BytesIO()
    Image.effect_noise((width, height), 60).save(stream, "PNG")
    return stream.getvalue()


def column(*images):
    cells = [
        {"path": None, "bytes": of} if isinstance(of, bytes) else {"path": str(of), "bytes": None} for of in images
    ]
    return Dataset.from_dict({"image": cells}, Features(image=ImageFeature(decode=False)))


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """What is opened, in order; with a manifest of the test's own."""
    sizes = []

    def open_image(content):
        sizes.append(len(content))
        return original(content)

    original = poster_manifest.open_image
    monkeypatch.setattr(poster_manifest, "open_image", open_image)
    monkeypatch.setattr(poster_manifest, "MANIFEST", tmp_path / "cache" / "posters.sqlite")
    return sizes


@pytest.fixture
def posters(tmp_path):
    """Three poster files that were written an hour ago."""
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        path.write_bytes(png())
        os.utime(path, (LONG_AGO, LONG_AGO))
    return paths


@pytest.mark.slow
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_whole_column_is_checked_and_only_bad_rows_are_named(tmp_path):
    (tmp_path / "good.png").write_bytes(png())
    cells = [
        {"path": str(tmp_path / "good.png"), "bytes": None},
        {"path": "45.jpg", "bytes": b"<html>"},
        {"path": None, "bytes": png()},
        None,
        {"path": "46.jpg", "bytes": b""},
        {"path": "47.jpg", "bytes": png(11_000, 9_000)},
        {"path": "not looked at", "bytes": None},
    ]
    images = Dataset.from_dict({"image": cells}, Features(image=ImageFeature(decode=False)))
    reasons, thumbnails = check_posters(images, range(6))
    assert list(reasons) == [1, 3, 4, 5]
    assert {row: picture.shape for row, picture in thumbnails.items()} == dict.fromkeys([0, 2], (32, 32))
    assert reasons[1] == "not an image: starts with <html>"
    assert reasons[3] == "no poster"
    assert reasons[4] == "image is empty (0 bytes)"
    assert reasons[5].startswith("too large: ")


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert check_posters(column(tmp_path / "missing.png"), [0]) == ({0: "no such file"}, {})


def test_an_unchanged_poster_is_opened_once(opened, posters):
    images = column(*posters, png())
    _, thumbnails = check_posters(images, range(4))
    assert len(opened) == 4
    reasons, again = check_posters(images, range(4))
    assert len(opened) == 4 and not reasons
    assert {row: picture.tolist() for row, picture in again.items()} == {
        row: picture.tolist() for row, picture in thumbnails.items()
    }


def test_only_a_poster_that_changed_is_opened_again(opened, posters):
    images = column(*posters)
    check_posters(images, range(3))
    before = poster_keys(images)
    posters[1].write_bytes(png())
    os.utime(posters[1], (LONG_AGO + 1, LONG_AGO + 1))
    check_posters(images, range(3))
    assert len(opened) == 4
    after = poster_keys(images)
    assert [before[0], before[2]] == [after[0], after[2]] and before[1] != after[1]


def test_a_file_written_just_now_is_not_trusted_to_stay(opened, posters):
    posters[0].touch()
    for _ in range(2):
        check_posters(column(*posters), range(3))
    assert len(opened) == 4


def test_a_bad_poster_is_opened_each_time_and_keeps_its_reason(opened, posters):
    posters[0].write_bytes(b"<html>")
    for _ in range(2):
        assert check_posters(column(*posters), range(3))[0] == {0: "not an image: starts with <html>"}


def test_a_lower_limit_of_pixels_holds_for_known_posters(opened, posters, monkeypatch):
    check_posters(column(*posters), range(3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert len(check_posters(column(*posters), range(3))[0]) == 3


@pytest.mark.parametrize("damage", ["header", "row"])
def test_a_damaged_manifest_is_made_anew(opened, posters, damage):
    images = column(*posters)
    before = check_posters(images, range(3))[1], poster_keys(images)
    content = bytearray(poster_manifest.MANIFEST.read_bytes())
    place = 0 if damage == "header" else content.index(before[0][1].tobytes())
    content[place] ^= 255
    poster_manifest.MANIFEST.write_bytes(content)
    after = check_posters(images, range(3))[1], poster_keys(images)
    assert after[1] == before[1] and all((after[0][row] == before[0][row]).all() for row in range(3))
    assert len(opened) == {"header": 6, "row": 4}[damage]
    check_posters(images, range(3))
    assert len(opened) == {"header": 6, "row": 4}[damage]


def test_a_manifest_that_cannot_be_written_stops_nothing(opened, posters, monkeypatch, caplog, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(poster_manifest, "MANIFEST", tmp_path / "file" / "posters.sqlite")
    assert len(check_posters(column(*posters), range(3))[1]) == 3
    assert "cannot be written" in caplog.text


def test_a_poster_is_known_by_its_file_wherever_it_lies(tmp_path):
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    red, blue, again = poster_keys(Dataset.from_dict({"image": paths}).cast_column("image", datasets.Image()))
    assert red == again != blue
    inside = [{"bytes": (tmp_path / "b.png").read_bytes(), "path": None}]
    assert poster_keys(Dataset.from_dict({"image": inside}).cast_column("image", datasets.Image())) == [blue]
