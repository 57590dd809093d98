import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset
from PIL import Image

from modeling import PosterCLIPModel
from processing.catalogue.catalogue import load_catalogue
from processing.evaluation.retrieval import top_answers
from processing.search import index as search_index
from processing.search.index import CatalogueIndex
from scripts import embed, search
from tests.tiny import tiny_model, tiny_processor

ROOT = Path(__file__).parents[2]


def save(folder: Path, **fields) -> str:
    model, processor = tiny_model(**fields), tiny_processor()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


READS = {"use_poster_text": True, "char_ngram_dim": 64}
both_models = pytest.mark.parametrize("model", [{}, READS], ids=["looks", "reads"], indirect=True)


@pytest.fixture
def model(request, tmp_path) -> str:
    return save(tmp_path / "model", **getattr(request, "param", READS))


@pytest.fixture
def flags(model, printed, tmp_path) -> list[str]:
    """Eighteen movies in three files."""
    return [model, "--catalogue", str(printed), "--output", str(tmp_path / "index"), "--shard_size", "7"]


@pytest.fixture
def index(flags, tmp_path) -> str:
    embed.main(flags)
    return str(tmp_path / "index")


def table(index: str | Path) -> dict:
    return load_dataset("parquet", data_dir=f"{index}/data", split="train").to_dict()


def titles(printed: str) -> list[str]:
    return [line.split("  ")[-1].split(":")[0] for line in printed.splitlines()]


def expected(model: str, catalogue: Path, side: str, **query) -> list[str]:
    """The titles that the model's own embeddings of the whole catalogue give, best first."""
    splits = load_catalogue(str(catalogue)).splits
    movies = [movie for split in splits.values() for movie in split]
    clip, processor = PosterCLIPModel.from_pretrained(model).eval(), tiny_processor()
    words = {"poster_text": [movie["poster_text"] for movie in movies]} if clip.config.use_poster_text else {}
    with torch.no_grad():
        whole = clip(
            **processor(
                images=[movie["image"] for movie in movies],
                text=[movie["plots"][0] for movie in movies],
                **words,
                return_tensors="pt",
            )
        )
        asked = clip(**processor(**query, return_tensors="pt"))
    embeds = (whole.image_embeds if side == "posters" else whole.text_embeds).numpy()
    asked = (asked.text_embeds if "text" in query else asked.image_embeds).numpy()
    return [movies[row]["title"] for row in top_answers(asked, embeds, 5)[0][0]]


@both_models
def test_answers_are_those_of_the_models_own_embeddings(index, model, printed, capsys):
    capsys.readouterr()
    search.main([index, "ccc", "--k", "5"])
    assert titles(capsys.readouterr().out) == expected(model, printed, "posters", text="ccc")
    search.main([index, "ccc", "--among", "plots", "--k", "5"])
    out = capsys.readouterr().out
    assert titles(out) == expected(model, printed, "plots", text="ccc")
    rank, score, *_ = out.split()
    assert rank == "1" and float(score) == pytest.approx(1, abs=1e-3)  # the third movie's own plot
    assert titles(out)[0] == "Movie c" and out.splitlines()[0].endswith(": ccc")
    search.main([index, "--poster", str(printed / "3.png"), "--k", "5"])
    assert titles(capsys.readouterr().out) == expected(model, printed, "plots", images=Image.open(printed / "3.png"))


@both_models
def test_datasets_opens_it_and_a_record_says_what_it_is(index, model):
    movies, record = table(index), json.loads((Path(index) / "index.json").read_text())
    assert movies["id"] == [str(row) for row in range(18)] and movies["plot"][2] == "ccc"
    assert Path(movies["poster"][0]).name == "0.png" and len(movies["plot_embedding"][0]) == record["dense"] == 8
    assert ("plot_places" in movies) == bool(record["sparse"])
    assert record["model"] == str(Path(model).resolve()) and "datasets" in record["versions"]


