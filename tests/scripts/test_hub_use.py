"""What a user has who pulls a model from the Hub: newest or pinned, online or from the cache, and to train on."""

import json
import math
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, snapshot_download
from PIL import Image

from scripts import push_to_hub
from scripts.common.command_line import load_model
from scripts.hub.pushing import push
from scripts.hub.staging import stage_model
from tests.elsewhere import run_without_clone
from tests.hub import Repo
from tests.tiny import tiny_model, tiny_processor

SCRIPT = Path(__file__).with_name("use_hub.py")
METRIC = Path(__file__).parents[2] / "processing" / "pair_retrieval"


@pytest.fixture
def pushed(hub, tmp_path):
    """A model in two versions, of which the newer computes otherwise; their revisions. `ann/bare` lacks its code."""
    folder = tmp_path / "model"
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    push(stage_model(folder, tmp_path / "first"), "ann/clip")
    code = (folder / "modeling_posterclip.py").read_text()
    assert "self.logit_scale.float().exp()" in code
    new = code.replace("self.logit_scale.float().exp()", "self.logit_scale.float().exp() * 2")
    (folder / "modeling_posterclip.py").write_text(new)
    second = stage_model(folder, tmp_path / "second")
    push(second, "ann/clip")
    for name in [name for name in second.files if name.endswith(".py")]:
        (second.folder / name).unlink()
    push(second, "ann/bare")
    return [commit.oid for commit in hub.commits("ann/clip")]


@pytest.fixture
def movies(hub, catalogue):
    """A catalogue on the Hub; one of its posters is called as if it were a split."""
    rows = (catalogue / "metadata.jsonl").read_text().replace('"3.png"', '"test-3.png"')
    (catalogue / "metadata.jsonl").write_text(rows)
    (catalogue / "3.png").rename(catalogue / "test-3.png")
    (catalogue / "README.md").write_text("---\nlicense: mit\n---\n# Movies\n")
    push_to_hub.main(["--dataset", str(catalogue), "ann/movies"])
    return catalogue


@pytest.mark.slow
def test_models_and_movies_are_used_from_the_hub_and_then_without_it(hub, pushed, movies, tmp_path):
    hub.lose("GET", "/lfs/")  # of one file the client gets the rest by a second request
    hub.fail("GET", "/resolve/", 429, Retry_After="0")
    told = {}
    for way, offline in (("online", "0"), ("offline", "1")):
        asked = len(hub.requests)
        variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_ann", "HF_HUB_OFFLINE": offline}
        (tmp_path / way).mkdir()
        out = str(tmp_path / way)
        run_without_clone(SCRIPT, pushed[0], out, cwd=tmp_path, cache=tmp_path / "cache", **variables)
        told[way] = json.loads((tmp_path / way / "told.json").read_text())
        assert (len(hub.requests) > asked) == (way == "online")
    assert all("configuration_posterclip.py" in both.pop("bare") for both in told.values())
    assert told["online"] == told["offline"]
    assert not any(fault.is_ahead for fault in hub.faults)

    scores = {name: torch.tensor(rows) for name, rows in told["online"]["scores"].items()}
    with torch.no_grad():
        inputs = {"images": Image.open(movies / "0.png"), "text": ["a whale", "bees"], "return_tensors": "pt"}
        here = tiny_model().eval()(**tiny_processor()(**inputs)).logits_per_image
    torch.testing.assert_close(scores["older"], here)
    assert torch.equal(scores["older"], scores["older again"])
    assert torch.equal(scores["newest"], 2 * scores["older"])

    rows = list(map(json.loads, (movies / "metadata.jsonl").read_text().splitlines()))
    assert sorted(told["online"]["titles"]) == sorted(row["title"] for row in rows)
    assert sorted(told["online"]["splits"]) == sorted(row["split"] for row in rows)
    assert math.isfinite(told["online"]["loss"])
    assert (tmp_path / "online" / "modeling_posterclip.py").is_file()


@pytest.mark.slow
def test_the_metric_is_a_space_that_evaluate_loads_by_its_name(hub, tmp_path):
    push_to_hub.main(["--metric", str(METRIC), "ann/pair_retrieval", "--public", "True"])
    (commit,) = hub.commits("ann/pair_retrieval", "space")
    assert {"README.md", "requirements.txt", "app.py", "pair_retrieval.py", "ranking.py"} <= set(commit.files)
    script = tmp_path / "judge.py"
    script.write_text(
        "import no_clone\n"
        "import evaluate\n"
        'metric = evaluate.load("ann/pair_retrieval")\n'
        'print(metric.compute(predictions=[[1], [3]], references=["jaws", "alien"], pool_size=10)["R@1"])\n'
    )
    variables = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    assert run_without_clone(script, cwd=tmp_path, cache=tmp_path / "cache", **variables) == "0.5\n"


def test_a_snapshot_is_the_pinned_one_though_its_download_was_cut(hub, pushed, tmp_path):
    hub.lose("GET", "/lfs/")
    for revision, first in ((pushed[0], True), (None, False)):
        folder = Path(snapshot_download("ann/clip", revision=revision))
        assert ("exp() * 2" in (folder / "modeling_posterclip.py").read_text()) != first
        assert (folder / "model.safetensors").read_bytes() == (tmp_path / "model" / "model.safetensors").read_bytes()
    model, _ = load_model("ann/clip")
    assert model.config.projection_dim == 8


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"config.json": b'{"model_type": "bert"}'}, "the model_type in its config.json is 'bert'"),
        ({"README.md": b"# Soon"}, "the model_type in its config.json is None"),
        ({"config.json": b'{"model_type": "posterclip", "format_version": 2}'}, "format_version 2 is newer"),
    ],
)
def test_a_repository_that_holds_no_model_of_ours_is_named(hub, files, says):
    Repo.commit(hub.repos.setdefault(("model", "ann/other"), Repo("model", "ann/other", True)), "main", "", files, [])
    with pytest.raises(ValueError, match=f"ann/other is not a PosterCLIP model that can be loaded.*: .*{says}"):
        load_model("ann/other")


def test_a_cache_that_cannot_be_written_and_a_hub_that_cannot_be_reached_are_named(hub, pushed, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ValueError, match=r"ann/clip is not a PosterCLIP model that can be loaded.*: .*file/cache"):
        load_model("ann/clip")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"ann/clip is not a PosterCLIP model that can be loaded.*: .*connect"):
        load_model("ann/clip")
