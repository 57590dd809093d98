import json
import multiprocessing
import resource
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from processing.catalogue import ocr_cache
from processing.catalogue.catalogue import CatalogueError, load_catalogue
from processing.catalogue.fingerprints import fingerprint
from processing.catalogue.ocr_cache import read_posters
from processing.posterclip import ocr
from processing.posterclip.ocr import recognize_text
from tests.processing.catalogues import movie, movielens, poster

LINE = {"text": "MOBY-DICK", "score": 0.9, "box": [0.1, 0.2, 0.9, 0.4]}


class FakeEngine:
    """Finds on a poster the amount of red in it, nothing on `textless` posters, and fails on `broken` ones."""

    def __init__(self):
        self.seen, self.broken, self.textless, self.error = [], set(), set(), RuntimeError("no\nmemory")

    def __call__(self, image):
        red = image.getpixel((0, 0))[0]
        self.seen.append(red)
        if red in self.broken:
            raise self.error
        corners = np.array([[[0, 0], [image.width, 0], [image.width, image.height / 2], [0, image.height / 2]]])
        if red in self.textless:
            return SimpleNamespace(txts=None)
        return SimpleNamespace(txts=(f"red {red}",), scores=(0.98765,), boxes=corners)


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    monkeypatch.setattr(ocr, "_engine", lambda model: fake)
    monkeypatch.setattr(
        ocr_cache, "recognize_text", lambda image, language, sizes: recognize_text(image, language, [32])
    )
    monkeypatch.setattr(ocr, "version", lambda name: "1.0")
    return fake


@pytest.fixture
def catalogue(folder, tmp_path):
    """So many movies to train on, each with a poster of its own."""

    def make(count=4, **fields):
        rows = [movie(n, split="train", **fields) for n in range(count)]
        source = folder(rows)
        for n in range(count):
            Image.new("RGB", (4, 6), (n, 0, 0)).save((tmp_path / f"posters/{n}.jpg"), "PNG")
        return load_catalogue(source)

    return make


def texts(catalogue):
    return [lines and [line["text"] for line in lines] for lines in catalogue.splits["train"]["poster_text"][:]]


