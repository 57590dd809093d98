import csv
import json
import resource
import shutil
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from processing.catalogue import ocr_cache
from scripts import match
from scripts.common.command_line import load_model

needs_ocr = pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")


def test_a_poster_is_compared_with_plots_by_their_cosines_the_most_similar_first(model, catalogue, capsys):
    plots = ["aaa", "bbbbbb", "cc"]
    match.main([model, str(catalogue / "0.png"), "--plots", *plots])
    header, *lines = capsys.readouterr().out.splitlines()
    clip, processor = load_model(model)
    with torch.no_grad():
        output = clip.eval()(**processor(images=Image.open(catalogue / "0.png"), text=plots, return_tensors="pt"))
    cosines = torch.nn.functional.cosine_similarity(output.image_embeds, output.text_embeds).tolist()
    expected = sorted(zip(cosines, plots, strict=True), reverse=True)
    assert lines == [f"{cosine:10.3f}  {plot}" for cosine, plot in expected]
    assert header.split() == ["similarity", "plot"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"<html>", "not an image: starts with <html>"),
        (b"\xff\xd8\xff", "not an image: no JPEG"),
    ],
)
def test_a_poster_that_cannot_be_read_is_named(content, reason, model, tmp_path):
    if content is not None:
        (tmp_path / "nope.jpg").write_bytes(content)
    with pytest.raises(SystemExit, match=rf"nope\.jpg is no poster that can be read: {reason}"):
        match.main([model, str(tmp_path / "nope.jpg"), "--plots", "a plot"])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--plots", "a plot", " "], "plot 2 of 2 is blank"),
        (["--plots", "a plot", "--precision", "0.9"], "no flag of one goes with the other"),
        ([], "no flag of one goes with the other"),
    ],
)
def test_what_says_nothing_of_one_poster_is_refused(flags, says, model, catalogue):
    with pytest.raises(SystemExit, match=says):
        match.main([model, str(catalogue / "0.png"), *flags])


@pytest.mark.slow
@needs_ocr
def test_a_model_that_reads_posters_finds_the_plot_with_the_printed_word(reader, tmp_path, capsys):
    printed_poster("moby").save(tmp_path / "poster.png")
    match.main([reader, str(tmp_path / "poster.png"), "--plots", "kkkk", "moby", "llll"])
    assert capsys.readouterr().out.splitlines()[1].endswith("moby")


def printed_poster(word):
    poster = Image.new("RGB", (320, 480), "navy")
    ImageDraw.Draw(poster).text((160, 100), word, "white", ImageFont.load_default(size=60), anchor="mm")
    return poster


