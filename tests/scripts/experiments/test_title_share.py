import json

import pytest

from scripts.experiments import title_share
from scripts.experiments.title_share import means, share_rows


def run(share: float, fold: str, movies: int, value: float) -> dict:
    ways = {way: {"R@1": value, "R@10": value} for way in ("image_to_text", "text_to_image")}
    measured = {f"titles={titles}, plots=all": ways for titles in ("use", "hide")}
    return {"title_share": share, "fold": fold, "movies": movies, "measured": measured}


def test_a_share_is_measured_over_the_movies_of_all_folds():
    rows = share_rows(means([run(0.5, "0", 100, 0.3), run(0.5, "1", 300, 0.7), run(0.0, "0", 100, 0.2)]))
    assert rows[1][:2] == ["0", "20.0 / 20.0"] and rows[2] == ["0.5", *["60.0 / 60.0"] * 4]


@pytest.mark.slow
def test_each_share_is_trained_once_on_each_fold(printed, encoders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    settings = ["--catalogue", str(printed), *encoders, "--train_splits", "train", "validation", "--shares", "0", "1"]
    settings += ["--num_train_epochs", "1", "--per_device_train_batch_size", "4", "--char_ngram_dim", "16"]
    settings += ["--use_cpu", "True", "--disable_tqdm", "True", "--feature_cache", "none", "--output", "shares.json"]
    title_share.main(settings)
    runs = json.loads((tmp_path / "shares.json").read_text())["runs"]
    assert [(of["fold"], of["title_share"]) for of in runs] == [(fold, share) for fold in "012" for share in (0, 1)]
    assert sum(of["movies"] for of in runs if of["title_share"] == 1) == 12
    capsys.readouterr()
    monkeypatch.setattr(title_share, "measure", lambda *_: pytest.fail("trained again"))
    title_share.main(settings)
    assert "titles hidden" in capsys.readouterr().out