class TestReading:
    def test_each_row_has_its_lines(self, engine, catalogue, tmp_path):
        before = catalogue()
        after = before.with_poster_text(tmp_path / "cache")
        assert after.splits["train"][2]["poster_text"] == [
            {"text": "red 2", "score": 0.988, "box": [0.0, 0.0, 1.0, 0.5]}
        ]
        assert texts(after) == [[f"red {n}"] for n in range(4)]
        assert after.splits["train"].features == before.splits["train"].features
        assert after.splits["train"][3]["image"].size == (4, 6)
        assert after.report() == before.report() | {
            "poster_text": {"given": 0, "read": 4, "without_text": 0, "failed": []}
        }
        assert texts(before) == [None] * 4 and before.report()["poster_text"]["read"] == 0

    def test_nothing_is_read_twice(self, engine, catalogue, tmp_path):
        movies = catalogue(3)
        poster(tmp_path / "posters/1.jpg", (7, 0, 0)), poster(tmp_path / "posters/2.jpg", (7, 0, 0))
        first = movies.with_poster_text(tmp_path / "cache")
        assert len(engine.seen) == 2
        assert texts(first)[1] == texts(first)[2]
        assert texts(movies.with_poster_text(tmp_path / "cache")) == texts(first)
        assert len(engine.seen) == 2

    def test_another_version_reads_anew(self, engine, catalogue, tmp_path, monkeypatch):
        movies = catalogue()
        movies.with_poster_text(tmp_path / "cache")
        monkeypatch.setattr(ocr, "version", lambda name: "2.0")
        movies.with_poster_text(tmp_path / "cache")
        assert len(engine.seen) == 8

    def test_another_recognition_model_reads_anew(self, engine, catalogue, tmp_path):
        movies = catalogue()
        for language, reads in ((None, 4), ("fr", 4), ("ko", 8), ("korean", 8), ("ru", 12), (None, 12)):
            movies.with_poster_text(tmp_path / "cache", language)
            assert len(engine.seen) == reads, language

    def test_other_sizes_read_anew(self, engine, catalogue, tmp_path):
        movies = catalogue()
        for sizes, reads in (([448], 4), ([448, 320], 8), ([448], 8)):
            movies.with_poster_text(tmp_path / "cache", sizes=sizes)
            assert len(engine.seen) == reads, sizes

    @pytest.mark.parametrize(("count", "textless", "warned"), [(40, 5, True), (40, 4, False), (19, 19, False)])
    def test_many_posters_without_text_are_suspicious(
        self, engine, catalogue, tmp_path, caplog, count, textless, warned
    ):
        engine.textless = set(range(textless))
        catalogue(count).with_poster_text(tmp_path / "cache")
        messages = [record.message for record in caplog.records]
        assert [f"no text on {textless} of {count} posters" in text for text in messages] == [True] * warned
        assert all("--ocr_language" in text for text in messages)

    def test_posters_that_fail_are_not_counted_as_without_text(self, engine, catalogue, tmp_path, caplog):
        engine.broken = set(range(10))
        catalogue(20).with_poster_text(tmp_path / "cache")
        assert len(caplog.records) == 10 and "--ocr_language" not in caplog.text

    def test_a_killed_run_goes_on_where_it_stopped(self, engine, catalogue, tmp_path):
        movies = catalogue(20)
        engine.broken, engine.error = {9}, KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            movies.with_poster_text(tmp_path / "cache")
        before = set(engine.seen) - {9}
        engine.seen, engine.broken = [], set()
        assert texts(movies.with_poster_text(tmp_path / "cache")) == [[f"red {n}"] for n in range(20)]
        assert set(engine.seen) == set(range(20)) - before and set(range(9)) <= before

    def test_on_a_full_disk_the_file_is_named_and_keeps_what_was_read(self, engine, catalogue, tmp_path):
        movies, (soft, hard) = catalogue(20), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # larger files cannot be written, as on a full disk
        try:
            with pytest.raises(OSError, match=r"The poster text .*\.jsonl cannot be written: File too large"):
                movies.with_poster_text(tmp_path / "cache")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        engine.seen = []
        assert texts(movies.with_poster_text(tmp_path / "cache")) == [[f"red {n}"] for n in range(20)]
        assert 0 < len(engine.seen) < 20

    def test_a_half_written_row_is_read_anew_and_harms_no_other(self, engine, catalogue, tmp_path):
        movies = catalogue()
        movies.with_poster_text(tmp_path / "cache")
        (file,) = (tmp_path / "cache").iterdir()
        file.write_bytes(file.read_bytes()[:-7])
        for expected in (5, 5):
            assert texts(movies.with_poster_text(tmp_path / "cache")) == [[f"red {n}"] for n in range(4)]
            assert len(engine.seen) == expected

    def test_one_that_fails_has_no_text_and_is_named_and_tried_again(self, engine, catalogue, tmp_path, caplog):
        engine.broken = {2}
        movies = catalogue()
        first = movies.with_poster_text(tmp_path / "cache")
        assert texts(first) == [["red 0"], ["red 1"], [], ["red 3"]]
        assert first.report()["poster_text"] == {
            **{"given": 0, "read": 3, "without_text": 1, "failed": ["2: RuntimeError: no memory"]}
        }
        assert [record.message for record in caplog.records] == [
            "the poster of 2 cannot be read: RuntimeError: no memory"
        ]
        engine.broken = set()
        again = movies.with_poster_text(tmp_path / "cache")
        assert texts(again)[2] == ["red 2"] and len(engine.seen) == 5

    def test_processes_can_fill_one_folder(self, engine, catalogue, tmp_path):
        movies = catalogue(40).splits["train"]
        context = multiprocessing.get_context("fork")
        runs = [context.Process(target=read_posters, args=(movies, tmp_path / "cache")) for _ in range(3)]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        (file,) = (tmp_path / "cache").iterdir()
        rows = [json.loads(row) for row in file.read_text().splitlines() if row]
        assert len({row["poster"] for row in rows}) == 40
        read_posters(movies, tmp_path / "cache")
        assert not engine.seen

    def test_what_is_given_is_not_read(self, engine, folder, tmp_path):
        rows = [movie(1, split="train", poster_text=[LINE]), movie(2, split="train"), movie(3, split="test")]
        after = load_catalogue(folder([*rows, movie(4, split="test", poster_text=[])])).with_poster_text(tmp_path)
        assert after.report()["poster_text"] == {"given": 2, "read": 2, "without_text": 1, "failed": []}
        assert len(engine.seen) == 1, "movies 2 and 3 have the same poster"

    def test_without_rapidocr(self, folder, tmp_path, monkeypatch):
        def missing(model):
            raise ImportError("pip install it")

        monkeypatch.setattr(ocr, "_engine", missing)
        given = load_catalogue(folder([movie(1, split="train", poster_text=[])]))
        assert given.with_poster_text(tmp_path) is given
        catalogue = load_catalogue(folder([movie(n, split="train") for n in range(3)]))
        with pytest.raises(CatalogueError, match=r"^3 posters of .* are not read: pip install it$"):
            catalogue.with_poster_text(tmp_path)

    def test_of_an_unknown_language(self, folder, tmp_path):
        catalogue = load_catalogue(folder([movie(n, split="train") for n in range(3)]))
        with pytest.raises(CatalogueError, match=r"posters of .* are not read: .*rapidocr has no model of 'klingon'"):
            catalogue.with_poster_text(tmp_path, "klingon")