@pytest.fixture
def job(catalogue, tmp_path):
    """Flags that name the posters of a catalogue, a table of their movies and a new folder."""
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    with open(tmp_path / "movies.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ("id", "title", "plot_long"), extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    flags = {"posters": catalogue, "movies": tmp_path / "movies.csv", "output": tmp_path / "out"}
    return {name: str(path) for name, path in flags.items()}


def run(model, job, **more):
    match.main([model, *(word for name, value in (job | more).items() for word in (f"--{name}", value))])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"precision": "1"}, "--precision 1 is not between 0 and 1"),
        ({"precision": "95"}, "--precision 95 is not between 0 and 1"),
        ({"plots": "A whale."}, "MODEL POSTER --plots; no flag of one goes with the other"),
        ({"posters": ""}, "--posters, --movies and --output are needed"),
        ({"posters": "nowhere"}, "nowhere is neither a folder nor"),
        ({"movies": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_a_wrong_argument_is_one_line(more, says, model, job):
    with pytest.raises(SystemExit, match=says):
        run(model, job, **more)


def test_a_folder_without_images_and_a_table_without_titles_or_plots_are_named(model, job, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="empty holds no images"):
        run(model, job, posters=str(tmp_path / "empty"))
    (tmp_path / "years.csv").write_text("id,year\n7,1956\n")
    with pytest.raises(SystemExit, match=r"years\.csv has no column of titles or plots; its columns are id, year"):
        run(model, job, movies=str(tmp_path / "years.csv"))


def rows_of(folder):
    with open(f"{folder}/matches.csv", encoding="utf-8-sig", newline="") as file:
        return {row["poster"]: row for row in csv.DictReader(file)}


def test_a_model_without_confidence_accepts_nothing_and_says_so(model, job, capsys):
    run(model, job)
    told = capsys.readouterr().out
    assert "has no confidence" in told and "18 review" in told
    rows = rows_of(job["output"])
    assert len(rows) == 18
    assert {(row["status"], row["confidence"]) for row in rows.values()} == {("review", "")}
    assert all(row["id"] and row["similarity"] and row["id_5"] for row in rows.values())


def test_the_same_run_gives_the_same_matches(model, job, tmp_path):
    run(model, job)
    before = (tmp_path / "out" / "matches.csv").read_bytes()
    run(model, job)
    assert (tmp_path / "out" / "matches.csv").read_bytes() == before


def test_posters_that_fail_are_named_and_the_others_are_matched(model, job, catalogue, capsys):
    (catalogue / "3.png").write_bytes(b"")
    run(model, job)
    assert "posters that cannot be read (1):\n  3.png: image is empty (0 bytes)" in capsys.readouterr().err
    rows = rows_of(job["output"])
    assert rows["3.png"]["status"] == "failed" and len(rows) == 18


def test_a_table_of_one_movie_is_matched(model, job, tmp_path):
    (tmp_path / "movies.csv").write_text("id,title\n7,Moby Dick\n")
    run(model, job)
    assert {row["id"] for row in rows_of(job["output"]).values()} == {"7"}


def test_posters_and_rows_that_are_there_twice_are_named(model, job, catalogue, tmp_path, capsys):
    (catalogue / "copy.png").write_bytes((catalogue / "3.png").read_bytes())
    with open(tmp_path / "movies.csv", "a") as table:
        table.write("3,Movie d,ddddddd\n3,Another,xxx\n")
    run(model, job)
    told, found = capsys.readouterr().err, rows_of(job["output"])
    assert "the same picture: 3.png, copy.png" in told
    assert "row 20 (id 3): the same movie as row 5" in told and "row 21 (id 3): the id is taken by row 5" in told
    assert found["3.png"]["id"] == found["copy.png"]["id"]


def test_what_was_encoded_before_ctrl_c_is_kept(model, job, monkeypatch, capsys):
    """Ctrl-C comes when all posters are encoded and no text is."""
    Path(job["movies"]).write_text("id,title\n7,A title that no other test has\n")
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr("scripts.common.features.encode_texts", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(model, job)
    assert ended.value.code == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert not Path(job["output"]).exists()
    monkeypatch.setattr("scripts.common.features.encode_images", None)  # whoever calls it fails
    run(model, job)
    assert len(rows_of(job["output"])) == 18


@pytest.mark.parametrize("full", ["The feature cache .*sqlite cannot be written", "The matches cannot be written to"])
def test_on_a_full_disk_what_cannot_be_written_is_named(full, model, job, monkeypatch):
    """What was encoded before the results were written is kept."""
    if "matches" in full:
        run(model, job)
        shutil.rmtree(job["output"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # larger files cannot be written, as on a full disk
    try:
        with pytest.raises(SystemExit, match=f"error: {full}"):
            run(model, job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run(model, job)
    assert len(rows_of(job["output"])) == 18


@pytest.mark.slow
@needs_ocr
def test_a_run_that_was_stopped_goes_on_where_it_was(reader, job, tmp_path, monkeypatch, capsys):
    """Ctrl-C comes after the first poster; the second run reads the others alone."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(6):
        printed_poster("abcdef"[number] * 4).save(scans / f"{number}.png")
    job = {**job, "posters": str(scans)}
    cache, recognize_text, calls = tmp_path / "poster_text", ocr_cache.recognize_text, count()
    monkeypatch.setattr("scripts.common.matching.matcher.OCR_CACHE", cache)

    def read_one_then_stop(*arguments):
        if next(calls):
            raise KeyboardInterrupt
        return recognize_text(*arguments)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr(ocr_cache, "recognize_text", read_one_then_stop)
        run(reader, job)
    assert ended.value.code == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    run(reader, job)
    (file,) = cache.glob("*.jsonl")
    read = [json.loads(line)["poster"] for line in file.read_text().splitlines() if line]
    assert len(read) == len(set(read)) == 6
