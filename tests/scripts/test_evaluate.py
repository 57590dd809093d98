import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, List, Value
from PIL import Image

from modeling import PosterCLIPModel
from processing.catalogue.catalogue import load_catalogue
from processing.catalogue.fingerprints import fingerprint
from processing.data.text_removal import remove_poster_text
from processing.posterclip import ocr
from scripts import evaluate
from scripts.common import command_line
from scripts.common.features import FeatureEncoder
from tests.tiny import tiny_model, tiny_processor

LETTERS = "abcdefghijklmnopqr"


def judge(model: str, catalogue: Path, *flags: str) -> dict:
    """The results of an evaluation, without its page."""
    evaluate.main([model, "--catalogue", str(catalogue), "--page", "False", *flags])
    newest = max(Path(model).glob("report-*/results.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(newest.read_text())


def test_results_are_printed_and_written(model, catalogue, capsys):
    results = judge(model, catalogue, "--legacy_protocol", "True")
    assert results["metrics"]["pool"] == {"image_to_text": 6, "text_to_image": 6}
    assert results["metrics"]["chance"]["image_to_text"]["R@1"] == pytest.approx(1 / 6)
    assert {group: row["count"] for group, row in results["legacy_protocol"].items()} == {
        "all": 18,
        "trained": 8,
        "others": 10,
    }
    printed = capsys.readouterr().out
    for word in ("image-to-text", "text-to-image", "chance", "R@10", "median rank", "trained"):
        assert word in printed
    tables = (Path(model) / "report-test" / "tables.md").read_text()
    assert tables in printed


def test_results_say_what_was_measured_on_what_with_what(model, catalogue):
    results = judge(model, catalogue)
    assert results["data_fingerprint"] == {"test": fingerprint(load_catalogue(str(catalogue)).movies(["test"]))}
    assert results["catalogue"]["rows"] == {"train": 8, "validation": 4, "test": 6}
    assert results["model"] == model and results["training"] is None and results["seed"] == 0
    assert results["code"].keys() == {"commit", "dirty"} and "torch" in results["versions"]
    movies = [group["count"] for group in results["groups"]["genre"]["image_to_text"].values()]
    assert sum(movies) == 6


@pytest.mark.slow
def test_the_report_is_one_folder_with_pictures_and_a_page_that_holds_them(model, catalogue, tmp_path, capsys):
    evaluate.main([model, "--catalogue", str(catalogue), "--output", str(tmp_path / "report")])
    folder = tmp_path / "report"
    assert {"index.html", "ranks.parquet", "results.json", "tables.md"} < {path.name for path in folder.iterdir()}
    pictures = list(folder.glob("*.png"))
    assert len(pictures) >= 8 and all(Image.open(picture).width > 500 for picture in pictures)
    page = (folder / "index.html").read_text()
    assert page.count("data:image/") == len(pictures) and "6 plots" in page
    assert f"The report is in {folder / 'index.html'}" in capsys.readouterr().out
    assert not (Path(model) / "report-test").exists()


@pytest.mark.parametrize("name", ["distances.npy", "distances.parquet"])
def test_the_matrix_of_distances_is_written_where_it_is_asked_for(name, model, catalogue, tmp_path):
    results = judge(model, catalogue, "--distances", str(tmp_path / name))
    if name.endswith(".npy"):
        matrix = np.load(tmp_path / name)
    else:
        matrix = np.array(Dataset.from_parquet(str(tmp_path / name), cache_dir=str(tmp_path))["distances"][:])
    ranks = 1 + (matrix < matrix.diagonal()[:, None]).sum(1)
    assert results["metrics"]["image_to_text"]["mean_rank"] == pytest.approx(ranks.mean())


def test_the_ranks_are_those_of_the_models_own_logits(model, catalogue):
    """One forward over the whole pool, ranked by hand, gives what the script writes."""
    results = judge(model, catalogue, "--batch_size", "4")
    movies = load_catalogue(str(catalogue)).splits["test"]
    clip, texts = PosterCLIPModel.from_pretrained(model).eval(), [plots[0] for plots in movies["plots"]]
    with torch.no_grad():
        logits = clip(
            **tiny_processor()(images=list(movies["image"]), text=texts, return_tensors="pt")
        ).logits_per_image
    ranks = 1 + (logits > logits.diagonal()[:, None]).sum(1)
    metrics = results["metrics"]["image_to_text"]
    assert metrics["mean_rank"] == pytest.approx(ranks.double().mean().item())
    assert metrics["R@1"] == pytest.approx((ranks == 1).double().mean().item())


def test_intervals_and_smaller_pools_are_reported(model, catalogue, capsys):
    results = judge(model, catalogue, "--pool_sizes", "2", "4")
    for direction in ("image_to_text", "text_to_image"):
        metrics = results["metrics"][direction]
        for name, (low, high) in results["metrics"]["intervals"][direction].items():
            assert low <= metrics[name] <= high
        sizes = results["pool_sizes"][direction]
        assert list(sizes) == ["2", "4", "6"]
        assert sizes["6"]["R@1"] == pytest.approx(metrics["R@1"]) and sizes["2"]["chance"]["R@1"] == 0.5
    printed = capsys.readouterr().out
    assert printed.count("\n| 95% interval") == 2 and "text-to-image (4)" in printed


def test_what_is_reached_by_knowing_that_a_pool_is_one_to_one_stands_apart(model, catalogue, capsys):
    without = judge(model, catalogue)
    assert "assignment" not in capsys.readouterr().out
    results = judge(model, catalogue, "--one_to_one", "True")
    assert results["metrics"] == without["metrics"] and "one_to_one" not in without
    assert results["one_to_one"]["assignment"]["chance"] == pytest.approx(1 / 6)
    assert results["one_to_one"]["dual_softmax"]["pool"] == {"image_to_text": 6, "text_to_image": 6}
    table = capsys.readouterr().out.split("with the knowledge that every poster has one plot")[1]
    assert "image-to-text (6 plots)" in table and "assignment (6 pairs)" in table


def test_plots_without_their_titles_are_judged_where_that_is_asked_for(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows = [
        {**row, "title": 5 * letter, "plot_short": f"a {5 * letter}"} for row, letter in zip(rows, LETTERS, strict=True)
    ]
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plain = judge(model, catalogue)
    masked = judge(model, catalogue, "--mask_titles", "True")
    assert [plain["mask_titles"], masked["mask_titles"]] == [False, True]
    assert plain["metrics"]["image_to_text"]["mean_rank"] < 6
    assert masked["metrics"]["image_to_text"]["mean_rank"] == 6  # all plots are "a ..."
    assert plain["data_fingerprint"] == masked["data_fingerprint"]


def test_posters_without_their_lettering_are_judged_where_that_is_asked_for(model, catalogue, tmp_path, monkeypatch):
    source, load = load_catalogue(str(catalogue)), evaluate.CatalogueArguments.load
    lines = List({"text": Value("string"), "score": Value("float64"), "box": List(Value("float64"))})
    text = [{"text": "all of it", "score": 1.0, "box": [0.0, 0.0, 1.0, 1.0]}]

    def with_text(arguments):
        splits = load(arguments).splits
        read = {
            name: split.select_columns([column for column in split.column_names if column != "poster_text"])
            .flatten_indices()
            .add_column("poster_text", [text] * len(split), feature=lines)
            for name, split in splits.items()
        }
        return dataclasses.replace(source, splits=DatasetDict(read))

    monkeypatch.setattr(evaluate.CatalogueArguments, "load", with_text)
    cache = ["--feature_cache", str(tmp_path / "cache")]  # filled with features of the posters as they are
    found = {}
    for blank in (False, True):
        found[blank] = judge(model, catalogue, *cache, "--remove_poster_text", str(blank))
        assert found[blank]["remove_poster_text"] == blank
    assert found[True]["metrics"] != found[False]["metrics"]
    assert found[True]["data_fingerprint"] == found[False]["data_fingerprint"]


class TestAModelThatReadsPosters:
    def test_is_judged_by_what_the_catalogue_says_is_printed(self, reader, printed):
        results = judge(reader, printed)
        movies, words = load_catalogue(str(printed)).splits["test"], tiny_processor()
        texts = [plots[0] for plots in movies["plots"]]
        given = {"images": list(movies["image"]), "poster_text": movies["poster_text"][:], "text": texts}
        with torch.no_grad():
            logits = (
                PosterCLIPModel.from_pretrained(reader).eval()(**words(**given, return_tensors="pt")).logits_per_image
            )
        ranks = 1 + (logits > logits.diagonal()[:, None]).sum(1)
        assert results["metrics"]["image_to_text"]["mean_rank"] == pytest.approx(ranks.double().mean().item())
        with_words = torch.tensor([bool(lines) for lines in movies["poster_text"]])
        assert with_words.sum() == 4 and (ranks[with_words] == 1).all()
        assert results["catalogue"]["poster_text"] == {"given": 18, "read": 0, "without_text": 6, "failed": []}

    def test_sees_pictures_alone_where_lettering_is_blanked(self, reader, printed):
        blank = judge(reader, printed, "--remove_poster_text", "True")
        for row in (rows := [json.loads(line) for line in (printed / "metadata.jsonl").read_text().splitlines()]):
            poster = Image.open(printed / row["file_name"])
            remove_poster_text(poster, row["poster_text"]).save(printed / row["file_name"])
            row["poster_text"] = []
        (printed / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
        alone = judge(reader, printed)
        assert blank["metrics"] == alone["metrics"] and blank["remove_poster_text"] and not alone["remove_poster_text"]

    def test_is_judged_in_every_other_way_as_well(self, reader, printed, tmp_path, capsys):
        plain = judge(reader, printed)
        cached = [
            judge(reader, printed, "--feature_cache", str(tmp_path / "cache"), "--one_to_one", "True") for _ in range(2)
        ]
        assert plain["metrics"] == cached[0]["metrics"] == cached[1]["metrics"]
        assert cached[0]["one_to_one"]["assignment"]["right_pairs"] >= 4 / 6
        masked = judge(reader, printed, "--mask_titles", "True", "--legacy_protocol", "True", "--pool_sizes", "2")
        assert masked["mask_titles"] and masked["legacy_protocol"]["all"]["count"] == 18
        assert masked["pool_sizes"]["image_to_text"].keys() == {"2", "6"}

    def test_cannot_be_judged_where_nobody_has_read_the_posters_and_nothing_can(self, reader, catalogue, monkeypatch):
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        ocr._engine.cache_clear()
        with pytest.raises(SystemExit, match=r"18 posters of .* are not read.*pip install"):
            judge(reader, catalogue)


def test_a_split_that_is_not_there_is_named(model, catalogue):
    with pytest.raises(SystemExit, match="holdout"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "holdout"])


def test_a_split_of_one_movie_cannot_be_judged(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows[-1]["split"] = "lone"
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit, match=r"lone.*at least 2"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "lone"])


def test_the_seeds_protocol_is_about_train_validation_and_test_whatever_is_evaluated(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    for row in rows[-3:]:
        row["split"] = "extra"
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    results = judge(model, catalogue, "--split", "extra", "--legacy_protocol", "True")
    assert results["metrics"]["pool"]["image_to_text"] == 3
    assert {name: group["count"] for name, group in results["legacy_protocol"].items()} == {
        "all": 15,
        "trained": 8,
        "others": 7,
    }


def test_what_was_trained_on_is_read_from_the_models_record(model, catalogue):
    record = {"train_splits": ["train", "validation"], "catalogue": {"rows": {"train": 8, "validation": 4}}}
    (Path(model) / "training.json").write_text(json.dumps(record))
    results = judge(model, catalogue, "--legacy_protocol", "True")
    assert results["legacy_protocol"]["trained"]["count"] == 12


def test_whether_a_model_was_trained_on_the_movies_is_told_by_what_they_are_and_not_by_names(model, catalogue):
    train = fingerprint(load_catalogue(str(catalogue)).movies(["train"]))
    record = {"train_splits": ["train"], "catalogue": {}, "data_fingerprint": {"train": train}}
    (Path(model) / "training.json").write_text(json.dumps(record))
    assert judge(model, catalogue)["seen"] is False
    (Path(model) / "training.json").write_text(json.dumps(record | {"model": {"model_name_or_path": "runs/first"}}))
    assert judge(model, catalogue)["seen"] is None  # the first training may have been on anything
    (Path(model) / "training.json").write_text(json.dumps(record))
    moved = catalogue.rename(catalogue.with_name("moved"))
    assert judge(model, moved, "--split", "train")["seen"] is True
    assert judge(model, moved, "--legacy_protocol", "True")["legacy_protocol"]["trained"]["count"] == 8

    rows = [json.loads(line) for line in (moved / "metadata.jsonl").read_text().splitlines()]
    rows[0]["split"], rows[-1]["split"] = rows[-1]["split"], rows[0]["split"]
    (moved / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert judge(model, moved)["seen"] is None
    with pytest.raises(
        SystemExit, match=r"legacy_protocol: train of .*moved is not, or not all of, what the training of"
    ):
        evaluate.main([model, "--catalogue", str(moved), "--legacy_protocol", "True"])


def test_movies_that_training_took_for_validation_are_not_trained_ones(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        row["split"] = "train" if row["split"] == "validation" else row["split"]
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    taken = load_catalogue(str(catalogue)).with_validation().report()["rows"]
    record = {"train_splits": ["train"], "catalogue": {"rows": taken}}
    (Path(model) / "training.json").write_text(json.dumps(record))
    groups = judge(model, catalogue, "--legacy_protocol", "True")["legacy_protocol"]
    assert groups["trained"]["count"] == taken["train"] < 12
    assert groups["all"]["count"] == 18


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--legacy_protocol", "True", "--trained_splits", "trian"], "trian"),
        (["--distances", "matrix.csv"], r"matrix\.csv cannot be written"),
        (["--remove_poster_text", "True"], "remove_poster_text: .*poster_text"),
        (["--pool_sizes", "2", "7"], r"pool_sizes must lie in 1\.\.6 .* got 7"),
        (["--output", __file__], r"test_evaluate\.py is no folder"),
    ],
)
def test_a_wrong_argument_stops_before_anything_is_encoded(flags, words, model, catalogue, monkeypatch):
    monkeypatch.setattr(FeatureEncoder, "embeddings", lambda *_: pytest.fail("encoded"))
    with pytest.raises(SystemExit, match=words):
        evaluate.main([model, "--catalogue", str(catalogue), *flags])


def test_another_kind_of_model_is_named(catalogue, tmp_path):
    tiny_model().text_model.save_pretrained(tmp_path / "bert")
    with pytest.raises(SystemExit, match=r"bert is no PosterCLIP model.*'bert'"):
        evaluate.main([str(tmp_path / "bert"), "--catalogue", str(catalogue)])


def test_results_of_a_hub_model_do_not_make_a_folder_of_its_name():
    assert evaluate.default_output("someone/posterclip", "test") == Path("report-test")


def test_a_page_without_its_extra_is_refused_before_anything_is_evaluated(model, catalogue, monkeypatch):
    monkeypatch.setattr(command_line, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"matplotlib, .* pip install '\.\[report\]'"):
        evaluate.main([model, "--catalogue", str(catalogue)])
    evaluate.main([model, "--catalogue", str(catalogue), "--page", "False"])
