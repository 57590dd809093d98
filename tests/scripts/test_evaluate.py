import dataclasses
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from datasets import DatasetDict, List, Value
from PIL import Image, ImageDraw, ImageFont

from modeling import PosterCLIPModel
from processing import poster_text
from processing.catalogue import load_catalogue
from processing.lettering import blank_lettering
from scripts import evaluate, match
from tests.tiny import tiny_model, tiny_processor

LETTERS = "abcdefghijklmnopqr"


@pytest.fixture
def model(tmp_path) -> str:
    folder = tmp_path / "model"
    tiny_model(projection_dim=4).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return str(folder)


def test_results_are_printed_and_written(model, catalogue, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    evaluate.main([model, "--catalogue", str(catalogue), "--seed_protocol", "True", "--contact_sheet", str(sheet)])
    results = json.loads((tmp_path / "model" / "results-test.json").read_text())
    assert results["metrics"]["pool"] == {"image_to_text": 6, "text_to_image": 6}
    assert results["metrics"]["chance"]["image_to_text"]["R@1"] == pytest.approx(1 / 6)
    assert {group: row["count"] for group, row in results["seed_protocol"].items()} == {
        "all": 18,
        "trained": 8,
        "others": 10,
    }
    printed = capsys.readouterr().out
    for word in ("image-to-text", "text-to-image", "chance", "R@10", "median rank", "trained"):
        assert word in printed
    assert Image.open(sheet).width > 1000


def test_the_ranks_are_those_of_the_models_own_logits(model, catalogue):
    """One forward over the whole pool, ranked by hand, gives what the script writes."""
    evaluate.main([model, "--catalogue", str(catalogue), "--batch_size", "4", "--output", f"{model}/out.json"])
    movies = load_catalogue(str(catalogue)).splits["test"]
    clip, texts = PosterCLIPModel.from_pretrained(model).eval(), [plots[0] for plots in movies["plots"]]
    with torch.no_grad():
        logits = clip(
            **tiny_processor()(images=list(movies["image"]), text=texts, return_tensors="pt")
        ).logits_per_image
    ranks = 1 + (logits > logits.diagonal()[:, None]).sum(1)
    metrics = json.loads(open(f"{model}/out.json").read())["metrics"]["image_to_text"]
    assert metrics["mean_rank"] == pytest.approx(ranks.double().mean().item())
    assert metrics["R@1"] == pytest.approx((ranks == 1).double().mean().item())


def test_intervals_and_smaller_pools_are_reported(model, catalogue, capsys):
    evaluate.main([model, "--catalogue", str(catalogue), "--pool_sizes", "2", "4"])
    results = json.loads((Path(model) / "results-test.json").read_text())
    for direction in ("image_to_text", "text_to_image"):
        metrics = results["metrics"][direction]
        for name, (low, high) in results["metrics"]["intervals"][direction].items():
            assert low <= metrics[name] <= high
        sizes = results["pool_sizes"][direction]
        assert list(sizes) == ["2", "4", "6"]
        assert sizes["6"]["R@1"] == pytest.approx(metrics["R@1"]) and sizes["2"]["chance"]["R@1"] == 0.5
    printed = capsys.readouterr().out
    assert printed.count("95% interval") == 2 and "text-to-image (4)" in printed


def test_what_is_reached_by_knowing_that_a_pool_is_one_to_one_stands_apart(model, catalogue, capsys):
    evaluate.main([model, "--catalogue", str(catalogue)])
    without = json.loads((Path(model) / "results-test.json").read_text())
    assert "assignment" not in capsys.readouterr().out
    evaluate.main([model, "--catalogue", str(catalogue), "--one_to_one", "True"])
    results = json.loads((Path(model) / "results-test.json").read_text())
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
    evaluate.main([model, "--catalogue", str(catalogue)])
    plain = json.loads((Path(model) / "results-test.json").read_text())
    evaluate.main([model, "--catalogue", str(catalogue), "--mask_titles", "True"])
    masked = json.loads((Path(model) / "results-test.json").read_text())
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
        evaluate.main([model, "--catalogue", str(catalogue), *cache, "--blank_lettering", str(blank)])
        found[blank] = json.loads((Path(model) / "results-test.json").read_text())
        assert found[blank]["blank_lettering"] == blank
    assert found[True]["metrics"] != found[False]["metrics"]
    assert found[True]["data_fingerprint"] == found[False]["data_fingerprint"]


@pytest.fixture
def reader(tmp_path) -> str:
    """A model that reads posters, its bag fitted; how words are spelled is most of what it goes by."""
    folder, processor = tmp_path / "reader", tiny_processor()
    processor.reads_posters = True
    model = tiny_model(poster_text=True, lexical_dim=1024)
    model.lexical.fit(processor.tokenizer, [letter * 3 for letter in LETTERS])
    model.lexical_weight.data.fill_(5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


class TestAModelThatReadsPosters:
    def run(self, reader: str, catalogue: Path, *flags: str) -> dict:
        evaluate.main([reader, "--catalogue", str(catalogue), *flags])
        return json.loads((Path(reader) / "results-test.json").read_text())

    def test_is_judged_by_what_the_catalogue_says_is_printed(self, reader, printed):
        results = self.run(reader, printed)
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
        blank = self.run(reader, printed, "--blank_lettering", "True")
        for row in (rows := [json.loads(line) for line in (printed / "metadata.jsonl").read_text().splitlines()]):
            poster = Image.open(printed / row["file_name"])
            blank_lettering(poster, row["poster_text"]).save(printed / row["file_name"])
            row["poster_text"] = []
        (printed / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
        alone = self.run(reader, printed)
        assert blank["metrics"] == alone["metrics"] and blank["blank_lettering"] and not alone["blank_lettering"]

    def test_is_judged_in_every_other_way_as_well(self, reader, printed, tmp_path, capsys):
        plain = self.run(reader, printed)
        cached = [
            self.run(reader, printed, "--feature_cache", str(tmp_path / "cache"), "--one_to_one", "True")
            for _ in range(2)
        ]
        assert plain["metrics"] == cached[0]["metrics"] == cached[1]["metrics"]
        assert cached[0]["one_to_one"]["assignment"]["right_pairs"] >= 4 / 6
        masked = self.run(reader, printed, "--mask_titles", "True", "--seed_protocol", "True", "--pool_sizes", "2")
        assert masked["mask_titles"] and masked["seed_protocol"]["all"]["count"] == 18
        assert masked["pool_sizes"]["image_to_text"].keys() == {"2", "6"}

    def test_cannot_be_judged_where_nobody_has_read_the_posters_and_nothing_can(self, reader, catalogue, monkeypatch):
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        poster_text._engine.cache_clear()
        with pytest.raises(SystemExit, match=r"18 posters of .* are not read.*pip install"):
            self.run(reader, catalogue)

    @pytest.mark.slow
    @pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
    def test_matches_what_it_reads_on_a_poster_itself(self, reader, tmp_path, capsys):
        poster = Image.new("RGB", (320, 480), "navy")
        ImageDraw.Draw(poster).text((160, 100), "moby", "white", ImageFont.load_default(size=60), anchor="mm")
        poster.save(tmp_path / "poster.png")
        match.main([reader, str(tmp_path / "poster.png"), "kkkk", "moby", "llll"])
        assert capsys.readouterr().out.splitlines()[0].endswith("moby")


def test_the_worst_found_posters_are_drawn(model, catalogue, tmp_path, capsys):
    worst, sheet = tmp_path / "worst.png", tmp_path / "sheet.png"
    evaluate.main([model, "--catalogue", str(catalogue), "--confusions", str(worst), "--contact_sheet", str(sheet)])
    assert Image.open(worst).size == Image.open(sheet).size  # the same posters, in another order
    assert worst.read_bytes() != sheet.read_bytes()
    assert f"The sheet of confusions is in {worst}" in capsys.readouterr().out


def test_a_split_that_is_not_there_is_named(model, catalogue):
    with pytest.raises(SystemExit, match="holdout"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "holdout"])


def test_a_split_of_one_movie_cannot_be_judged(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows[-1]["split"] = "lone"
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit, match=r"lone.*at least 2"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "lone"])


def test_match_puts_the_likelier_plot_first(model, catalogue, capsys):
    plots = ["aaa", "bbbbbb", "cc"]
    match.main([model, str(catalogue / "0.png"), *plots])
    lines = capsys.readouterr().out.splitlines()
    shares = [float(line.split("%")[0]) for line in lines]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.1)
    assert sorted(line.split("  ")[-1] for line in lines) == sorted(plots)


