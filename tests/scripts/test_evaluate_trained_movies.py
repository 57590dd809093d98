"""What an evaluation does with movies that the model was trained on or chosen by."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from processing.catalogue.catalogue import load_catalogue
from processing.catalogue.fingerprints import movie_keys
from scripts import evaluate
from tests.scripts.evaluations import change_rows, results_of


def write_record(model: str, catalogue: Path, trained=(), chosen=(), complete=True) -> None:
    """Writes the record of a training on some splits of a catalogue, beside a model."""
    splits = load_catalogue(str(catalogue)).splits
    keys = [{key: of for name in names for key, of in movie_keys(splits[name]).items()} for names in (trained, chosen)]
    movies = {"trained_on": keys[0], "chosen_by": keys[1], "complete": complete}
    record = {"train_splits": list(trained), "catalogue": {"source": "movies"}, "movies": movies}
    (Path(model) / "training.json").write_text(json.dumps(record))


class TestLegacyProtocol:
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
