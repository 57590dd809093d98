import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from modeling import PosterCLIPModel
from processing.catalogue.catalogue import load_catalogue
from processing.catalogue.fingerprints import fingerprint
from scripts import evaluate
from scripts.common import command_line
from scripts.common.evaluation.evaluation import Evaluation
from scripts.common.evaluation.evaluator import Evaluator
from scripts.common.evaluation.pool_arguments import PoolArguments
from scripts.common.features import FeatureEncoder
from tests.scripts.evaluations import change_rows, results_of
from tests.tiny import tiny_model, tiny_processor

LETTERS = "abcdefghijklmnopqr"


def test_results_are_printed_and_written(model, catalogue, capsys):
    evaluate.main([model, "--catalogue", str(catalogue), "--page", "False"])
    results = json.loads((Path(model) / "report-test" / "results.json").read_text())
    assert results["metrics"]["pool"] == {"image_to_text": 6, "text_to_image": 6}
    assert results["metrics"]["chance"]["image_to_text"]["R@1"] == pytest.approx(1 / 6)
    printed = capsys.readouterr().out
    for word in ("image-to-text", "text-to-image", "chance", "R@10", "median rank", "is not recorded"):
        assert word in printed
    tables = (Path(model) / "report-test" / "tables.md").read_text()
    assert tables in printed


def test_a_second_evaluation_opens_no_poster_again(model, catalogue, tmp_path, monkeypatch):
    for poster in catalogue.glob("*.png"):
        os.utime(poster, (0, 0))
    cache = ("--feature_cache", str(tmp_path / "features"))
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *given, **options: opened.append(given) or original(*given, **options))
    first = results_of(model, catalogue, *cache)
    assert len(opened) == 12  # six movies of test, each checked once and encoded once
    assert results_of(model, catalogue, *cache)["metrics"] == first["metrics"]
    assert len(opened) == 12


def test_posters_of_other_splits_are_not_read(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    (catalogue / rows[0]["file_name"]).write_bytes(b"<html>")
    assert rows[0]["split"] == "train" and results_of(model, catalogue)["metrics"]["pool"]["image_to_text"] == 6
    with pytest.raises(SystemExit, match="starts with <html>"):
        results_of(model, catalogue, "--legacy_protocol", "True")


def test_a_movie_with_two_posters_has_its_plot_in_the_pool_once(model, catalogue, tmp_path):
    single = results_of(model, catalogue)
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    for row in rows[12:]:  # the six movies of test
        shutil.copy(catalogue / row["file_name"], catalogue / f"again-{row['file_name']}")
        rows.append(row | {"file_name": f"again-{row['file_name']}"})
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = results_of(model, catalogue)
    assert found["metrics"]["pool"] == {"image_to_text": 6, "text_to_image": 12}
    assert found["metrics"]["image_to_text"] == pytest.approx(single["metrics"]["image_to_text"])
    # Each wrong movie has two posters as well, which both score as the one did.
    before, after = (of["metrics"]["text_to_image"] for of in (single, found))
    assert after["R@1"] == before["R@1"] and after["mean_rank"] == pytest.approx(2 * before["mean_rank"] - 1)
    assert list(found["pool_sizes"]["image_to_text"]) == ["6"] and "12" in found["pool_sizes"]["text_to_image"]
    counts = {way: sum(of["count"] for of in groups.values()) for way, groups in found["groups"]["genre"].items()}
    assert counts == {"image_to_text": 12, "text_to_image": 6}
    with pytest.raises(SystemExit, match="not one to one: 2 posters have the id 12"):
        results_of(model, catalogue, "--one_to_one", "True")


def test_an_evaluation_of_movies_with_two_posters_is_read_again(model, catalogue, tmp_path):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows += [row | {"file_name": f"{number}.png"} for number, row in enumerate(rows[12:])]  # other movies' posters
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    catalogue = load_catalogue(str(catalogue))
    options = PoolArguments(allow_trained_movies=True, feature_cache="none")
    evaluation, shown = Evaluator(model, catalogue, options).evaluate()
    assert [len(side) for side in shown.embeds] == [12, 12]
    evaluation.save(tmp_path / "saved")
    again = Evaluation.load(tmp_path / "saved", catalogue)
    assert again.pool.rows() == evaluation.pool.rows() and again.results == evaluation.results


def test_results_say_what_was_measured_on_what_with_what(model, catalogue):
    results = results_of(model, catalogue)
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
    charts = ["by-decade", "by-genre", "distances", "map", "pool-sizes", "ranks"]
    pictures = sorted(folder.glob("*.png"))
    assert [picture.stem for picture in pictures] == sorted([*charts, "examples"])
    assert all(Image.open(picture).width > 500 for picture in pictures)
    page = (folder / "index.html").read_text()
    cards = 3 * 6  # of six posters, spread, best and worst found
    assert page.count("data:image/") == len(charts) + cards and "6 movies" in page
    assert f"The report is in {folder / 'index.html'}" in capsys.readouterr().out
    assert not (Path(model) / "report-test").exists()


@pytest.mark.parametrize("name", ["distances.npy", "distances.parquet"])
def test_the_matrix_of_distances_is_written_where_it_is_asked_for(name, model, catalogue, tmp_path):
    results = results_of(model, catalogue, "--distances", str(tmp_path / name))
    if name.endswith(".npy"):
        matrix = np.load(tmp_path / name)
    else:
        matrix = np.array(Dataset.from_parquet(str(tmp_path / name), cache_dir=str(tmp_path))["distances"][:])
    ranks = 1 + (matrix < matrix.diagonal()[:, None]).sum(1)
    assert results["metrics"]["image_to_text"]["mean_rank"] == pytest.approx(ranks.mean())


def test_the_ranks_are_those_of_the_models_own_logits(model, catalogue):
    """One forward over the whole pool, ranked by hand, gives what the script writes."""
    results = results_of(model, catalogue, "--batch_size", "4")
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
    results = results_of(model, catalogue, "--pool_sizes", "2", "4")
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
    without = results_of(model, catalogue)
    assert "assignment" not in capsys.readouterr().out
    results = results_of(model, catalogue, "--one_to_one", "True")
    assert results["metrics"] == without["metrics"] and "one_to_one" not in without
    assert results["one_to_one"]["assignment"]["chance"] == pytest.approx(1 / 6)
    assert results["one_to_one"]["dual_softmax"]["pool"] == {"image_to_text": 6, "text_to_image": 6}
    table = capsys.readouterr().out.split("given that every poster has one movie")[1]
    assert "image-to-text (6 movies)" in table and "assignment (6 pairs)" in table


def test_plots_without_their_titles_are_evaluated_where_that_is_asked_for(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows = [
        {**row, "title": 5 * letter, "plot_short": f"a {5 * letter}"} for row, letter in zip(rows, LETTERS, strict=True)
    ]
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plain = results_of(model, catalogue)
    masked = results_of(model, catalogue, "--mask_titles", "True")
    assert [plain["mask_titles"], masked["mask_titles"]] == [False, True]
    assert plain["metrics"]["image_to_text"]["mean_rank"] < 6
    assert masked["metrics"]["image_to_text"]["mean_rank"] == 6  # all plots are "a ..."
    assert plain["data_fingerprint"] == masked["data_fingerprint"]


def test_a_split_that_is_not_there_is_named(model, catalogue):
    with pytest.raises(SystemExit, match="holdout"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "holdout"])


def test_a_split_of_one_movie_cannot_be_evaluated(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows[-1]["split"] = "lone"
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit, match=r"lone.*at least 2"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "lone"])


