import pytest
import torch

from modeling.inference.encoding import (
    embed,
    encode_plots,
    encode_posters,
    plot_features,
    poster_features,
    poster_text_features,
)
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model, tiny_words

PAIRS = 19


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    batch = tiny_batch(PAIRS, tokens=12)
    lengths = torch.arange(PAIRS) % 9 + 3
    batch["attention_mask"] = (torch.arange(12) < lengths[:, None]).long()
    batch["input_ids"] *= batch["attention_mask"]
    return batch


@pytest.mark.parametrize("vision", VISION)
def test_on_the_cpu_the_feature_of_a_poster_does_not_depend_on_its_batch(vision, batch):
    model = tiny_model(vision).eval()
    posters = batch["pixel_values"]
    expected = poster_features(model, posters)
    torch.testing.assert_close(expected, model.vision_features(posters).detach())
    for size in (1, 3, 10):
        assert torch.equal(torch.cat([poster_features(model, rows) for rows in posters.split(size)]), expected)
    order = torch.randperm(PAIRS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(poster_features(model, posters[order]), expected[order])


@pytest.mark.parametrize("text", TEXT)
def test_on_the_cpu_the_feature_of_a_plot_does_not_depend_on_its_batch(text, batch):
    model = tiny_model(text=text).eval()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    expected = plot_features(model, ids, mask)
    torch.testing.assert_close(expected, model.text_features(ids, mask).detach(), atol=1e-5, rtol=1e-4)
    order = torch.randperm(PAIRS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plot_features(model, ids[order], mask[order]), expected[order])
    for row, length in enumerate(mask.sum(1)):  # without the padding that others ask for
        assert torch.equal(
            plot_features(model, ids[row : row + 1, :length], mask[row : row + 1, :length])[0], expected[row]
        )


def test_encoding_is_without_dropout_and_leaves_the_mode_as_it_was(batch):
    model = tiny_model().train()
    posters = encode_posters(model, [{"pixel_values": rows} for rows in batch["pixel_values"].split(4)])
    names = ("input_ids", "attention_mask")
    plots = encode_plots(model, [{name: batch[name] for name in names}])
    assert model.training and model.text_model.training
    model.eval()
    assert torch.equal(posters, poster_features(model, batch["pixel_values"]))
    assert torch.equal(plots, plot_features(model, *(batch[name] for name in names)))
    assert not posters.requires_grad


@pytest.mark.parametrize("text", TEXT)
def test_on_the_cpu_the_feature_of_a_posters_words_does_not_depend_on_its_batch(text):
    model = tiny_model(text=text, use_poster_text=True, char_ngram_dim=32).eval()
    ids, mask = tiny_words(PAIRS, tokens=12).values()
    expected = poster_text_features(model, ids, mask)
    torch.testing.assert_close(expected, model.poster_text_features(ids, mask).detach(), atol=1e-5, rtol=1e-4)
    order = torch.randperm(PAIRS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(poster_text_features(model, ids[order], mask[order]), expected[order])
    assert not expected[1].any() and expected[[0, *range(2, PAIRS)]].any(1).all()
    assert torch.equal(expected[:1], plot_features(model, ids[:1], mask[:1]))  # words are read as a plot is


def test_features_are_embedded_as_the_model_embeds_what_they_are_of():
    model = tiny_model(use_poster_text=True, char_ngram_dim=32).eval()
    batch, words = tiny_batch(), tiny_words()
    texts = plot_features(model, batch["input_ids"], batch["attention_mask"])
    looks = poster_features(model, batch["pixel_values"])
    for given, printed in (({}, None), (words, poster_text_features(model, *words.values()))):
        found, expected = embed(model, looks, texts, printed), model(**batch, **given)
        for one, other in zip(found, (expected.image_embeds, expected.text_embeds), strict=True):
            torch.testing.assert_close(one, other.detach(), atol=1e-5, rtol=1e-4)
