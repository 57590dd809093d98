from importlib.util import find_spec

import pytest
from PIL import Image, ImageDraw, ImageFont

from scripts import match


def test_match_puts_the_likelier_plot_first(model, catalogue, capsys):
    plots = ["aaa", "bbbbbb", "cc"]
    match.main([model, str(catalogue / "0.png"), *plots])
    lines = capsys.readouterr().out.splitlines()
    shares = [float(line.split("%")[0]) for line in lines]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.1)
    assert sorted(line.split("  ")[-1] for line in lines) == sorted(plots)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "nope.jpg"), (b"<html>", "nope.jpg"), (b"\xff\xd8\xff", "nope.jpg")]
)
def test_match_names_a_poster_that_cannot_be_read(content, words, model, tmp_path):
    if content is not None:
        (tmp_path / "nope.jpg").write_bytes(content)
    with pytest.raises(SystemExit, match=words):
        match.main([model, str(tmp_path / "nope.jpg"), "a plot"])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
def test_a_model_that_reads_matches_what_it_reads_on_a_poster_itself(reader, tmp_path, capsys):
    poster = Image.new("RGB", (320, 480), "navy")
    ImageDraw.Draw(poster).text((160, 100), "moby", "white", ImageFont.load_default(size=60), anchor="mm")
    poster.save(tmp_path / "poster.png")
    match.main([reader, str(tmp_path / "poster.png"), "kkkk", "moby", "llll"])
    assert capsys.readouterr().out.splitlines()[0].endswith("moby")
