import json
import math
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import CLIPImageProcessor

from modeling import PosterCLIPModel
from modeling.training.lora import load_adapter, merged_state_dict
from processing import PosterCLIPProcessor
from processing.catalogue import ocr_cache
from processing.catalogue.catalogue import load_catalogue
from processing.posterclip import ocr
from processing.posterclip.processing_posterclip import cropped_share
from scripts import train
from scripts.common import command_line, features
from scripts.common.command_line import CatalogueArguments, parse
from scripts.common.run_settings import ModelArguments, RunArguments, SplitArguments, StreamArguments
from tests.tiny import tiny_model

CONFIGS = Path(train.__file__).parent / "configs"
QUICK = ["--num_train_epochs", "2", "--per_device_train_batch_size", "4", "--use_cpu", "True", "--disable_tqdm", "True"]
BEST = ["--eval_strategy", "epoch", "--save_strategy", "epoch", "--load_best_model_at_end", "True"]
OCR_TEXT = ["--use_poster_text", "True", "--char_ngram_dim", "64"]


def weights(folder):
    return load_file(folder / "model.safetensors")


def record(folder):
    return json.loads((folder / "training.json").read_text())


def log(folder):
    entries = record(folder)["log"]
    return [[entry[name] for entry in entries if name in entry] for name in ("train_loss", "eval_loss")]


def test_a_run_writes_a_model_its_processor_and_its_record_and_says_what_it_does(
    printed, encoders, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "rapidocr", None)  # no OCR: the catalogue gives the text
    out = tmp_path / "run"
    settings = ["--catalogue", str(printed), *encoders, *OCR_TEXT, *QUICK, *BEST]
    settings += ["--logging_steps", "1", "--ocr_language", "ko"]
    train.main([*settings, "--metric_for_best_model", "R@10", "--output_dir", str(out)])

    written = record(out)
    assert written["catalogue"]["rows"] == {"train": 8, "validation": 4, "test": 6}
    assert written["catalogue"]["poster_text"] == {"given": 18, "read": 0, "without_text": 6, "failed": []}
    assert written["config"]["use_poster_text"] is True and written["config"]["char_ngram_dim"] == 64
    splits = load_catalogue(str(printed)).splits
    assert list(written["movies"]["trained_on"]) == splits["train"]["id"][:]
    assert list(written["movies"]["chosen_by"]) == splits["validation"]["id"][:]
    assert written["movies"]["complete"] is True

    model, processor = PosterCLIPModel.from_pretrained(out), PosterCLIPProcessor.from_pretrained(out)
    assert model.config.projection_dim == 8 and processor.run_ocr and processor.ocr_language == "ko"
    assert model.char_ngrams.token_bytes.any() and model.char_ngrams.weight.max().item() == pytest.approx(math.log(17))
    files = {path.name for path in out.iterdir()}
    assert {"processing_posterclip.py", "tokenizer.json", "char_ngrams.py", "ocr.py", "ocr_text.py"} <= files

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Training on 8 movies (train) of {printed}"
    # Over four movies R@10 is always 1.
    assert "The best epoch is chosen by loss: over 4 movies a random order already has a R@10 of 100%." in lines
    assert written["best_metric"] == min(log(out)[1])
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 2 and epochs[1].startswith("epoch 2, step 4 of 4: loss ") and "R@10 100.0 %" in epochs[1]
    assert lines[-1] == f"Evaluate it: python scripts/evaluate.py {out} --catalogue {printed}"
    assert not any(line.startswith("{") for line in lines)


def test_the_best_epoch_is_that_of_the_best_metric(catalogue, encoders, tmp_path):
    settings = ["--catalogue", str(catalogue), *encoders, *QUICK, *BEST, "--learning_rate", "1e-2"]
    settings += ["--num_train_epochs", "4", "--metric_for_best_model", "image_to_text_mean_rank"]
    train.main([*settings, "--output_dir", str(tmp_path / "run")])
    found = [entry["eval_image_to_text_mean_rank"] for entry in record(tmp_path / "run")["log"] if "eval_loss" in entry]
    assert len(found) == 4 and record(tmp_path / "run")["best_metric"] == min(found)