class TestAReportThatIsThereAlready:
    @pytest.mark.slow
    def test_is_replaced_by_one_of_the_same_movies_and_options_alone(self, model, catalogue):
        again = [model, "--catalogue", str(catalogue), "--page", "False"]
        evaluate.main(again)
        before = (Path(model) / "report-test" / "results.json").read_text()
        evaluate.main([*again, "--pool_sizes", "2"])
        after = (Path(model) / "report-test" / "results.json").read_text()
        assert before != after
        for flags, words in (
            (["--mask_titles", "True"], "mask_titles"),
            (["--output", f"{model}/report-test", "--split", "validation"], "split"),
        ):
            with pytest.raises(
                SystemExit, match=rf"results\.json is another evaluation \(its {words}.* not overwritten"
            ):
                evaluate.main([*again, *flags])
        change_rows(catalogue, lambda row: {"plot_short": f"new {row['id']}"})
        with pytest.raises(SystemExit, match="its data_fingerprint differ"):
            evaluate.main(again)
        assert (Path(model) / "report-test" / "results.json").read_text() == after

    @pytest.mark.slow
    def test_of_a_comparison_is_not_replaced_by_one_of_other_models(self, model, catalogue, tmp_path):
        both = ["--catalogue", str(catalogue), "--page", "False", "--output", str(tmp_path / "both")]
        evaluate.main([model, model, *both])
        evaluate.main([model, model, *both])
        with pytest.raises(SystemExit, match="is another evaluation"):
            evaluate.main([model, *both])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--legacy_protocol", "True", "--trained_splits", "trian"], "trian"),
        (["--trained_splits", "train"], "trained_splits: only the legacy protocol"),
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
    with pytest.raises(SystemExit, match=r"bert is not a PosterCLIP model.*'bert'"):
        evaluate.main([str(tmp_path / "bert"), "--catalogue", str(catalogue)])


def test_results_of_a_hub_model_do_not_make_a_folder_of_its_name():
    assert evaluate.default_output(["someone/posterclip"], "test") == Path("report-test")


def test_a_page_without_its_extra_is_refused_before_anything_is_evaluated(model, catalogue, monkeypatch):
    monkeypatch.setattr(command_line, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"matplotlib, .* pip install '\.\[report\]'"):
        evaluate.main([model, "--catalogue", str(catalogue)])
    evaluate.main([model, "--catalogue", str(catalogue), "--page", "False"])
