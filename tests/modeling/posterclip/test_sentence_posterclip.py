"""A saved folder is a model of sentence-transformers."""

import base64

import pytest
import torch
from datasets import Dataset
from PIL import Image
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from modeling import PosterCLIPModel
from tests.tiny import tiny_model, tiny_processor

LINES = [{"text": "The Whale", "score": 0.9, "box": [0.1, 0.1, 0.9, 0.3]}]
PLOTS = ["A whale is hunted.", "A shark"]


@pytest.fixture(
    scope="module", params=[{}, {"use_poster_text": True, "char_ngram_dim": 16}], ids=["image", "poster text"]
)
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tiny_model(**request.param).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    for i in range(3):
        Image.effect_noise((40, 60), 40 * (i + 1)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def inputs(folder):
    """Posters and plots as they come: an image with its text, a plot, a path, a data URI with its text, a plot."""
    uri = f"data:image/png;base64,{base64.b64encode((folder / '2.png').read_bytes()).decode()}"
    return [
        {"image": Image.open(folder / "0.png"), "text": LINES},
        PLOTS[0],
        {"image": str(folder / "1.png")},
        {"image": uri, "text": "A Sea"},
        {"text": PLOTS[1]},
    ]


@torch.no_grad()
def expected(folder):
    """What the model says of these inputs, and of how alike the posters and the plots are."""
    images = [Image.open(folder / f"{i}.png") for i in range(3)]
    batch = tiny_processor()(images=images, text=PLOTS, poster_text=[LINES, "", "A Sea"], return_tensors="pt")
    model = PosterCLIPModel.from_pretrained(folder).eval()
    output = model(**batch)
    posters, plots = output.image_embeds, output.text_embeds
    alike = output.logits_per_image / model.logit_scale.exp()
    return torch.stack([posters[0], plots[0], posters[1], posters[2], plots[1]]), alike


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_posters_and_plots_are_embedded_as_the_model_does(folder, inputs, batch_size):
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    found = model.encode(inputs, batch_size=batch_size, convert_to_tensor=True)
    embeddings, alike = expected(folder)
    torch.testing.assert_close(found, embeddings, atol=1e-6, rtol=0)
    torch.testing.assert_close(model.similarity(found[[0, 2, 3]], found[[1, 4]]), alike, atol=1e-6, rtol=0)
    assert model.encode(PLOTS[0]).shape == (model.get_embedding_dimension(),) == (found.shape[1],)


def test_a_poster_whose_words_nobody_gives_is_read_as_the_processor_reads(tmp_path, monkeypatch):
    tiny_model(use_poster_text=True).save_pretrained(tmp_path)
    processor = tiny_processor()
    processor.run_ocr = True
    processor.save_pretrained(tmp_path)
    model = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    monkeypatch.setattr(type(model.processor), "_read", lambda self, poster: LINES)
    poster = Image.effect_noise((40, 60), 90)
    given = [poster, {"image": poster, "text": LINES}, {"image": poster, "text": "A Sea"}]
    read, same, other = model.encode(given, convert_to_tensor=True)
    torch.testing.assert_close(read, same)  # the last bits depend on the place in the batch
    assert not torch.allclose(read, other, atol=1e-3)


def test_what_sentence_transformers_saves_either_library_loads(folder, inputs, tmp_path):
    SentenceTransformer(str(folder), trust_remote_code=True).save_pretrained(str(tmp_path))
    again = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    torch.testing.assert_close(again.encode(inputs, convert_to_tensor=True), expected(folder)[0], atol=1e-6, rtol=0)
    weights = PosterCLIPModel.from_pretrained(tmp_path).state_dict()
    for name, weight in PosterCLIPModel.from_pretrained(folder).state_dict().items():
        assert torch.equal(weights[name], weight), name


def test_a_string_is_a_text_even_if_it_names_an_image(folder):
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    named = [str(folder / "0.png"), f"file://{folder}/0.png", "https://example.org/0.png"]
    output = model[0].model.eval()(**tiny_processor()(text=named, return_tensors="pt"))
    torch.testing.assert_close(model.encode(named, convert_to_tensor=True), output.text_embeds.detach())


def test_a_prompt_stands_before_plots(folder):
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    found = model.encode([PLOTS[0], {"text": PLOTS[0]}], prompt="Find", convert_to_tensor=True)
    torch.testing.assert_close(found, model.encode([f"Find{PLOTS[0]}"] * 2, convert_to_tensor=True))


def test_the_length_at_which_texts_are_cut_can_be_set(folder, tmp_path):
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    assert model.max_seq_length == 32
    model.max_seq_length = 6
    cut = model.encode("abcdefgh", convert_to_tensor=True)
    torch.testing.assert_close(cut, model.encode("abcd", convert_to_tensor=True))
    model.save_pretrained(str(tmp_path))
    assert SentenceTransformer(str(tmp_path), trust_remote_code=True).max_seq_length == 6


def trained(model: SentenceTransformer, rows: list[dict], output_dir) -> SentenceTransformerTrainer:
    """A trainer that trained a model on pairs of a poster and a plot, and kept the best of three steps."""
    arguments = SentenceTransformerTrainingArguments(
        str(output_dir),
        max_steps=3,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    data, loss = Dataset.from_list(rows), MultipleNegativesRankingLoss(model)
    trainer = SentenceTransformerTrainer(model, arguments, train_dataset=data, eval_dataset=data, loss=loss)
    trainer.train()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("form", ["image", "image and text"])
def test_its_trainer_trains_a_saved_folder(folder, form, tmp_path):
    model = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    images = [Image.effect_noise((40, 60), 20 + i).convert("RGB") for i in range(8)]
    if form == "image and text":
        for i, image in enumerate(images):
            image.save(tmp_path / f"{i}.png")
        posters = [{"image": str(tmp_path / f"{i}.png"), "text": "abcdefgh"[i:]} for i in range(8)]
    rows = [{"poster": (images if form == "image" else posters)[i], "plot": "abcdefgh"[i:] + "xyz"} for i in range(8)]
    before = {name: value.clone() for name, value in model[0].model.state_dict().items()}
    trainer = trained(model, rows, tmp_path / "run")

    losses = {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}
    assert set(losses) == {1, 2, 3} and trainer.state.best_metric == min(losses.values())
    after = model[0].model.state_dict()
    for name in ("text_projection.weight", "visual_projection.weight"):
        assert not torch.equal(after[name], before[name]), name
    best = PosterCLIPModel.from_pretrained(trainer.state.best_model_checkpoint).state_dict()
    assert all(torch.equal(after[name], value) for name, value in best.items())


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ({"image": "posters/none.jpg"}, (OSError, ValueError), "posters/none.jpg"),
        ({"image": Image.new("RGB", (9, 9)), "title": "Jaws"}, ValueError, "'title'"),
        ({}, ValueError, "not one with"),
    ],
)
def test_what_is_neither_is_named(folder, bad, error, words):
    with pytest.raises(error, match=words):
        SentenceTransformer(str(folder), trust_remote_code=True).encode([bad])


def test_another_backend_is_refused(folder):
    with pytest.raises(ValueError, match="backend='onnx'"):
        SentenceTransformer(str(folder), trust_remote_code=True, backend="onnx")
