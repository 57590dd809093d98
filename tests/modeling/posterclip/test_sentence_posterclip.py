"""A saved folder is a model of sentence-transformers."""

import pytest
import torch
from PIL import Image
from sentence_transformers import SentenceTransformer

from modeling import PosterCLIPModel
from tests.tiny import tiny_model, tiny_processor

LINES = [{"text": "The Whale", "score": 0.9, "box": [0.1, 0.1, 0.9, 0.3]}]
PLOTS = ["A whale is hunted.", "A shark"]


@pytest.fixture(scope="module", params=[{}, {"use_poster_text": True, "char_ngram_dim": 16}], ids=["looks", "reads"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tiny_model(**request.param).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    for i in range(3):
        Image.effect_noise((40, 60), 40 * (i + 1)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def inputs(folder):
    """Posters and plots as they come: an image with words, a plot, two paths, another plot."""
    posters = [Image.open(folder / "0.png"), str(folder / "1.png"), folder / "2.png"]
    return [
        {"image": posters[0], "text": LINES},
        PLOTS[0],
        posters[1],
        {"image": posters[2], "text": "A Sea"},
        PLOTS[1],
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


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ("posters/none.jpg", FileNotFoundError, "posters/none.jpg"),
        ({"image": Image.new("RGB", (9, 9)), "title": "Jaws"}, ValueError, "'title'"),
        ({"text": "Jaws"}, ValueError, "not one of 'text'"),
    ],
)
def test_what_is_neither_is_named(folder, bad, error, words):
    with pytest.raises(error, match=words):
        SentenceTransformer(str(folder), trust_remote_code=True).encode([bad])


def test_another_backend_is_refused(folder):
    with pytest.raises(ValueError, match="backend='onnx'"):
        SentenceTransformer(str(folder), trust_remote_code=True, backend="onnx")
