"""`scripts/evaluate.py A B`: two models, or a model and what is left of it, side by side."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from scripts import evaluate
from tests.tiny import tiny_model, tiny_processor


@pytest.fixture
def other(tmp_path) -> str:
    folder = tmp_path / "other"
    tiny_model(projection_dim=8).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return str(folder)


def compare(one: str, other: str, catalogue: Path, folder: Path, *flags: str) -> dict:
    evaluate.main([one, other, "--catalogue", str(catalogue), "--output", str(folder), "--page", "False", *flags])
    return json.loads((folder / "results.json").read_text())


def test_two_models_are_evaluated_on_the_same_movies(model, other, catalogue, tmp_path, capsys):
    found = compare(model, other, catalogue, tmp_path / "both")
    assert found["models"] == [f"{model} (one plot)", f"{other} (one plot)"]
    for direction, differences in found["differences"].items():
        for metric, of in differences.items():
            one, two = (results["metrics"][direction][metric] for results in found["results"])
            low, high = of["interval"]
            assert of["difference"] == pytest.approx(two - one) and low <= of["difference"] <= high
    assert {"R@1", "nDCG@10", "median_rank"} <= found["differences"]["image_to_text"].keys()
    for name, results in zip("AB", found["results"], strict=True):
        alone = json.loads((tmp_path / "both" / name / "results.json").read_text())
        assert alone["metrics"] == results["metrics"]
    assert not [*Path(model).glob("report-*"), *Path(other).glob("report-*")]
    assert (tmp_path / "both" / "tables.md").read_text() in capsys.readouterr().out


def test_a_report_of_before_stands_in_for_a_model(model, other, catalogue, tmp_path):
    fresh = compare(model, other, catalogue, tmp_path / "fresh")
    stored = compare(str(tmp_path / "fresh/A"), str(tmp_path / "fresh/B"), catalogue, tmp_path / "stored")
    assert stored["differences"] == fresh["differences"]


def test_a_model_is_compared_with_what_is_left_of_it(model, catalogue, tmp_path):
    masked = tmp_path / "masked"
    flags = ["--mask_titles", "True", "--output", str(masked), "--page", "False"]
    evaluate.main([model, "--catalogue", str(catalogue), *flags])
    found = compare(model, str(masked), catalogue, tmp_path / "both")
    assert found["models"] == [f"{model} (one plot)", f"{model} (one plot, titles masked in the plots)"]


def test_a_model_differs_from_itself_in_nothing(model, catalogue, tmp_path):
    found = compare(model, model, catalogue, tmp_path / "both")
    assert found["models"] == [f"A: {model} (one plot)", f"B: {model} (one plot)"]
    for differences in found["differences"].values():
        assert all(of == {"difference": 0, "interval": [0, 0]} for of in differences.values())


@pytest.mark.slow
def test_the_page_of_a_comparison_holds_its_pictures(model, other, catalogue, tmp_path):
    both = tmp_path / "both"
    evaluate.main([model, other, "--catalogue", str(catalogue), "--output", str(both)])
    pictures = list(both.glob("*.png"))
    assert pictures and (both / "index.html").read_text().count("data:image/") == len(pictures)


def test_a_report_of_other_movies_is_not_compared(model, other, catalogue, tmp_path):
    evaluate.main([model, "--catalogue", str(catalogue), "--page", "False"])
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows[-1]["plot_short"] = "another plot"
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit, match=r"report-test is an evaluation of other movies than test of"):
        compare(other, f"{model}/report-test", catalogue, tmp_path / "both")
    assert not (tmp_path / "both").exists() and not (Path(other) / "report-test").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["model", "model", "model"], "3 are named"),
        (["report"], "report of an evaluation already"),
        (["model", "damaged"], r"results\.json holds no results"),
        (["model", "hollow"], r"results\.json holds no evaluation of a model: it lacks model, split"),
        (["model", "junk"], r"ranks\.parquet holds no ranks"),
        (["model", "mixed"], r"ranks\.parquet is of another evaluation"),
        (["model", "nothing"], "nothing is not a PosterCLIP model"),
        (["model", "no/such/folder"], "There is no folder no/such/folder"),
    ],
)
def test_what_cannot_be_compared_is_named(names, words, model, catalogue, tmp_path):
    places = {"model": model, "report": f"{model}/report-test"}
    evaluate.main([model, "--catalogue", str(catalogue), "--page", "False"])
    for name, content in (("damaged", "{"), ("hollow", '{"versions": {}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(content)
        places[name] = str(tmp_path / name)
    for name in ("junk", "mixed"):
        places[name] = shutil.copytree(f"{model}/report-test", tmp_path / name)
    (tmp_path / "junk" / "ranks.parquet").write_bytes(b"junk")
    ranks = pq.read_table(tmp_path / "mixed" / "ranks.parquet")
    last = ranks.set_column(2, "ranks", [[[6]] * len(ranks)])
    pq.write_table(last, tmp_path / "mixed" / "ranks.parquet")
    with pytest.raises(SystemExit, match=words):
        evaluate.main(
            [*(str(places.get(name, name)) for name in names), "--catalogue", str(catalogue), "--page", "False"]
        )