def test_the_seeds_protocol_is_about_train_validation_and_test_whatever_is_evaluated(model, catalogue, tmp_path):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    for row in rows[-3:]:
        row["split"] = "extra"
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out.json"
    evaluate.main(
        [model, "--catalogue", str(catalogue), "--split", "extra", "--seed_protocol", "True", "--output", str(out)]
    )
    results = json.loads(out.read_text())
    assert results["metrics"]["pool"]["image_to_text"] == 3
    assert {name: group["count"] for name, group in results["seed_protocol"].items()} == {
        "all": 15,
        "trained": 8,
        "others": 7,
    }


def test_what_was_trained_on_is_read_from_the_models_record(model, catalogue):
    record = {"train_splits": ["train", "validation"], "catalogue": {"rows": {"train": 8, "validation": 4}}}
    (Path(model) / "training.json").write_text(json.dumps(record))
    evaluate.main([model, "--catalogue", str(catalogue), "--seed_protocol", "True"])
    assert json.loads((Path(model) / "results-test.json").read_text())["seed_protocol"]["trained"]["count"] == 12


def test_movies_that_training_took_for_validation_are_not_trained_ones(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        row["split"] = "train" if row["split"] == "validation" else row["split"]
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    taken = load_catalogue(str(catalogue)).with_validation().report()["rows"]
    record = {"train_splits": ["train"], "catalogue": {"rows": taken}}
    (Path(model) / "training.json").write_text(json.dumps(record))
    evaluate.main([model, "--catalogue", str(catalogue), "--seed_protocol", "True"])
    groups = json.loads((Path(model) / "results-test.json").read_text())["seed_protocol"]
    assert groups["trained"]["count"] == taken["train"] < 12
    assert groups["all"]["count"] == 18


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seed_protocol", "True", "--trained_splits", "trian"], "trian"),
        (["--contact_sheet", "sheet"], "sheet cannot be written"),
        (["--confusions", "worst.jpg"], r"worst\.jpg cannot be written"),
        (["--blank_lettering", "True"], "blank_lettering: .*poster_text"),
        (["--pool_sizes", "2", "7"], r"pool_sizes must lie in 1\.\.6 .* got 7"),
        (["--output", "."], r"\. cannot be written"),
    ],
)
def test_a_wrong_argument_stops_before_anything_is_encoded(flags, words, model, catalogue, monkeypatch):
    monkeypatch.setattr(evaluate, "embeddings", lambda *_: pytest.fail("encoded"))
    with pytest.raises(SystemExit, match=words):
        evaluate.main([model, "--catalogue", str(catalogue), *flags])


def test_another_kind_of_model_is_named(catalogue, tmp_path):
    tiny_model().text_model.save_pretrained(tmp_path / "bert")
    with pytest.raises(SystemExit, match=r"bert is no PosterCLIP model.*'bert'"):
        evaluate.main([str(tmp_path / "bert"), "--catalogue", str(catalogue)])


def test_results_of_a_hub_model_do_not_make_a_folder_of_its_name():
    assert evaluate.default_output("someone/posterclip", "test") == Path("results-test.json")


@pytest.mark.parametrize(
    ("content", "words"), [(None, "nope.jpg"), (b"<html>", "nope.jpg"), (b"\xff\xd8\xff", "nope.jpg")]
)
def test_match_names_a_poster_that_cannot_be_read(content, words, model, tmp_path):
    if content is not None:
        (tmp_path / "nope.jpg").write_bytes(content)
    with pytest.raises(SystemExit, match=words):
        match.main([model, str(tmp_path / "nope.jpg"), "a plot"])
