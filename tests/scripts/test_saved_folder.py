"""What a user has who downloads a model: a folder, transformers, and nothing of ours."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import pipeline

from tests.elsewhere import run_without_clone
from tests.tiny import tiny_model, tiny_processor

PLOT, PRINTED = "A whale is hunted.", "A Whale"
READS = {"use_poster_text": True, "char_ngram_dim": 16}


@pytest.fixture(scope="module", params=[{}, READS], ids=["looks", "reads"])
def used_elsewhere(request, tmp_path_factory):
    """A saved folder, what another process printed of it, and the fields of its model; rapidocr is not there."""
    root, processor = tmp_path_factory.mktemp("root"), tiny_processor()
    processor.run_ocr = bool(request.param)
    tiny_model("vit", "bert", **request.param).save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    Image.effect_noise((40, 60), 90).convert("RGB").save(root / "poster.png")
    script = Path(__file__).with_name("use_saved_folder.py")
    arguments = [str(root / name) for name in ("model", "poster.png")] + [PLOT, PRINTED, str(root / "outputs.pt")]
    empty, cache = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("cache")
    return root, run_without_clone(script, *arguments, cwd=empty, cache=cache), request.param


@pytest.mark.slow
def test_model_and_processor_give_the_same_scores(used_elsewhere):
    root, _, fields = used_elsewhere
    with_words, alone = torch.load(root / "outputs.pt")
    given = {"images": Image.open(root / "poster.png"), "text": [PLOT, "another"], "return_tensors": "pt"}
    model = tiny_model("vit", "bert", **fields).eval()
    with torch.no_grad():
        for there, printed in ((with_words, PRINTED), (alone, None)):
            here = model(**tiny_processor()(**given, poster_text=printed))
            for name, value in there.items():
                torch.testing.assert_close(value, here[name], msg=name)
    assert torch.equal(with_words["image_embeds"], alone["image_embeds"]) != bool(fields)


@pytest.mark.slow
def test_the_pipelines_features_are_the_embeddings(used_elsewhere):
    """A poster's as of its picture: of a name, a pipeline takes the image processor, which does not read."""
    root, *_ = used_elsewhere
    features, (_, alone) = torch.load(root / "features.pt"), torch.load(root / "outputs.pt")
    torch.testing.assert_close(features["image-feature-extraction"], alone["image_embeds"])
    torch.testing.assert_close(features["feature-extraction"], alone["text_embeds"][:1])


@pytest.mark.slow
def test_the_pipeline_tags_a_poster_with_genres(used_elsewhere):
    tags = json.loads(used_elsewhere[1])
    assert {tag["label"] for tag in tags} == {"Horror", "Comedy", "War"}
    assert sum(tag["score"] for tag in tags) == pytest.approx(1)


@pytest.mark.slow
def test_saving_what_was_loaded_gives_the_same_folder(used_elsewhere):
    root, *_ = used_elsewhere
    first, again = root / "model", root / "again"
    assert {"char_ngrams.py", "modules.json", "ocr.py", "ocr_text.py", "sentence_posterclip.py"} <= {
        path.name for path in first.iterdir()
    }
    assert {path.name for path in again.iterdir()} == {path.name for path in first.iterdir()}
    for path in [*first.glob("*.py"), first / "model.safetensors", first / "modules.json"]:
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_pipelines_that_are_given_the_processor_read_posters(monkeypatch):
    model, processor, poster = tiny_model(**READS).eval(), tiny_processor(), Image.effect_noise((40, 60), 90)
    processor.run_ocr = True
    monkeypatch.setattr(type(processor), "_read", lambda self, poster: PRINTED)
    parts = {"model": model, "tokenizer": processor.tokenizer, "image_processor": processor}
    embed = pipeline("image-feature-extraction", **parts)
    tagger = pipeline("zero-shot-image-classification", **parts)
    labels = ["Horror", "Comedy", "War"]
    with torch.no_grad():
        read = model(**processor(images=poster.convert("RGB"), text=labels, return_tensors="pt"))
    torch.testing.assert_close(embed(poster, return_tensors=True), read.image_embeds)
    found = {tag["label"]: tag["score"] for tag in tagger(poster, candidate_labels=labels, hypothesis_template="{}")}
    assert [found[label] for label in labels] == pytest.approx(read.logits_per_image.softmax(1)[0].tolist())


def test_the_folder_holds_no_local_path(tmp_path):
    for name in ("vision", "text"):
        getattr(tiny_model(), f"{name}_model").save_pretrained(tmp_path / name)
    model = type(tiny_model()).from_vision_text_pretrained(str(tmp_path / "vision"), str(tmp_path / "text"))
    model.save_pretrained(tmp_path / "model")
    assert str(tmp_path) not in (tmp_path / "model" / "config.json").read_text()