class TestGiven:
    @pytest.mark.parametrize(
        ("value", "lines"),
        [
            ([LINE], [LINE]),
            ([], []),
            (None, None),
            ("", None),
            ("MOBY-DICK\nA whale", [{"text": text, "score": 1.0, "box": None} for text in ("MOBY-DICK", "A whale")]),
            (["MOBY-DICK", " "], [{"text": "MOBY-DICK", "score": 1.0, "box": None}]),
            ([{"text": "A", "score": None}], [{"text": "A", "score": 1.0, "box": None}]),
        ],
    )
    def test_in_a_column(self, folder, value, lines):
        train = load_catalogue(folder([movie(1, split="train", poster_text=value)])).splits["train"]
        assert train[0]["poster_text"] == lines

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (7, "poster_text is not a list of lines but int"),
            ([7], "line 1 of poster_text: it has no text"),
            ([LINE, {"score": 1}], "line 2 of poster_text: it has no text"),
            ([LINE | {"score": 90}], "the score '90' is not a number from 0 to 1"),
            ([LINE | {"score": float("nan")}], "the score 'nan' is not a number"),
            ([LINE | {"box": [0, 0, 1]}], "is not four shares"),
            ([LINE | {"box": [0, 0, 320, 480]}], "is not four shares"),
            ([LINE | {"box": [0.5, 0, 0.2, 1]}], "is not left, top, right, bottom"),
            ([LINE | {"text": "\udce9"}], "the text is not UTF-8"),
        ],
    )
    def test_bad_lines_make_a_bad_row(self, folder, value, reason):
        source = folder([movie(1, split="train", poster_text=value), movie(2, split="train")])
        with pytest.raises(CatalogueError, match=rf"row 1 \(id 1\), posters/1.jpg: .*{reason}"):
            load_catalogue(source)

    def test_in_a_file_beside_the_metadata(self, folder, tmp_path):
        rows = [{"id": 1, "lines": [LINE]}, {"id": "2", "lines": []}, {"id": 99, "lines": [LINE]}]
        (tmp_path / "poster_text.jsonl").write_text("\n".join(map(json.dumps, rows)))
        movies = [movie(1), movie(2), movie(3), movie(1, id=4, poster_text=["own"])]
        train = load_catalogue(folder([row | {"split": "train"} for row in movies])).splits["train"]
        assert train["poster_text"][:3] == [[LINE], [], None]
        assert train[3]["poster_text"][0]["text"] == "own"

    def test_of_several_readings_follows_one_another(self, folder, tmp_path):
        for name, texts in (("_x4", {1: "C"}), ("", {1: "A", 2: "D"}), ("-x1", {1: "B", 3: "E"})):
            rows = [{"id": number, "lines": [text]} for number, text in texts.items()]
            (tmp_path / f"poster_text{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        train = load_catalogue(folder([movie(number, split="train") for number in range(1, 4)])).splits["train"]
        assert [[line["text"] for line in lines] for lines in train["poster_text"]] == [["A", "B", "C"], ["D"], ["E"]]

    def test_beside_the_layout_of_movielens(self, tmp_path):
        (tmp_path / "poster_text.jsonl").write_text(json.dumps({"id": 2, "lines": [LINE]}))
        source = movielens(
            tmp_path, ["1::Jaws (1975)::Horror", "2::Emma (1996)::Drama"], ["1::A", "2::B"], train=[1, 2]
        )
        assert load_catalogue(source).splits["train"]["poster_text"][:] == [None, [LINE]]

    def test_in_a_saved_dataset(self, folder, tmp_path_factory):
        first = load_catalogue(folder([movie(1, split="train", poster_text=[LINE]), movie(2, split="train")]))
        saved = str(tmp_path_factory.mktemp("saved"))
        first.splits.save_to_disk(saved)
        again = load_catalogue(saved).splits["train"]
        assert again["poster_text"][:] == [[LINE], None]
        assert fingerprint(again) == fingerprint(first.splits["train"])

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (b'{"id": 1, "lines"', "row 2: not JSON"),
            (b"[1]", "row 2: not a JSON object"),
            (b'{"lines": []}', "row 2: no id"),
            (b'{"id": 1}', r"row 2 \(id 1\): no lines"),
            (b'{"id": 0, "lines": []}', r"row 2 \(id 0\): the id is taken"),
            (b'{"id": 1, "lines": [{"text": "A", "score": 2}]}', r"row 2 \(id 1\): line 1 of poster_text: the score"),
        ],
    )
    def test_a_bad_row_of_the_file_is_named(self, folder, tmp_path, row, reason):
        (tmp_path / "poster_text.jsonl").write_bytes(b'{"id": 0, "lines": []}\n' + row)
        source = folder([movie(n, split="train") for n in range(2)])
        with pytest.raises(CatalogueError, match=f"poster_text.jsonl {reason}"):
            load_catalogue(source)
        skipped = load_catalogue(source, on_bad_rows="skip")
        assert skipped.report()["bad_rows"]["count"] == 1
        assert skipped.splits["train"]["poster_text"][:] == [[], None]

    def test_text_that_is_given_or_read_leaves_the_movies_the_same(self, folder):
        rows = [movie(1, split="train", poster_text=value) for value in ([], [LINE], None)]
        assert len({fingerprint(load_catalogue(folder([row])).splits["train"]) for row in rows}) == 1
