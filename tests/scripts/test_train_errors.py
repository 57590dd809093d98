"""What a run is told, and what stops it."""

import sys
from importlib.util import find_spec

import pytest

from processing.posterclip import ocr
from scripts import train
from scripts.common.command_line import CatalogueArguments, parse
from scripts.common.run_settings import ModelArguments, RunArguments, SplitArguments, StreamArguments
from tests.scripts.train_runs import OCR_TEXT, QUICK


def test_a_yaml_file_says_the_same_as_flags_and_a_flag_wins(tmp_path):
    classes = (CatalogueArguments, SplitArguments, StreamArguments, ModelArguments, RunArguments)
    path = tmp_path / "run.yaml"
    path.write_text(
        "catalogue: movies\nnum_train_epochs: 2\ntrain_splits: [train, extra]\noutput_dir: a\nuse_cpu: true"
    )
    by_yaml = parse(classes, [str(path), "--output_dir", "b"])
    flags = ["--catalogue", "movies", "--num_train_epochs", "2", "--train_splits", "train", "extra", "--use_cpu", "1"]
    assert list(map(repr, by_yaml)) == list(map(repr, parse(classes, [*flags, "--output_dir", "b"])))


def test_posters_that_nobody_has_read_and_no_ocr_to_read_them_stop_the_run(catalogue, encoders, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    ocr._engine.cache_clear()
    settings = [
        "--catalogue",
        str(catalogue),
        *encoders,
        *OCR_TEXT,
        *QUICK,
        "--output_dir",
        str(tmp_path / "run"),
    ]
    with pytest.raises(SystemExit, match=r"8 posters of .*catalogue are not read.*pip install rapidocr onnxruntime"):
        train.main(settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--train_splits", "tain"], ["tain", "train, validation, test"]),
        (["--train_splits", "train", "train"], ["train_splits", "twice"]),
        (["--eval_strategy", "epoch", "--train_splits", "train", "validation"], ["validation is trained on"]),
        (["--poster_text_prompt", "query: "], ["poster_text_prompt: only a model with OCR text"]),
        (["--vision_model_name_or_path", "no/such-model"], ["no/such-model"]),
        (["--catalogue", "nowhere"], ["nowhere"]),
        (["--text_pooling", "pooler", "--vision_pooling", "last"], ["vision_pooling", "last"]),
        (["--lerning_rate", "1"], ["lerning_rate"]),
        (["--projection_dim", "0"], ["projection_dim"]),
        (["--char_ngram_dim", "64"], ["char_ngram_dim=64", "poster_text"]),
        (["--poster_text_dropout", "0.5"], ["poster_text_dropout", "needs a model with poster text"]),
        (["--title_share", "1.5"], ["title_share must lie between 0 and 1"]),
        (
            ["--streaming", "True", "--max_steps", "2", *OCR_TEXT],
            ["char_ngram_dim", "not possible on a stream"],
        ),
        (["--max_length", "0"], ["max_length"]),
        (["--eval_strategy", "epoch", "--metric_for_best_model", "R@7"], ["R@7", "R@5", "text_to_image_MRR"]),
        (["--metric_for_best_model", "mean_rank", "--greater_is_better", "True"], ["less mean_rank is better"]),
        (["--vision_mode", "last-9"], ["last-9", "vit"]),
        (["--text_mode", "lots", "--catalogue", "nowhere"], ["no encoder mode 'lots'", "last-K", "lora"]),
        (["--lora_rank", "8", "--catalogue", "nowhere"], ["lora_rank is 8", "no encoder has the mode lora"]),
        (["--vision_mode", "lora", "--lora_rank", "0", "--catalogue", "nowhere"], ["lora_rank", "at least 1"]),
        (["--resume_from_checkpoint", "nowhere"], ["nowhere", "not a complete checkpoint"]),
        (
            ["--model_name_or_path", "saved"],
            ["vision_model_name_or_path, text_model_name_or_path, projection_dim", "--model_name_or_path"],
        ),
        (["--dataloader_persistent_workers", "True", "--dataloader_num_workers", "1"], ["persistent_workers"]),
        (["--eval_strategy", "epoch", "--eval_split", "dev"], ["dev"]),
        (["--augment", "True", "--vision_mode", "frozen"], ["augment", "--feature_cache none"]),
        (["--genre_weight", "0.2"], ["None of the movies has genres"]),
        (["--genre_weight", "-1"], ["genre_weight"]),
        (["--train_sampling_strategy", "group_by_length", "--text_mode", "frozen"], ["group_by_length", "frozen"]),
        (["--train_sampling_strategy", "batch_rebalance"], ["train_sampling_strategy"]),
    ],
)
def test_a_wrong_argument_stops_the_run_with_its_name(flags, words, catalogue, encoders, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--catalogue", str(catalogue), *encoders, *QUICK, "--output_dir", str(tmp_path / "run"), *flags])
    message = f"{stop.value.code} {capsys.readouterr().err}"
    assert all(word in message for word in words), message
    assert not (tmp_path / "run").exists()


def test_lora_without_peft_stops_the_run_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "peft", None)
    settings = [
        "--catalogue",
        "nowhere",
        "--vision_model_name_or_path",
        "nothing",
        "--text_model_name_or_path",
        "nothing",
        "--text_mode",
        "lora",
    ]
    with pytest.raises(SystemExit):
        train.main([*settings, "--output_dir", str(tmp_path / "run")])
    assert "pip install peft" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"), [("- a\n- b", "mapping"), ("a: [", "not YAML"), ("colour: red", "no setting 'colour'")]
)
def test_a_wrong_yaml_file_is_named(text, words, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SystemExit):
        train.main([str(path)])
    assert words in capsys.readouterr().err


def test_a_bad_poster_stops_the_run_before_it_starts(catalogue, encoders, tmp_path):
    (catalogue / "3.png").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(SystemExit, match=r"row 4 .*3\.png"):
        train.main(["--catalogue", str(catalogue), *encoders, *QUICK, "--output_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
@pytest.mark.parametrize(
    ("language", "reason"), [("ko", "get it by: curl .*korean"), ("xx", "rapidocr has no model of 'xx'")]
)
def test_a_language_that_cannot_be_read_stops_the_run(catalogue, encoders, tmp_path, language, reason):
    ocr._engine.cache_clear()
    settings = ["--catalogue", str(catalogue), *encoders, *OCR_TEXT, *QUICK, "--output_dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=f"8 posters of .*catalogue are not read.*{reason}"):
        train.main([*settings, "--ocr_language", language])
    assert not (tmp_path / "run").exists()
