import json

import pytest
import yaml

from scripts.experiments import tune


@pytest.fixture
def settings(printed, encoders, tmp_path, monkeypatch) -> list[str]:
    """Flags of a search among tiny models on eighteen movies."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    names, values = encoders[::2], encoders[1::2]
    base = {name.removeprefix("--"): value for name, value in zip(names, values, strict=True)}
    base |= {"num_train_epochs": 2, "char_ngram_dim": 16, "save_strategy": "no", "load_best_model_at_end": False}
    (tmp_path / "trials.yaml").write_text(
        yaml.safe_dump({"base": base, "trials": [{}, {"image_weight_init_value": 0}]})
    )
    folders = ["--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "trials.json")]
    return ["--catalogue", str(printed), "--trials", str(tmp_path / "trials.yaml"), *folders]


@pytest.mark.slow
def test_each_trial_is_trained_once_and_recorded_with_its_validation_metrics(settings, tmp_path, capsys):
    tune.main(settings)
    first = json.loads((tmp_path / "trials.json").read_text())
    assert [trial["settings"].get("image_weight_init_value") for trial in first["trials"]] == [None, 0]
    for trial in first["trials"]:
        assert 0 <= trial["metrics"]["R@10"] <= 1 and trial["epoch"] in (1, 2) and trial["seconds"] > 0
    assert "image_weight_init_value 0" in capsys.readouterr().out

    search = yaml.safe_load((tmp_path / "trials.yaml").read_text())
    search["trials"] = [search["trials"][1], {"poster_text_dropout": 0.5}]
    (tmp_path / "trials.yaml").write_text(yaml.safe_dump(search))
    tune.main(settings)
    second = json.loads((tmp_path / "trials.json").read_text())["trials"]
    assert second[0] == first["trials"][1] and second[1]["settings"]["poster_text_dropout"] == 0.5


@pytest.mark.parametrize("text", ["learning_rate: 1", "- 1", "[", "", "{base: {}, trials: [1]}"])
def test_a_file_that_holds_no_trials_is_named(text, settings, tmp_path):
    (tmp_path / "trials.yaml").write_text(text)
    with pytest.raises(SystemExit, match=r"trials\.yaml"):
        tune.main(settings)
