"""Runs that end with the same weights, whatever is kept, resumed or read again."""

import json
import shutil
from importlib.util import find_spec

import pytest
import torch

from processing.catalogue import ocr_cache
from processing.posterclip import ocr
from scripts import train
from scripts.common import command_line, features
from tests.scripts.train_runs import OCR_TEXT, QUICK, log, record, weights
from tests.tiny import tiny_model


@pytest.mark.slow
@pytest.mark.parametrize(
    "modes",
    [
        [
            "--vision_mode",
            "frozen",
            "--text_mode",
            "frozen",
            *OCR_TEXT,
            "--poster_text_dropout",
            "0.3",
            "--title_share",
            "0.5",
        ],
        ["--vision_mode", "frozen", "--text_mode", "last-1", "--chunk_size", "3"],
    ],
    ids=["both", "posters"],
)
def test_features_from_the_cache_train_as_encoders_that_run_in_every_step(
    modes, printed, encoders, tmp_path, monkeypatch
):
    def run(name: str, cache: str) -> dict[str, torch.Tensor]:
        # Adam would make a step of the learning rate of a gradient that is zero but for rounding.
        settings = ["--feature_cache", cache, "--output_dir", str(tmp_path / name), "--learning_rate", "0.1"]
        train.main(["--catalogue", str(printed), *encoders, *QUICK, *modes, *settings, "--optim", "sgd"])
        return weights(tmp_path / name)

    without, cold = run("without", "none"), run("cold", str(tmp_path / "cache"))
    monkeypatch.setattr(features, "encode_images", lambda *_: pytest.fail("a poster was encoded again"))
    monkeypatch.setattr(features, "encode_texts", lambda *_: pytest.fail("a text was encoded again"))
    warm = run("warm", str(tmp_path / "cache"))
    for name, weight in without.items():
        assert torch.equal(cold[name], warm[name]), name
        torch.testing.assert_close(weight, cold[name], atol=1e-4, rtol=0)
    assert not torch.equal(without["visual_projection.weight"], tiny_model().visual_projection.weight)


@pytest.mark.slow
def test_training_on_masked_names_is_training_on_plots_without_them(catalogue, encoders, tmp_path):
    def run(name: str, plot: str, *flags: str) -> dict[str, torch.Tensor]:
        rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
        rows = [{**row, "plot_long": f"{plot} {'abcdefghijklmnopqr'[row['id']]}"} for row in rows]
        (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
        settings = [
            "--text_mode",
            "frozen",
            "--feature_cache",
            str(tmp_path / "cache"),
            "--output_dir",
            str(tmp_path / name),
        ]
        train.main(["--catalogue", str(catalogue), *encoders, *QUICK, *settings, *flags])
        return weights(tmp_path / name)

    masked, without = run("masked", "a duel with Zorro", "--mask_names", "True"), run("without", "a duel with ...")
    assert all(torch.equal(weight, masked[name]) for name, weight in without.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "modes",
    [
        ["--vision_mode", "frozen", "--augment", "True", "--feature_cache", "none"],
        ["--text_mode", "frozen", *OCR_TEXT, "--poster_text_dropout", "0.3", "--title_share", "0.5"],
    ],
    ids=["augmented", "from the cache"],
)
def test_a_run_resumed_by_the_script_ends_with_the_same_weights(modes, printed, encoders, tmp_path):
    catalogue = printed
    settings = [
        "--catalogue",
        str(catalogue),
        *encoders,
        *modes,
        *QUICK,
        "--save_steps",
        "1",
        "--save_total_limit",
        "9",
    ]
    settings += ["--gradient_accumulation_steps", "2", "--per_device_train_batch_size", "2", "--chunk_size", "1"]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train.main([*settings, "--output_dir", str(whole)])
    shutil.copytree(whole / "checkpoint-1", resumed / "checkpoint-1")
    train.main([*settings, "--output_dir", str(resumed), "--resume_from_checkpoint", "True"])
    expected, got = weights(whole), weights(resumed)
    assert all(torch.equal(weight, got[name]) for name, weight in expected.items())


@pytest.mark.slow
def test_what_changes_the_training_data_does_not_change_the_evaluation(printed, encoders, tmp_path):
    rows = [json.loads(line) | {"genres": "drama"} for line in (printed / "metadata.jsonl").read_text().splitlines()]
    (printed / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    # The learning rate is 0, so that only the data and the loss make a difference.
    settings = ["--catalogue", str(printed), *encoders, *OCR_TEXT, *QUICK, "--eval_strategy", "epoch"]
    settings += ["--learning_rate", "0"]
    train.main([*settings, "--output_dir", str(tmp_path / "plain")])
    trained, evaluated = log(tmp_path / "plain")
    for name, value in (
        ("augment", "True"),
        ("genre_weight", "0.5"),
        ("train_sampling_strategy", "group_by_length"),
        ("poster_text_dropout", "0.5"),
    ):
        train.main([*settings, f"--{name}", value, "--output_dir", str(tmp_path / name)])
        assert log(tmp_path / name)[0] != trained, name
        assert log(tmp_path / name)[1] == evaluated, name


@pytest.mark.slow
@pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
def test_posters_that_nobody_has_read_are_read_once(catalogue, encoders, tmp_path, monkeypatch):
    ocr._engine.cache_clear()
    monkeypatch.setattr(command_line, "OCR_CACHE", tmp_path / "read")
    settings = ["--catalogue", str(catalogue), *encoders, *OCR_TEXT, *QUICK]
    train.main([*settings, "--output_dir", str(tmp_path / "first")])
    found = record(tmp_path / "first")["catalogue"]["poster_text"]
    assert found["read"] == 8 and found["given"] == 0 and found["failed"] == []
    monkeypatch.setattr(ocr_cache, "recognize_text", lambda *_: pytest.fail("read again"))
    train.main([*settings, "--output_dir", str(tmp_path / "second")])
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
