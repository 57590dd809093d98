"""Short runs on real posters: `POSTERCLIP_MOVIES` names a folder with metadata.jsonl, in splits.

The smallest split stands in for the training movies.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modeling.demo_encoders import export_text_encoder, export_vision_encoder
from scripts import evaluate, match, train

ROOT = Path(__file__).parents[2]
SEED = ROOT / "scripts" / "configs" / "seed.yaml"
pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif("POSTERCLIP_MOVIES" not in os.environ, reason="POSTERCLIP_MOVIES names no real posters"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("real")


def part(folder: Path, most: dict[str, int | None]) -> list[str]:
    """Flags that name some of the movies alone, so many of each split: every run reads and checks all there are."""
    source = Path(os.environ["POSTERCLIP_MOVIES"])
    rows = [json.loads(line) for line in (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    chosen = []
    for split, count in most.items():
        chosen += [row for row in rows if row["split"] == split][:count]
    for row in chosen:
        (folder / row["file_name"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / row["file_name"], folder / row["file_name"])
    if (source / "poster_text.jsonl").is_file():
        shutil.copyfile(source / "poster_text.jsonl", folder / "poster_text.jsonl")
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, chosen)), encoding="utf-8")
    return ["--catalogue", str(folder), "--plot_columns", "intro", "--train_splits", "validation"]


@pytest.fixture(scope="module")
def movies(folder) -> list[str]:
    return part(folder / "movies", {"validation": None, "test": None})


@pytest.fixture(scope="module")
def few_movies(folder) -> list[str]:
    return part(folder / "few", {"validation": 128, "test": 8})


@pytest.fixture(scope="module")
def encoders(folder) -> list[str]:
    vision, text = export_vision_encoder(folder / "vision"), export_text_encoder(folder / "text")
    # Chunks and processes draw other dropout than one batch.
    config = Path(text) / "config.json"
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps({**json.loads(config.read_text()), **without}))
    return [
        "--vision_model_name_or_path",
        str(vision),
        "--text_model_name_or_path",
        str(text),
        "--feature_cache",
        str(folder / "features"),
    ]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def test_the_cache_trains_as_encoders_that_run_in_every_step(few_movies, encoders, tmp_path):
    settings = [str(SEED), *few_movies, *encoders, "--num_train_epochs", "2", "--per_device_train_batch_size", "64"]
    settings += ["--optim", "sgd"]  # Adam makes a step of any gradient's rounding
    train.main([*settings, "--feature_cache", "none", "--output_dir", str(tmp_path / "without")])
    train.main([*settings, "--output_dir", str(tmp_path / "cold")])
    train.main([*settings, "--output_dir", str(tmp_path / "warm")])
    for name, weight in weights(tmp_path / "without").items():
        cold, warm = (weights(tmp_path / run)[name] for run in ("cold", "warm"))
        assert torch.equal(cold, warm), name
        torch.testing.assert_close(cold, weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("loss", ["contrastive", "sigmoid"])
def test_chunks_and_two_processes_give_the_weights_of_one_batch(loss, few_movies, encoders, tmp_path):
    settings = [str(SEED), *few_movies, *encoders, "--text_mode", "last-1", "--loss", loss, "--num_train_epochs", "1"]
    settings += ["--optim", "sgd", "--use_cpu", "True"]  # Adam makes a step of any gradient's rounding

    def run(name: str, *flags: str) -> list[str]:
        return [*settings, "--output_dir", str(tmp_path / name), *flags]

    train.main(run("whole", "--per_device_train_batch_size", "128"))
    train.main(run("chunks", "--per_device_train_batch_size", "128", "--chunk_size", "50"))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "scripts.train",
    ]
    two = run("two", "--per_device_train_batch_size", "64", "--ddp_backend", "gloo", "--chunk_size", "50")
    done = subprocess.run([*launch, *two], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]

    start, whole = load_file(Path(encoders[3]) / "model.safetensors"), weights(tmp_path / "whole")
    top = "encoder.layer.5.output.dense.weight"
    assert not torch.equal(start[top], whole[f"text_model.{top}"])
    for name, weight in whole.items():
        for other in ("chunks", "two"):
            torch.testing.assert_close(weights(tmp_path / other)[name], weight, atol=1e-5, rtol=1e-4, msg=name)


def test_the_seeds_recipe_remembers_its_movies_and_hardly_finds_others(movies, encoders, tmp_path):
    out = tmp_path / "run"
    train.main([str(SEED), *movies, *encoders, "--output_dir", str(out)])
    movies = movies[:-2]
    for split in ("validation", "test"):
        flags = ["--split", split, "--page", "False", "--allow_trained_movies", "True"]
        evaluate.main([str(out), *movies, *flags])
    reports = [out / f"report-{split}" / "results.json" for split in ("validation", "test")]
    known, unknown = (json.loads(report.read_text())["metrics"] for report in reports)
    for direction in ("image_to_text", "text_to_image"):
        assert known[direction]["R@1"] > 0.9
        assert unknown[direction]["R@10"] < 0.1


@pytest.fixture(scope="module")
def reader(folder, movies, encoders) -> Path:
    """A model that reads posters, trained for two epochs by the preset."""
    if not (Path(movies[1]) / "poster_text.jsonl").is_file():
        pytest.skip("nobody has read these posters")
    out, preset = folder / "reader", str(ROOT / "scripts" / "configs" / "posterclip.yaml")
    short = ["--num_train_epochs", "2", "--eval_strategy", "no", "--save_strategy", "no"]
    short += ["--load_best_model_at_end", "False"]
    train.main([preset, *movies, *encoders, *short, "--output_dir", str(out)])
    return out


def test_a_model_that_reads_posters_finds_movies_it_has_not_seen(reader, movies, encoders):
    evaluate.main([str(reader), *movies[:-2], "--split", "test", "--feature_cache", encoders[-1]])
    results = json.loads((reader / "report-test" / "results.json").read_text())
    metrics, most_known = results["metrics"], results["known"][0]
    assert most_known["titles"] == "use" and most_known["both_stages"]
    assert (reader / "report-test" / "index.html").stat().st_size < 10_000_000
    for direction in ("image_to_text", "text_to_image"):
        assert metrics[direction]["R@1"] > 0.15
        assert metrics[direction]["R@10"] > 0.28
        assert most_known["metrics"][direction]["R@1"] > 0.7


def test_scans_under_meaningless_names_find_their_movies_in_a_table(reader, movies, tmp_path):
    """Forty posters, read by OCR; two hundred movies, without those of ten of the posters."""
    pytest.importorskip("rapidocr")
    rows = [json.loads(line) for line in (Path(movies[1]) / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == "test"][:210]
    present, absent = rows[:200], rows[200:]
    with open(tmp_path / "movies.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ("id", "title", "year", "intro"), extrasaction="ignore")
        table.writeheader()
        table.writerows(present)
    (tmp_path / "scans").mkdir()
    answers = {}
    for number, row in enumerate([*present[::7][:30], *absent]):
        name = f"IMG_{7919 * number % 10_000:04}.jpg"
        shutil.copyfile(Path(movies[1]) / row["file_name"], tmp_path / "scans" / name)
        answers[name] = str(row["id"])
    flags = ["--posters", str(tmp_path / "scans"), "--movies", str(tmp_path / "movies.csv")]
    match.main([str(reader), *flags, "--output", str(tmp_path / "matches")])

    with open(tmp_path / "matches" / "matches.csv", encoding="utf-8-sig", newline="") as file:
        found = {row["poster"]: row for row in csv.DictReader(file)}
    assert found.keys() == answers.keys()
    gone = {str(row["id"]) for row in absent}
    right = [name for name, row in found.items() if row["id"] == answers[name]]
    accepted = [name for name, row in found.items() if row["status"] == "accepted"]
    assert len(right) >= 24
    assert len(accepted) >= 15 and len(set(accepted) - set(right)) <= 2
    assert sum(answers[name] in gone for name in accepted) <= 1
