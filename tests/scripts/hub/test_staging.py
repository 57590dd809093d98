"""What is pushed to the Hub, and what is refused."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from scripts.hub.checks import check_loads
from scripts.hub.staging import stage_dataset, stage_metric, stage_model

CARD = "---\nlicense: apache-2.0\n---\n# A model\n"
PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_requirements_are_those_of_the_project(staged):
    lines = [line.removeprefix("# ") for line in (staged.folder / "requirements.txt").read_text().splitlines()]
    declared = PYPROJECT.read_text()
    assert {line.split(">")[0] for line in lines} >= {"torch", "transformers", "pillow", "rapidocr", "onnxruntime"}
    assert all(f'"{line}"' in declared for line in lines if ">=" in line)


TOKEN = "hf_" + "a" * 34


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("README.md", f"{CARD}token={TOKEN}\n", "README.md line 5 holds what looks like a secret"),
        ("training.json", json.dumps({"arguments": {"hub_token": TOKEN}}), "training.json line 1 holds what looks"),
        ("README.md", f"{CARD}Trained on /home/ann/movies.\n", "README.md line 5 holds a path of this machine"),
        ("losses.py", "import numpy\nimport pandas\n", "losses.py imports pandas, which is neither in the folder nor"),
        ("encoders.py", "def f():\n    from modeling import x\n", "encoders.py imports modeling"),
        ("encoders.py", "from .forgotten import x\n", "encoders.py imports .forgotten, which is not in the folder"),
        ("results.json", "{", "results.json is not JSON"),
        *(
            ("config.json", text, "no code in its config.json")
            for text in ('{"model_type": "x"}', "[]", '{"auto_map": 0}')
        ),
        ("README.md", f"{CARD}catalogue=/root/movies/x\n", "README.md line 5 holds a path of this machine"),
        ("README.md", f"{CARD}C:/Users/ann/movies\n", "README.md line 5 holds a path of this machine"),
        ("README.md", f"{CARD}https://ann:pass@hub.org/x\n", "README.md line 5 holds what looks like a secret"),
    ],
)
def test_what_others_could_not_use_or_should_not_see_is_named(saved, tmp_path, name, content, says):
    (saved / name).write_text(content)
    with pytest.raises(ValueError, match=says):
        stage_model(saved, tmp_path / "staged")


def test_a_folder_whose_weights_are_a_pickle_is_no_saved_model(saved, tmp_path):
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no saved model"):
        stage_model(saved, tmp_path / "staged")


@pytest.mark.slow
def test_a_folder_that_does_not_load_for_others_is_refused(saved, tmp_path):
    weights = load_file(saved / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"does not load.*missing \(visual_projection\.weight\)"):
        check_loads(stage_model(saved, tmp_path / "staged").folder)


def test_a_metric_that_others_could_not_load_is_refused(tmp_path):
    folder = tmp_path / "pair_retrieval"
    folder.mkdir()
    (folder / "pair_retrieval.py").write_text("import json\nimport numpy as np\nfrom .ranking import ranks\n")
    (folder / "README.md").write_text("---\ntitle: Pair retrieval\nsdk: gradio\n---\n")
    with pytest.raises(ValueError, match=r"no metric that can be pushed: there is no requirements\.txt"):
        stage_metric(folder, tmp_path / "zeroth")
    (folder / "requirements.txt").write_text("numpy>=1.26\n")
    with pytest.raises(ValueError, match=r"imports \.ranking, which is not in the folder"):
        stage_metric(folder, tmp_path / "first")
    (folder / "ranking.py").write_text("import scipy\n")
    with pytest.raises(ValueError, match="imports scipy"):
        stage_metric(folder, tmp_path / "second")
    (folder / "ranking.py").write_text("ranks = None\n")
    (folder / "README.md").write_text("# Pair retrieval\n")
    with pytest.raises(ValueError, match="names no sdk"):
        stage_metric(folder, tmp_path / "third")


def test_a_path_of_this_machine_in_a_catalogue_is_named(catalogue, tmp_path):
    rows = (catalogue / "metadata.jsonl").read_text()
    (catalogue / "metadata.jsonl").write_text(rows.replace('"id": 4,', '"id": 4, "scan": ["/home/ann/scans/4.tif"],'))
    with pytest.raises(ValueError, match=r"row 5.*scan: a path of this machine: /home/ann/scans/4\.tif"):
        stage_dataset(catalogue, tmp_path / "staged")


def test_a_card_that_cannot_be_read_is_named(catalogue, tmp_path):
    (catalogue / "README.md").write_text("---\na: [\n---\n")
    with pytest.raises(ValueError, match=r"README\.md: its metadata cannot be read"):
        stage_dataset(catalogue, tmp_path / "staged")
