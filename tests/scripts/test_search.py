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
from processing.posterclip import processing_posterclip
from processing.search.index import CatalogueIndex
from scripts import embed, search
from scripts.common.features import FeatureEncoder
from tests.tiny import tiny_model, tiny_processor

ROOT = Path(__file__).parents[2]


def save(folder: Path, **fields) -> str:
    model, processor = tiny_model(**fields), tiny_processor()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


READS = {"use_poster_text": True, "char_ngram_dim": 64}
both_models = pytest.mark.parametrize("model", [{}, READS], ids=["image", "image and text"], indirect=True)


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
    """The titles of all answers, in the order in which they are printed."""
    return [line.split("  ")[-1].split(":")[0] for line in printed.splitlines() if ":" in line]


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
    search.main([index, "ccc", "--among", "posters", "--k", "5"])
    assert titles(capsys.readouterr().out) == expected(model, printed, "posters", text="ccc")
    search.main([index, "ccc", "--among", "plots", "--k", "5"])
    heading, first, *_ = (out := capsys.readouterr().out).splitlines()
    assert titles(out) == expected(model, printed, "plots", text="ccc")
    rank, score, *_ = first.split()
    assert heading == "Plots" and rank == "1" and float(score) == pytest.approx(1, abs=1e-3)  # the movie's own plot
    assert titles(out)[0] == "Movie c" and first.endswith(": ccc")


def test_both_sides_are_searched_by_default_and_told_apart(index, model, printed, capsys):
    capsys.readouterr()
    search.main([index, "ccc", "--k", "5"])
    plots, posters = capsys.readouterr().out.removeprefix("Plots\n").split("Posters\n")
    assert titles(plots) == expected(model, printed, "plots", text="ccc")
    assert titles(posters) == expected(model, printed, "posters", text="ccc")
    search.main([index, "--poster", str(printed / "3.png"), "--k", "5"])
    plots, posters = capsys.readouterr().out.removeprefix("Plots\n").split("Posters\n")
    image = Image.open(printed / "3.png")
    assert titles(plots) == expected(model, printed, "plots", images=image)
    assert titles(posters) == expected(model, printed, "posters", images=image)


@both_models
def test_datasets_opens_it_and_a_record_says_what_it_is(index, model):
    movies, record = table(index), json.loads((Path(index) / "index.json").read_text())
    assert movies["id"] == [str(row) for row in range(18)] and movies["plot"][2] == "ccc"
    assert Path(movies["poster"][0]).name == "0.png" and len(movies["plot_dense"][0]) == record["dense_dim"] == 8
    assert ("plot_ngram_indices" in movies) == bool(record["ngram_dim"])
    assert record["model"] == str(Path(model).resolve()) and "datasets" in record["versions"]


def test_a_killed_run_goes_on_where_it_stopped(flags, tmp_path, monkeypatch):
    embed.main(flags)
    whole, folder = table(tmp_path / "index"), tmp_path / "index" / "data"
    files = sorted(folder.iterdir())
    times = files[0].stat().st_mtime_ns
    files[1].write_bytes(files[1].read_bytes()[:300])
    files[2].rename(files[2].with_suffix(".partial"))
    encoded, encode = [], FeatureEncoder.embeddings

    def counted(encoder, part):
        encoded.extend(part["id"])
        return encode(encoder, part)

    monkeypatch.setattr(FeatureEncoder, "embeddings", counted)
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


def test_a_poster_is_read_where_the_model_reads(index, model, printed, monkeypatch, capsys):
    processor = tiny_processor()
    processor.run_ocr = True
    processor.save_pretrained(model)
    monkeypatch.setattr(processing_posterclip, "recognize_text", lambda *_: [{"text": "eee"}])
    capsys.readouterr()
    search.main([index, "--poster", str(printed / "0.png"), "--among", "plots", "--k", "5"])
    words = {"images": Image.open(printed / "0.png"), "poster_text": ["eee"]}
    assert titles(capsys.readouterr().out) == expected(model, printed, "plots", **words)


def test_an_index_of_another_model_or_catalogue_is_refused(index, flags, printed, tmp_path):
    other = save(tmp_path / "other", seed=1)
    with pytest.raises(SystemExit, match=r"index was made with another model than .*other"):
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
        (["--poster", "no.png"], r"no\.png\): no such file"),
        (["--poster", "index.json"], r"index\.json\): not an image"),
        (["c", "--k", "0"], r"k must lie in 1\.\.18, the number of candidates, not 0"),
        (["c", "--model", "nowhere"], "nowhere is not a PosterCLIP model"),
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
    assert len(titles(out)) == 2 * 18
    assert "the encoder takes its first 32 tokens" in err and "the index has 18 movies, all are listed" in err


@pytest.mark.parametrize("content", [None, "", "[]", '"model"', '{"model": "x"}'])
def test_a_folder_that_is_no_index_is_named(content, tmp_path):
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(SystemExit, match=f"{tmp_path.name} is no index of a catalogue"):
        search.main([str(tmp_path), "c"])


@pytest.mark.parametrize(
    "wrong", [{"rows": 0}, {"rows": "x"}, {"shard_size": 0}, {"dense_dim": None}, {"ngram_dim": -1}]
)
def test_a_record_that_cannot_be_is_named(wrong, index):
    file = Path(index) / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
    with pytest.raises(SystemExit, match="index is no index of a catalogue"):
        search.main([index, "c"])


def test_a_damaged_file_is_named_and_made_again(flags, index, tmp_path, capsys):
    search.main([index, "c"])
    before = capsys.readouterr().out
    shard = sorted((tmp_path / "index" / "data").iterdir())[1]
    content = shard.read_bytes()
    shard.write_bytes(content[:4] + bytes(400) + content[404:])
    with pytest.raises(SystemExit, match=rf"{shard.name} is damaged: .*Remove it and run scripts/embed\.py again"):
        search.main([index, "c"])
    shard.unlink()
    embed.main(flags)
    capsys.readouterr()
    search.main([index, "c"])
    assert capsys.readouterr().out == before


def test_a_folder_for_the_index_that_cannot_be_had_is_named_before_anything_is_encoded(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(FeatureEncoder, "embeddings", lambda *_: pytest.fail("encoded"))
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
    assert capsys.readouterr().out == before
    assert np.all([path.exists() for path in CatalogueIndex.open(moved).shards])
    for path in [moved, moved / "data"]:
        path.chmod(0o755)
