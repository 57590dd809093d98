"""Every poster encoder with every plot encoder: loss, training step, save, load elsewhere, initialisation."""

from itertools import product
from pathlib import Path

import pytest
import torch

from modeling import PosterCLIPModel
from tests.elsewhere import run_without_clone
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model, tiny_words, train_on_one_batch

PAIRS = list(product(VISION, TEXT))
ONCE_EACH = {(vision, list(TEXT)[i % len(TEXT)]) for i, vision in enumerate(VISION)}
AUTO_CLASSES = ("AutoModel", "AutoModelForZeroShotImageClassification")
READERS = [("vit", "modernbert"), ("swin", "roberta"), ("efficientnet", "mpnet"), ("clip_vision_model", "distilbert")]


def reading_model(vision: str, text: str) -> PosterCLIPModel:
    """A model with poster text and n-grams."""
    model = tiny_model(vision, text, use_poster_text=True, char_ngram_dim=32)
    model.char_ngrams.weight.uniform_()
    return model


@pytest.fixture(scope="module")
def loaded_elsewhere(tmp_path_factory) -> Path:
    """All pairs saved here, loaded by one clean process in an empty directory."""
    root, empty, cache = (tmp_path_factory.mktemp(name) for name in ("saved", "empty", "cache"))
    torch.save({**tiny_batch(), **tiny_words()}, root / "inputs.pt")
    for vision, text in PAIRS:
        tiny_model(vision, text).save_pretrained(root / f"{vision}-{text}")
    for vision, text in READERS:
        reading_model(vision, text).save_pretrained(root / f"{vision}-{text}-reads")
    run_without_clone(Path(__file__).with_name("load_elsewhere.py"), str(root), cwd=empty, cache=cache)
    return root


@pytest.mark.parametrize(
    ("vision", "text"),
    [pytest.param(*pair, marks=() if pair in ONCE_EACH else pytest.mark.slow) for pair in PAIRS],
)
def test_training_reaches_every_weight_and_lowers_the_loss(vision, text):
    model, batch = tiny_model(vision, text).train(), tiny_batch()
    losses = train_on_one_batch(model, batch)
    untouched = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert untouched <= {"vision_model.embeddings.mask_token"}  # for masked pretraining only
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize(("vision", "text"), PAIRS)
def test_a_saved_folder_gives_the_same_bits_where_the_clone_is_not_importable(vision, text, loaded_elsewhere):
    with torch.no_grad():
        here = tiny_model(vision, text).eval()(**tiny_batch())
    for auto in AUTO_CLASSES:
        there = torch.load(loaded_elsewhere / f"{vision}-{text}" / f"{auto}.pt")
        assert there.keys() == here.keys()
        for name, value in here.items():
            assert torch.equal(value, there[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(("vision", "text"), READERS)
def test_a_model_that_reads_posters_gives_the_same_bits_there(vision, text, loaded_elsewhere):
    with torch.no_grad():
        here = reading_model(vision, text).eval()(**tiny_batch(), **tiny_words())
    folder = loaded_elsewhere / f"{vision}-{text}-reads"
    assert (folder / "char_ngrams.py").is_file()
    for auto in AUTO_CLASSES:
        there = torch.load(folder / f"{auto}.pt")
        for name, value in here.items():
            assert value.isfinite().all() and torch.equal(value, there[name]), name


@pytest.mark.parametrize(("vision", "text"), READERS)
def test_training_on_poster_text_reaches_every_weight_and_lowers_the_loss(vision, text):
    model, batch = reading_model(vision, text).train(), {**tiny_batch(), **tiny_words()}
    losses = train_on_one_batch(model, batch)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    assert losses[-1] < losses[0]
