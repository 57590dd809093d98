import json
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

from scripts import app
from scripts.hub.staging import stage_model
from tests.hub import Hub
from tests.tiny import tiny_model, tiny_processor

SPLITS = ["train"] * 8 + ["validation"] * 4 + ["test"] * 6


@pytest.fixture
def catalogue(tmp_path) -> Path:
    """Eighteen movies in three splits, two plots each."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    rows = []
    for i, split in enumerate(SPLITS):
        Image.effect_noise((24, 32), 20 + 8 * i).save(folder / f"{i}.png")
        letter = "abcdefghijklmnopqr"[i]
        row = {"file_name": f"{i}.png", "id": i, "title": f"Movie {letter}", "split": split}
        rows.append({**row, "plot_short": letter * 3, "plot_long": letter * 7})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def printed(catalogue) -> Path:
    """The same catalogue, which says what is printed on the posters: on two in three the movie's letter."""
    rows = [json.loads(line) for line in (catalogue / "metadata.jsonl").read_text().splitlines()]
    for i, row in enumerate(rows):
        line = {"text": f"A{row['plot_short']}", "score": 0.9, "box": [0.1, 0.2, 0.9, 0.4]}
        row["poster_text"] = [line] if i % 3 else []
    (catalogue / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return catalogue


@pytest.fixture
def encoders(tmp_path) -> list[str]:
    """Flags that name two tiny pretrained encoders."""
    model, processor = tiny_model(), tiny_processor()
    model.vision_model.save_pretrained(tmp_path / "vision")
    processor.image_processor.save_pretrained(tmp_path / "vision")
    model.text_model.save_pretrained(tmp_path / "text")
    processor.tokenizer.save_pretrained(tmp_path / "text")
    return [
        "--vision_model_name_or_path",
        str(tmp_path / "vision"),
        "--text_model_name_or_path",
        str(tmp_path / "text"),
        "--projection_dim",
        "8",
    ]


@pytest.fixture
def model(tmp_path) -> str:
    folder = tmp_path / "model"
    tiny_model(projection_dim=4).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def reader(tmp_path) -> str:
    """A model that reads posters, its bag fitted; how words are spelled is most of what it goes by."""
    folder, processor = tmp_path / "reader", tiny_processor()
    processor.run_ocr = True
    model = tiny_model(use_poster_text=True, char_ngram_dim=1024)
    model.char_ngrams.fit(processor.tokenizer, [letter * 3 for letter in "abcdefghijklmnopqr"])
    model.char_ngram_weight.data.fill_(5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub to which the clients in this process talk, in the name of ann."""
    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # made once, with the ENDPOINT of then
        monkeypatch.setenv("HF_TOKEN", "hf_ann")
        yield hub
        hub.shutdown()


@pytest.fixture
def saved(tmp_path) -> Path:
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
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    Image.new("RGB", (4, 4)).save(folder / "report-test" / "map.png")
    for left in ("training_args.bin", "checkpoint-4/model.safetensors", "trainer_state.json", "notes.odt"):
        (folder / left).parent.mkdir(exist_ok=True)
        (folder / left).write_bytes(b"{}")
    return folder


@pytest.fixture
def staged(saved, tmp_path):
    return stage_model(saved, tmp_path / "staged")


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Path:
    """What the command writes of eighteen movies, six of them in the test split."""
    root = tmp_path_factory.mktemp("app")
    (root / "movies").mkdir()
    rows = []
    for i, letter in enumerate("abcdefghijklmnopqr"):
        Image.effect_noise((200, 300), 20 + 8 * i).convert("RGB").save(root / "movies" / f"{i}.png")
        row = {"file_name": f"{i}.png", "id": i, "title": f"Movie {letter}", "plot": letter * 3, "poster_text": []}
        rows.append({**row, "genres": ["Drama", "War"][: 1 + i % 2], "split": "test" if i > 11 else "train"})
    (root / "movies" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    processor = tiny_processor()
    processor.run_ocr = True
    tiny_model(use_poster_text=True, char_ngram_dim=64).save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    app.main([str(root / "model"), "--catalogue", str(root / "movies"), "--space", str(root / "space")])
    return root / "space"
