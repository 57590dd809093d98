"""What a run trains, writes and prints."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import CLIPImageProcessor

from modeling import PosterCLIPModel
from modeling.training.lora import load_adapter, merged_state_dict
from processing import PosterCLIPProcessor
from processing.catalogue.catalogue import load_catalogue
from processing.posterclip.processing_posterclip import cropped_share
from scripts import train
from tests.scripts.train_runs import BEST, OCR_TEXT, QUICK, log, record, weights

CONFIGS = Path(train.__file__).parent / "configs"


def test_a_run_writes_a_model_its_processor_and_its_record_and_says_what_it_does(
    printed, encoders, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "rapidocr", None)  # no OCR: the catalogue gives the text
    out = tmp_path / "run"
    settings = ["--catalogue", str(printed), *encoders, *OCR_TEXT, *QUICK, *BEST]
    settings += ["--logging_steps", "1", "--ocr_language", "ko", "--title_share", "0.5"]
    train.main([*settings, "--metric_for_best_model", "R@10", "--output_dir", str(out)])

    written = record(out)
    assert written["catalogue"]["rows"] == {"train": 8, "validation": 4, "test": 6}
    assert written["catalogue"]["poster_text"] == {"given": 18, "read": 0, "without_text": 6, "failed": []}
    assert written["arguments"]["title_share"] == 0.5
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


def test_posters_are_kept_whole_if_asked_for(catalogue, encoders, tmp_path):
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(encoders[1])
    settings = ["--catalogue", str(catalogue), *encoders, *QUICK]
    train.main([*settings, "--whole_poster", "True", "--output_dir", str(tmp_path / "whole")])
    processor = PosterCLIPProcessor.from_pretrained(tmp_path / "whole")
    assert cropped_share(processor.image_processor) == pytest.approx(0, abs=0.05)
    more = ["--model_name_or_path", str(tmp_path / "whole"), "--whole_poster", "True"]
    with pytest.raises(SystemExit, match=r"whole_poster: a saved model \(--model_name_or_path\) has its own"):
        train.main(["--catalogue", str(catalogue), *more, *QUICK, "--output_dir", str(tmp_path / "more")])