def test_a_saved_model_is_trained_further_by_its_own_settings(printed, encoders, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    rows = [json.loads(line) for line in (printed / "metadata.jsonl").read_text().splitlines()]
    settings = ["--catalogue", str(printed), *QUICK]
    train.main([*settings, *encoders, *OCR_TEXT, "--output_dir", str(first)])
    more = [str(CONFIGS / "finetune.yaml"), "--model_name_or_path", str(first), "--train_splits", "test", "--bf16", "0"]
    train.main([*more, *settings, "--output_dir", str(second)])

    assert torch.equal(weights(first)["char_ngrams.weight"], weights(second)["char_ngrams.weight"])
    assert not torch.equal(weights(first)["image_weight"], weights(second)["image_weight"])
    movies = record(second)["movies"]
    by_split = {name: {str(row["id"]) for row in rows if row["split"] == name} for name in ("train", "test")}
    assert movies["trained_on"].keys() == by_split["train"] | by_split["test"] and movies["complete"] is True

    (first / "training.json").unlink()
    train.main([*more, *settings, "--num_train_epochs", "1", "--output_dir", str(tmp_path / "third")])
    movies = record(tmp_path / "third")["movies"]
    assert movies["trained_on"].keys() == by_split["test"] and movies["complete"] is False


def test_validation_is_taken_from_train_by_series_where_a_catalogue_has_none(catalogue, encoders, tmp_path):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        row["split"] = "train" if row["split"] == "validation" else row["split"]
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = ["--catalogue", str(catalogue), *encoders, *QUICK, "--eval_strategy", "epoch", "--split_seed", "2"]
    train.main([*settings, "--output_dir", str(tmp_path / "run")])
    found = record(tmp_path / "run")
    taken = load_catalogue(str(catalogue), seed=2).with_validation()
    assert found["catalogue"]["rows"] == taken.report()["rows"] and "validation" in found["catalogue"]["split_by"]
    assert list(found["movies"]["chosen_by"]) == taken.splits["validation"]["id"][:]


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
    with pytest.raises(SystemExit, match=r"18 posters of .*catalogue are not read.*pip install rapidocr onnxruntime"):
        train.main(settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--train_splits", "tain"], ["tain", "train, validation, test"]),
        (["--vision_model_name_or_path", "no/such-model"], ["no/such-model"]),
        (["--catalogue", "nowhere"], ["nowhere"]),
        (["--text_pooling", "pooler", "--vision_pooling", "last"], ["vision_pooling", "last"]),
        (["--lerning_rate", "1"], ["lerning_rate"]),
        (["--projection_dim", "0"], ["projection_dim"]),
        (["--char_ngram_dim", "64"], ["char_ngram_dim=64", "poster_text"]),
        (["--poster_text_dropout", "0.5"], ["poster_text_dropout", "needs a model with poster text"]),
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


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_stops_the_run_with_its_step_and_rows(catalogue, encoders, tmp_path):
    train.main(["--catalogue", str(catalogue), *encoders, *QUICK, "--output_dir", str(tmp_path / "run")])
    path = tmp_path / "run" / "model.safetensors"
    broken = {name: weight.clone() for name, weight in load_file(path).items()}
    broken["text_model.embeddings.word_embeddings.weight"][4 + 2] = torch.nan  # the letter c: movie 2
    save_file(broken, path, metadata={"format": "pt"})
    settings = ["--catalogue", str(catalogue), "--model_name_or_path", str(tmp_path / "run"), *QUICK]
    with pytest.raises(SystemExit, match=r"The loss of step [12] is nan. Rows whose embeddings are not finite: 2$"):
        train.main([*settings, "--output_dir", str(tmp_path / "more")])


@pytest.mark.slow
@pytest.mark.parametrize(
    "modes",
    [
        ["--vision_mode", "frozen", "--text_mode", "frozen", *OCR_TEXT, "--poster_text_dropout", "0.3"],
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
        ["--text_mode", "frozen", *OCR_TEXT, "--poster_text_dropout", "0.3"],
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
def test_a_run_with_lora_writes_a_plain_model_and_what_trained(catalogue, encoders, tmp_path):
    out = tmp_path / "run"
    modes = ["--vision_mode", "frozen", "--text_mode", "lora"]
    train.main(["--catalogue", str(catalogue), *encoders, *QUICK, *BEST, *modes, "--output_dir", str(out)])
    assert record(out)["model"]["lora_rank"] == 16
    plain = PosterCLIPModel.from_pretrained(out)
    assert plain.state_dict().keys() == weights(out).keys() and not any("lora" in name for name in weights(out))
    model = PosterCLIPModel.from_vision_text_pretrained(encoders[1], encoders[3], projection_dim=8)
    load_adapter(model, out / "adapter")
    for name, weight in merged_state_dict(model).items():
        assert torch.equal(weights(out)[name], weight), name


@pytest.mark.slow
def test_options_of_trainer_work(catalogue, encoders, tmp_path):
    options = ["--bf16", "True", "--report_to", "tensorboard", "--layer_decay", "0.7", "--text_mode", "last-1"]
    options += ["--loss", "sigmoid", "--dataloader_num_workers", "1"]
    options += ["--logging_steps", "1", "--eval_strategy", "epoch"]
    train.main(["--catalogue", str(catalogue), *encoders, *QUICK, *options, "--output_dir", str(tmp_path / "run")])
    assert (tmp_path / "run" / "modules.json").is_file()
    (events,) = (tmp_path / "run").rglob("events.out.tfevents*")
    board = EventAccumulator(str(events)).Reload()
    assert {"train/loss", "eval/loss", "eval/text_to_image_R@1"} <= set(board.Tags()["scalars"])
    assert PosterCLIPModel.from_pretrained(tmp_path / "run").config.loss == "sigmoid"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
def test_posters_that_nobody_has_read_are_read_once(catalogue, encoders, tmp_path, monkeypatch):
    ocr._engine.cache_clear()
    monkeypatch.setattr(command_line, "OCR_CACHE", tmp_path / "read")
    settings = ["--catalogue", str(catalogue), *encoders, *OCR_TEXT, *QUICK]
    train.main([*settings, "--output_dir", str(tmp_path / "first")])
    found = record(tmp_path / "first")["catalogue"]["poster_text"]
    assert found["read"] == 18 and found["given"] == 0 and found["failed"] == []
    monkeypatch.setattr(ocr_cache, "recognize_text", lambda *_: pytest.fail("read again"))
    train.main([*settings, "--output_dir", str(tmp_path / "second")])
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())


@pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
@pytest.mark.parametrize(
    ("language", "reason"), [("ko", "get it by: curl .*korean"), ("xx", "rapidocr has no model of 'xx'")]
)
def test_a_language_that_cannot_be_read_stops_the_run(catalogue, encoders, tmp_path, language, reason):
    ocr._engine.cache_clear()
    settings = ["--catalogue", str(catalogue), *encoders, *OCR_TEXT, *QUICK, "--output_dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=f"18 posters of .*catalogue are not read.*{reason}"):
        train.main([*settings, "--ocr_language", language])
    assert not (tmp_path / "run").exists()


def test_posters_are_kept_whole_if_asked_for(catalogue, encoders, tmp_path):
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(encoders[1])
    settings = ["--catalogue", str(catalogue), *encoders, *QUICK]
    train.main([*settings, "--whole_poster", "True", "--output_dir", str(tmp_path / "whole")])
    processor = PosterCLIPProcessor.from_pretrained(tmp_path / "whole")
    assert cropped_share(processor.image_processor) == pytest.approx(0, abs=0.05)
    more = ["--model_name_or_path", str(tmp_path / "whole"), "--whole_poster", "True"]
    with pytest.raises(SystemExit, match=r"whole_poster: a saved model \(--model_name_or_path\) has its own"):
        train.main(["--catalogue", str(catalogue), *more, *QUICK, "--output_dir", str(tmp_path / "more")])
