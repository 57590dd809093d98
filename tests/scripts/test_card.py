import json
from pathlib import Path

import pytest

from scripts import card, evaluate


@pytest.fixture
def report(model, catalogue) -> Path:
    evaluate.main([model, "--catalogue", str(catalogue), "--page", "False"])
    return Path(model) / "report-test"


def test_the_card_lies_beside_the_weights(report, capsys):
    card.main([str(report), "--name", "someone/posterclip"])
    written = report.parent / "README.md"
    results = json.loads((report / "results.json").read_text())
    assert f"{results['metrics']['image_to_text']['R@1']:.2%}" in written.read_text()
    assert 'from_pretrained("someone/posterclip"' in written.read_text()
    assert not (report.parent / ".eval_results").exists()
    assert f"The card is in {written}" in capsys.readouterr().out


def test_a_dataset_of_the_hub_gets_the_results_too(report, tmp_path):
    card.main([str(report / "results.json"), "--dataset", "someone/movies", "--output", str(tmp_path / "card.md")])
    entries = (tmp_path / ".eval_results" / "posterclip.yaml").read_text()
    assert "id: someone/movies" in entries and "image_to_text_hit_rate_at_1" in entries
    assert (tmp_path / "card.md").is_file()


def test_what_holds_no_results_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"results\.json holds no results"):
        card.main([str(tmp_path)])
    (tmp_path / "results.json").write_text('{"versions": {}, "leaks": 0}')
    with pytest.raises(SystemExit, match=r"results\.json holds no evaluation of a model"):
        card.main([str(tmp_path)])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset", "/home/ann/movies"], "dataset: /home/ann/movies is no name on the Hub"),
        (["--name", 'a"b/c'], "name: .* is neither a name on the Hub"),
        (["--beside", "nowhere"], "nowhere holds no results"),
    ],
)
def test_a_wrong_argument_is_named_and_no_card_is_written(flags, words, report):
    with pytest.raises(SystemExit, match=words):
        card.main([str(report), *flags])
    assert not (report.parent / "README.md").exists()


def test_a_model_that_is_no_folder_needs_a_place_for_its_card(report, tmp_path):
    results = json.loads((report / "results.json").read_text()) | {"model": "someone/posterclip"}
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(SystemExit, match="someone/posterclip is no folder: give the card"):
        card.main([str(tmp_path)])
