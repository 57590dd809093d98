"""The commands that push a model, a catalogue or a metric, over HTTP."""

import json
from pathlib import Path

import pytest

from scripts import push_to_hub, train

CARD = "---\nlicense: apache-2.0\n---\n# A model\n"
ROOMS = (Path(__file__).parents[2] / room / "posterclip" for room in ("modeling", "processing"))
CODE = {path.name for room in ROOMS for path in room.glob("*.py")} - {"__init__.py"}


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


def test_bad_rows_of_a_catalogue_are_not_pushed(hub, catalogue, capsys):
    (catalogue / "3.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match=r"3\.png"):
        push_to_hub.main(["--dataset", str(catalogue), "ann/movies"])
    assert not hub.repos


@pytest.mark.parametrize("name", ["", "clip", "a/b/c", "ä/ö"])
def test_a_name_that_no_repository_can_have_is_refused_also_in_a_dry_run(name, saved, hub):
    with pytest.raises(SystemExit, match="error: "):
        push_to_hub.main([str(saved), name, "--dry_run", "True"])


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
