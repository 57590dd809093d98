"""What is pushed, and what is not; over HTTP, to a Hub that is sometimes unwell."""

import json
import shutil
import types
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download
from PIL import Image
from safetensors.torch import load_file, save_file

from modeling.training.lora import load_adapter, merged_state_dict, save_adapter
from scripts import push_to_hub, train
from scripts.hub import pushing
from scripts.hub.checks import check_loads
from scripts.hub.pushing import push
from scripts.hub.staging import stage_dataset, stage_metric, stage_model
from tests.tiny import tiny_batch, tiny_model, tiny_model_in_modes, tiny_processor

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
CARD = "---\nlicense: apache-2.0\n---\n# A model\n"
ROOMS = (Path(__file__).parents[2] / room / "posterclip" for room in ("modeling", "processing"))
CODE = {path.name for room in ROOMS for path in room.glob("*.py")} - {"__init__.py"}


@pytest.fixture
def saved(tmp_path):
    """A folder as training leaves it."""
    folder = tmp_path / "run"
    tiny_model().save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    record = {
        "catalogue": {"source": "/home/ann smith/movies"},
        "model": {"text_model_name_or_path": r"C:\models\bert"},
        "step": 1,
    }
    (folder / "training.json").write_text(json.dumps(record))
    (folder / "report-test").mkdir()
    (folder / "report-test" / "results.json").write_text(
        '{"failed": ["7: cannot identify image file \'/data/posters/7.jpg\'"]}'
    )
    (folder / "README.md").write_text(CARD)
    Image.new("RGB", (4, 4)).save(folder / "report-test" / "map.png")
    for left in ("training_args.bin", "checkpoint-4/model.safetensors", "trainer_state.json", "notes.odt"):
        (folder / left).parent.mkdir(exist_ok=True)
        (folder / left).write_bytes(b"{}")
    return folder


@pytest.fixture
def staged(saved, tmp_path):
    return stage_model(saved, tmp_path / "staged")


@pytest.fixture
def waits(monkeypatch):
    """How long the client waited before it tried again, without waiting."""
    waits = []
    monkeypatch.setattr("huggingface_hub.utils._http.time", types.SimpleNamespace(sleep=waits.append))
    return waits


@pytest.mark.slow
def test_a_saved_folder_goes_in_one_commit_without_what_is_not_for_others(hub, saved, capsys):
    push_to_hub.main([str(saved), "ann/clip"])
    repo, (commit,) = hub.repos["model", "ann/clip"], hub.commits("ann/clip")
    assert repo.private
    others = {"model.safetensors", "config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"}
    others |= {"README.md", "training.json", "report-test/results.json", "report-test/map.png", "requirements.txt"}
    others.add("modules.json")
    assert set(commit.files) == CODE | others | {".gitattributes"}
    assert commit.files["model.safetensors"] == (saved / "model.safetensors").read_bytes()
    record = json.loads(commit.files["training.json"])
    assert record == {"catalogue": {"source": "movies"}, "model": {"text_model_name_or_path": "bert"}, "step": 1}
    assert json.loads(commit.files["report-test/results.json"]) == {"failed": ["7: cannot identify image file '7.jpg'"]}
    told = capsys.readouterr().out
    assert "left out: training_args.bin (a pickle)" in told and "/home/ann smith/movies becomes movies" in told
    assert f"(private, revision {commit.oid})" in told


def test_the_cards_example_loads_the_repository(hub, saved, capsys, monkeypatch):
    monkeypatch.setattr(push_to_hub, "check_loads", lambda folder: None)
    monkeypatch.chdir(saved.parent)
    card = f'{CARD}AutoModel.from_pretrained("run")\nAutoModel.from_pretrained("ann/other")\n'
    (saved / "README.md").write_text(card)
    push_to_hub.main([str(saved), "ann/clip"])
    assert hub.commits("ann/clip")[-1].files["README.md"].decode() == card.replace('"run"', '"ann/clip"')
    assert "its example loads ann/clip in place of run" in capsys.readouterr().out
    assert (saved / "README.md").read_text() == card


def test_a_dry_run_lists_files_with_sizes_and_asks_nothing_of_the_hub(hub, saved, capsys, monkeypatch):
    monkeypatch.setattr(push_to_hub, "check_loads", lambda folder: None)
    push_to_hub.main([str(saved), "ann/clip", "--dry_run", "True"])
    size = (saved / "model.safetensors").stat().st_size
    assert f"{size:,}  model.safetensors" in capsys.readouterr().out
    assert not hub.repos


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


def test_bad_rows_of_a_catalogue_are_not_pushed(hub, catalogue, capsys):
    (catalogue / "3.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match=r"3\.png"):
        push_to_hub.main(["--dataset", str(catalogue), "ann/movies"])
    assert not hub.repos


def test_a_path_of_this_machine_in_a_catalogue_is_named(catalogue, tmp_path):
    rows = (catalogue / "metadata.jsonl").read_text()
    (catalogue / "metadata.jsonl").write_text(rows.replace('"id": 4,', '"id": 4, "scan": ["/home/ann/scans/4.tif"],'))
    with pytest.raises(ValueError, match=r"row 5.*scan: a path of this machine: /home/ann/scans/4\.tif"):
        stage_dataset(catalogue, tmp_path / "staged")


@pytest.mark.parametrize("name", ["", "clip", "a/b/c", "ä/ö"])
def test_a_name_that_no_repository_can_have_is_refused_also_in_a_dry_run(name, saved, hub):
    with pytest.raises(SystemExit, match="error: "):
        push_to_hub.main([str(saved), name, "--dry_run", "True"])


def test_a_card_that_cannot_be_read_is_named(catalogue, tmp_path):
    (catalogue / "README.md").write_text("---\na: [\n---\n")
    with pytest.raises(ValueError, match=r"README\.md: its metadata cannot be read"):
        stage_dataset(catalogue, tmp_path / "staged")


def test_one_folder_is_named(saved, capsys):
    for arguments in (["ann/clip"], [str(saved), "ann/clip", "--dataset", str(saved)]):
        with pytest.raises(SystemExit):
            push_to_hub.main(arguments)
        assert "name one folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_trainers_own_push_works(hub, catalogue, encoders, tmp_path):
    run = ["--max_steps", "1", "--per_device_train_batch_size", "4", "--use_cpu", "True", "--disable_tqdm", "True"]
    target = ["--output_dir", str(tmp_path / "run"), "--push_to_hub", "True", "--hub_model_id", "ann/run"]
    train.main(["--catalogue", str(catalogue), *encoders, *run, *target])
    assert {"model.safetensors", "training.json", *CODE} <= set(hub.commits("ann/run")[-1].files)
