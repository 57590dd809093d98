import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, List, Value
from PIL import Image

from modeling import PosterCLIPModel
from processing.catalogue.catalogue import load_catalogue
from processing.catalogue.fingerprints import fingerprint, movie_keys
from processing.data.text_removal import remove_poster_text
from processing.posterclip import ocr
from scripts import evaluate
from scripts.common import command_line
from scripts.common.evaluator import Evaluation, Evaluator, PoolArguments
from scripts.common.features import FeatureEncoder
from tests.tiny import tiny_model, tiny_processor

LETTERS = "abcdefghijklmnopqr"


def results_of(model: str, catalogue: Path, *flags: str) -> dict:
    """The results of an evaluation, without its page, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        evaluate.main([model, "--catalogue", str(catalogue), "--page", "False", "--output", folder, *flags])
        return json.loads((Path(folder) / "results.json").read_text())


def change_rows(catalogue: Path, change) -> list[dict]:
    """Writes the rows of a catalogue anew, each changed by a function of it."""
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows = [row | change(row) for row in rows]
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return rows


def write_record(model: str, catalogue: Path, trained=(), chosen=(), complete=True) -> None:
    """Writes the record of a training on some splits of a catalogue, beside a model."""
    splits = load_catalogue(str(catalogue)).splits
    keys = [{key: of for name in names for key, of in movie_keys(splits[name]).items()} for names in (trained, chosen)]
    movies = {"trained_on": keys[0], "chosen_by": keys[1], "complete": complete}
    record = {"train_splits": list(trained), "catalogue": {"source": "movies"}, "movies": movies}
    (Path(model) / "training.json").write_text(json.dumps(record))


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
    evaluation, embeds = Evaluator(model, catalogue, options).evaluate()
    assert [len(side) for side in embeds] == [12, 12]
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
    assert page.count("data:image/") == len(charts) + cards and "6 plots" in page
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
    table = capsys.readouterr().out.split("given that every poster has one plot")[1]
    assert "image-to-text (6 plots)" in table and "assignment (6 pairs)" in table


def test_plots_without_their_titles_are_judged_where_that_is_asked_for(model, catalogue):
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
        found[blank] = results_of(model, catalogue, *cache, "--remove_poster_text", str(blank))
        assert found[blank]["remove_poster_text"] == blank
    assert found[True]["metrics"] != found[False]["metrics"]
    assert found[True]["data_fingerprint"] == found[False]["data_fingerprint"]


class TestAModelThatReadsPosters:
    def test_is_judged_by_what_the_catalogue_says_is_printed(self, reader, printed):
        results = results_of(reader, printed)
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
        blank = results_of(reader, printed, "--remove_poster_text", "True")
        for row in (rows := [json.loads(line) for line in (printed / "metadata.jsonl").read_text().splitlines()]):
            poster = Image.open(printed / row["file_name"])
            remove_poster_text(poster, row["poster_text"]).save(printed / row["file_name"])
            row["poster_text"] = []
        (printed / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
        alone = results_of(reader, printed)
        assert blank["metrics"] == alone["metrics"] and blank["remove_poster_text"] and not alone["remove_poster_text"]

    def test_is_judged_in_every_other_way_as_well(self, reader, printed, tmp_path, capsys):
        plain = results_of(reader, printed)
        cached = [
            results_of(reader, printed, "--feature_cache", str(tmp_path / "cache"), "--one_to_one", "True")
            for _ in range(2)
        ]
        assert plain["metrics"] == cached[0]["metrics"] == cached[1]["metrics"]
        assert cached[0]["one_to_one"]["assignment"]["right_pairs"] >= 4 / 6
        legacy = ["--legacy_protocol", "True", "--trained_splits", "train"]
        masked = results_of(reader, printed, "--mask_titles", "True", *legacy, "--pool_sizes", "2")
        assert masked["mask_titles"] and masked["legacy_protocol"]["all"]["count"] == 18
        assert masked["pool_sizes"]["image_to_text"].keys() == {"2", "6"}

    def test_cannot_be_judged_where_nobody_has_read_the_posters_and_nothing_can(self, reader, catalogue, monkeypatch):
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        ocr._engine.cache_clear()
        with pytest.raises(SystemExit, match=r"18 posters of .* are not read.*pip install"):
            results_of(reader, catalogue)


def test_a_split_that_is_not_there_is_named(model, catalogue):
    with pytest.raises(SystemExit, match="holdout"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "holdout"])


def test_a_split_of_one_movie_cannot_be_judged(model, catalogue):
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    rows[-1]["split"] = "lone"
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit, match=r"lone.*at least 2"):
        evaluate.main([model, "--catalogue", str(catalogue), "--split", "lone"])


class TestTheLegacyProtocol:
    def test_is_about_train_validation_and_test_whatever_is_evaluated(self, model, catalogue):
        change_rows(catalogue, lambda row: {"split": "extra"} if row["id"] > 14 else {})
        write_record(model, catalogue, trained=["train"])
        results = results_of(model, catalogue, "--split", "extra", "--legacy_protocol", "True")
        assert results["metrics"]["pool"]["image_to_text"] == 3
        counts = {name: group["count"] for name, group in results["legacy_protocol"].items()}
        assert counts == {"all": 15, "trained": 8, "others": 7}

    def test_takes_the_trained_splits_where_nothing_is_recorded(self, model, catalogue):
        with pytest.raises(SystemExit, match=r"legacy_protocol: the movies that .* was trained on are not recorded"):
            evaluate.main([model, "--catalogue", str(catalogue), "--legacy_protocol", "True"])
        given = ["--legacy_protocol", "True", "--trained_splits", "train", "validation"]
        assert results_of(model, catalogue, *given)["legacy_protocol"]["trained"]["count"] == 12


class TestMoviesTrainedOn:
    def test_are_refused_with_their_number_and_ids(self, model, catalogue):
        write_record(model, catalogue, trained=["train"], chosen=["validation"])
        for split, words in (
            (
                "train",
                r"was trained on 8 of the 8 movies of train of .*: 0, 1, 2, 3, 4, 5, 6, 7\..*--allow_trained_movies",
            ),
            ("validation", r"was chosen by 4 of the 4 movies of validation of .*: 8, 9, 10, 11\."),
        ):
            with pytest.raises(SystemExit, match=words):
                evaluate.main([model, "--catalogue", str(catalogue), "--split", split])

    def test_are_named_in_the_results_if_they_are_allowed(self, model, catalogue, capsys):
        write_record(model, catalogue, trained=["train"], chosen=["validation"])
        found = results_of(model, catalogue, "--split", "train", "--allow_trained_movies", "True")["trained_movies"]
        assert found == {"trained_on": list("01234567"), "chosen_by": [], "complete": True}
        assert "trained on 8 of the movies evaluated here (0, 1, 2, 3, 4, 5, 6, 7)" in capsys.readouterr().out

    def test_are_known_under_other_ids_and_in_other_splits(self, model, catalogue):
        write_record(model, catalogue, trained=["train"])
        change_rows(catalogue, lambda row: {"id": row["id"] + 100, "split": "train" if row["id"] > 7 else "test"})
        with pytest.raises(SystemExit, match=r"trained on 8 of the 8 movies of test of .*: 100, 101"):
            evaluate.main([model, "--catalogue", str(catalogue)])

    def test_are_none_where_another_catalogue_uses_the_same_ids(self, model, catalogue):
        write_record(model, catalogue, trained=["train"])
        other = shutil.copytree(catalogue, catalogue.with_name("other"))
        for path in other.glob("*.png"):
            Image.effect_noise((24, 32), 99).save(path)
        plots = {"plot_short": "another one", "plot_long": "another long one"}
        change_rows(
            other, lambda row: {"title": f"Film {row['id']}", **{k: f"{v} {row['id']}" for k, v in plots.items()}}
        )
        results = results_of(model, other, "--split", "train")
        assert results["trained_movies"] == {"trained_on": [], "chosen_by": [], "complete": True}

    def test_are_not_known_of_a_model_without_a_record_or_with_a_part_of_it(self, model, catalogue):
        assert results_of(model, catalogue)["trained_movies"] is None
        write_record(model, catalogue, trained=["train"], complete=False)
        found = results_of(model, catalogue)["trained_movies"]
        assert found == {"trained_on": [], "chosen_by": [], "complete": False}


class TestAReportThatIsThereAlready:
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