def test_a_killed_run_goes_on_where_it_stopped(flags, tmp_path, monkeypatch):
    embed.main(flags)
    whole, folder = table(tmp_path / "index"), tmp_path / "index" / "data"
    files = sorted(folder.iterdir())
    times = files[0].stat().st_mtime_ns
    files[1].write_bytes(files[1].read_bytes()[:300])
    files[2].rename(files[2].with_suffix(".partial"))
    encoded, encode = [], embed.embeddings
    monkeypatch.setattr(embed, "embeddings", lambda encoder, part: encoded.extend(part["id"]) or encode(encoder, part))
    with pytest.raises(SystemExit, match="not finished: 2 of 3 shards are missing or damaged, first train-00001"):
        search.main([str(tmp_path / "index"), "c"])
    embed.main(flags)
    assert encoded == [str(row) for row in range(7, 18)]
    assert table(tmp_path / "index") == whole and files[0].stat().st_mtime_ns == times
    embed.main(flags)
    assert len(encoded) == 11


@pytest.mark.slow
def test_two_processes_write_what_one_writes(flags, tmp_path):
    embed.main(flags)
    flags[flags.index("--output") + 1] = str(tmp_path / "two")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # torchrun gives one, and the last bits depend on it
    command = [*launch, "-m", "scripts.embed", *flags]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | threads, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("3 of 3 files new") == 1  # they know of each other
    assert table(tmp_path / "two") == table(tmp_path / "index")


def test_many_movies_are_searched_with_faiss_and_without_it_exactly(flags, tmp_path, monkeypatch, capsys, caplog):
    pytest.importorskip("faiss")
    embed.main(flags)
    assert "searched one by one\n" in capsys.readouterr().out
    search.main([str(tmp_path / "index"), "c"])
    exact = capsys.readouterr().out
    embed.main([*flags, "--exact_up_to", "10"])
    assert "0 of 3 files new, searched by FAISS" in capsys.readouterr().out
    search.main([str(tmp_path / "index"), "c"])
    assert capsys.readouterr().out == exact and not caplog.text
    for name, content in (("poster.npz", b"PK\x03\x04nothing"), ("poster.faiss", b"nothing")):
        (tmp_path / "index" / name).write_bytes(content)
        with pytest.raises(SystemExit, match=r"poster\.faiss or \.npz is damaged"):
            search.main([str(tmp_path / "index"), "c"])
    monkeypatch.setattr(search_index, "find_spec", lambda _: None)
    search.main([str(tmp_path / "index"), "c"])
    assert capsys.readouterr().out == exact and "pip install '.[search]' brings FAISS" in caplog.text


@pytest.mark.parametrize("has_faiss", [True, False])
def test_what_was_killed_before_it_was_indexed_is_indexed_by_the_next_run(
    has_faiss, flags, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("faiss")
    embed.main(flags)
    monkeypatch.setattr(embed, "find_spec", lambda _: has_faiss or None)
    monkeypatch.setattr(embed, "embeddings", lambda *_: pytest.fail("encoded"))
    embed.main([*flags, "--exact_up_to", "10"])
    assert (tmp_path / "index" / "plot.faiss").is_file() == has_faiss
    assert ("which is slow: run this again with FAISS" in capsys.readouterr().out) != has_faiss


def test_a_poster_is_read_where_the_model_reads(index, model, printed, monkeypatch, capsys):
    processor = tiny_processor()
    processor.run_ocr = True
    processor.save_pretrained(model)
    monkeypatch.setattr(search, "recognize_text", lambda _: [{"text": "eee"}])
    capsys.readouterr()
    search.main([index, "--poster", str(printed / "0.png"), "--k", "5"])
    words = {"images": Image.open(printed / "0.png"), "poster_text": ["eee"]}
    assert titles(capsys.readouterr().out) == expected(model, printed, "plots", **words)


def test_an_index_of_another_model_or_catalogue_is_refused(index, flags, printed, tmp_path):
    other = save(tmp_path / "other", seed=1)
    with pytest.raises(SystemExit, match=r"index was made by another model than .*other"):
        search.main([index, "c", "--model", other])
    with pytest.raises(SystemExit, match=r"another index \(its model_key"):
        embed.main([other, *flags[1:]])
    rows = (printed / "metadata.jsonl").read_text().splitlines()
    (printed / "metadata.jsonl").write_text("\n".join(rows[:-1]))
    with pytest.raises(SystemExit, match=r"another index \(its data_fingerprint, rows"):
        embed.main(flags)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([" \n"], "query is empty"),
        (["a\udcffb"], "query is not UTF-8"),
        ([], "Give a text or a --poster"),
        (["c", "--poster", "x.png"], "one of them"),
        (["--poster", "no.png"], r"no\.png is no poster that can be read: no such file"),
        (["--poster", "index.json"], r"index\.json is no poster that can be read: not an image"),
        (["--poster", "no.png", "--among", "posters"], "--among: a poster is sought among plots"),
        (["c", "--k", "0"], r"k must lie in 1\.\.18, the number of movies, not 0"),
        (["c", "--model", "nowhere"], "nowhere is no PosterCLIP model"),
    ],
)
def test_a_wrong_question_is_named(asked, words, index, monkeypatch):
    monkeypatch.chdir(index)
    with pytest.raises(SystemExit, match=words) as stopped:
        search.main([index, *asked])
    assert len(str(stopped.value).splitlines()) == 1 or "nowhere" in words


