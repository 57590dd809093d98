"""What arrives at a Hub that is sometimes unwell, and what stays there."""

import shutil
import types
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download

from modeling.training.lora import load_adapter, merged_state_dict, save_adapter
from scripts.hub import pushing
from scripts.hub.pushing import push
from scripts.hub.staging import stage_model
from tests.tiny import tiny_batch, tiny_model, tiny_model_in_modes


@pytest.fixture
def waits(monkeypatch):
    """How long the client waited before it tried again, without waiting."""
    waits = []
    monkeypatch.setattr("huggingface_hub.utils._http.time", types.SimpleNamespace(sleep=waits.append))
    return waits


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/repos/create", 403, "403 .*Forbidden"),
        ("/preupload/", 404, "404"),
        ("/commit/", 401, "401 .*Unauthorized"),
        ("/commit/", 409, "changed in the meantime"),
        ("/commit/", 500, "500"),
    ],
)
def test_after_a_fault_nothing_is_half_there_and_a_second_try_succeeds(hub, staged, path, status, says):
    hub.fail("POST", path, status)
    with pytest.raises(ValueError, match=f"Not pushed to ann/clip: .*{says}") as error:
        push(staged, "ann/clip")
    assert "\n" not in str(error.value)
    assert ("model", "ann/clip") not in hub.repos or not hub.commits("ann/clip")
    push(staged, "ann/clip")
    assert len(hub.commits("ann/clip")) == 1


def test_the_client_itself_rides_over_passing_faults(hub, staged, waits):
    hub.fail("POST", "/preupload/", 429, Retry_After="7")
    hub.fail("POST", "/objects/batch", 500)
    hub.cut("PUT", "/lfs/")
    push(staged, "ann/clip")
    assert len(hub.commits("ann/clip")) == 1
    assert max(waits) >= 7 and len(waits) == 3


@pytest.mark.parametrize(("fault", "arrived"), [("cut", 0), ("lose", 1)])
def test_a_connection_lost_at_the_commit_leaves_all_or_nothing(hub, staged, fault, arrived):
    getattr(hub, fault)("POST", "/commit/")
    with pytest.raises(ValueError, match=r"no answer from http.*Run the same command again"):
        push(staged, "ann/clip")
    assert len(hub.commits("ann/clip")) == arrived
    push(staged, "ann/clip")
    assert len(hub.commits("ann/clip")) == 1


def test_a_commit_of_somebody_else_meanwhile_is_not_overwritten(hub, staged, monkeypatch):
    push(staged, "ann/clip")

    def meanwhile(*_, **__):
        repo = hub.repos["model", "ann/clip"]
        repo.commit("main", "by hand", {**repo.find("main").files, "README.md": b"better"}, repo.branches["main"])
        return []

    monkeypatch.setattr(HfApi, "list_repo_files", meanwhile)
    staged.add("extra.json", b"{}")
    with pytest.raises(ValueError, match="changed in the meantime"):
        push(staged, "ann/clip")
    assert hub.commits("ann/clip")[-1].title == "by hand"


def test_without_a_token_or_with_a_wrong_one_the_message_says_so(hub, staged, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ValueError, match="401"):
        push(staged, "ann/clip")
    monkeypatch.setattr(pushing, "get_token", lambda: None)
    with pytest.raises(ValueError, match="There is no token"):
        push(staged, "ann/clip")
    assert not hub.repos


def test_a_public_repository_is_pushed_to_only_if_that_is_said(hub, staged):
    push(staged, "ann/clip", public=True)
    assert not hub.repos["model", "ann/clip"].private
    staged.add("extra.json", b"{}")
    with pytest.raises(ValueError, match="everybody can see"):
        push(staged, "ann/clip")
    assert len(hub.commits("ann/clip")) == 1


def test_a_branch_and_a_pull_request_leave_main_alone(hub, staged, monkeypatch):
    push(staged, "ann/clip", public=True)
    staged.add("extra.json", b"{}")
    push(staged, "ann/clip", public=True, revision="next")
    assert "extra.json" in hub.commits("ann/clip", branch="next")[-1].files
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    with pytest.raises(ValueError, match="403"):
        push(staged, "ann/clip", public=True)
    assert "/discussions/1" in push(staged, "ann/clip", public=True, create_pr=True)
    assert len(hub.commits("ann/clip")) == 1 and "extra.json" in hub.commits("ann/clip", branch="refs/pr/1")[-1].files


def test_adapters_are_pulled_and_loaded_apart_from_the_base(hub, saved, tmp_path):
    trained = tiny_model_in_modes("vit", "bert", "frozen,lora")
    for name, weight in trained.named_parameters():
        if ".lora_B." in name:
            weight.data.normal_()
    trained.save_pretrained(saved, state_dict=merged_state_dict(trained))
    save_adapter(trained, saved / "adapter")
    push(stage_model(saved, tmp_path / "staged"), "ann/clip")
    pulled = Path(snapshot_download("ann/clip", allow_patterns="adapter/*"))
    assert [path.name for path in pulled.iterdir()] == ["adapter"]
    model = tiny_model()
    load_adapter(model, pulled / "adapter")
    assert model.eval()(**tiny_batch()).logits_per_image.equal(trained.eval()(**tiny_batch()).logits_per_image)

    shutil.rmtree(saved / "adapter")
    told = push(stage_model(saved, tmp_path / "without"), "ann/clip")
    assert not [name for name in hub.commits("ann/clip")[-1].files if name.startswith("adapter/")]
    assert "removed: adapter/" in told


def test_what_people_put_beside_a_model_stays_and_old_weights_go(hub, staged):
    push(staged, "ann/clip")
    names = ("notes.py", "user.json", "mine/extra.safetensors", "model-00001-of-00002.safetensors")
    for name in names:
        HfApi().upload_file(path_or_fileobj=b"{}", path_in_repo=name, repo_id="ann/clip")
    staged.add("extra.json", b"{}")
    told = push(staged, "ann/clip")
    assert [line for line in told.splitlines() if "removed" in line] == ["removed: model-00001-of-00002.safetensors"]
    assert set(names[:3]) < set(hub.commits("ann/clip")[-1].files)
    assert push(staged, "ann/clip").startswith("Nothing was pushed: ann/clip holds all of it")