def test_what_can_be_answered_all_the_same_is_said(index, capsys):
    search.main([index, "c" * 100_000, "--k", "1000000"])
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 18
    assert "its first 32 tokens are read" in err and "there are 18 movies, here are all" in err


@pytest.mark.parametrize("content", [None, "", "[]", '"model"', '{"model": "x"}'])
def test_a_folder_that_is_no_index_is_named(content, tmp_path):
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(SystemExit, match=f"{tmp_path.name} is no index of a catalogue"):
        search.main([str(tmp_path), "c"])


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"rows": "x"}, {"shard_size": 0}, {"dense": None}, {"sparse": -1}])
def test_a_record_that_cannot_be_is_named(wrong, index):
    file = Path(index) / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
    with pytest.raises(SystemExit, match="index is no index of a catalogue"):
        search.main([index, "c"])


def test_a_damaged_file_is_named_and_made_again(flags, index, tmp_path, capsys):
    search.main([index, "c"])
    before = capsys.readouterr().out.splitlines()[-10:]
    shard = sorted((tmp_path / "index" / "data").iterdir())[1]
    content = shard.read_bytes()
    shard.write_bytes(content[:4] + bytes(400) + content[404:])
    with pytest.raises(SystemExit, match=rf"{shard.name} is damaged: .*Remove it; scripts/embed\.py goes on"):
        search.main([index, "c"])
    shard.unlink()
    embed.main(flags)
    search.main([index, "c"])
    assert capsys.readouterr().out.splitlines()[-10:] == before


def test_a_folder_for_the_index_that_cannot_be_had_is_named_before_anything_is_encoded(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "embeddings", lambda *_: pytest.fail("encoded"))
    flags[flags.index("--output") + 1] = "/proc/index"
    with pytest.raises(SystemExit, match="/proc"):
        embed.main(flags)
    flags[flags.index("/proc/index")] = str(tmp_path)
    with pytest.raises(SystemExit, match="holds something else"):
        embed.main(flags)
    with pytest.raises(SystemExit, match="shard_size: 0"):
        embed.main([*flags, "--shard_size", "0"])


def test_an_index_can_be_moved_and_read_only(index, tmp_path, capsys):
    search.main([index, "c"])
    before = capsys.readouterr().out
    moved = tmp_path / "moved"
    shutil.move(index, moved)
    for path in [*moved.rglob("*"), moved]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    search.main([str(moved), "c"])
    assert capsys.readouterr().out.splitlines()[-10:] == before.splitlines()[-10:]
    assert np.all([path.exists() for path in CatalogueIndex.open(moved).shards])
    for path in [moved, moved / "data"]:
        path.chmod(0o755)
