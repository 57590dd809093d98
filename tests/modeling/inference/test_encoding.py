import pytest
import torch

from modeling.inference.encoding import embed, encode_images, encode_texts
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model, tiny_processor, tiny_words

PLOTS = ["a", "a bc d", "b c d e f g h", "", "ab", "c d", "abc def gh"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_processor().tokenizer


def encode(model, tokenizer, texts, batch_size) -> torch.Tensor:
    return encode_texts(model, tokenizer, tokenizer(texts)["input_ids"], batch_size)


@pytest.mark.parametrize("text", TEXT)
def test_the_feature_of_a_text_does_not_depend_on_its_batch(text, tokenizer):
    model = tiny_model(text=text).eval()
    together = encode(model, tokenizer, PLOTS, 32)
    one_by_one = torch.cat([encode(model, tokenizer, [plot], 1) for plot in PLOTS])
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=0)
    torch.testing.assert_close(encode(model, tokenizer, PLOTS[::-1], 4).flip(0), together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("vision", VISION)
def test_the_feature_of_a_poster_does_not_depend_on_its_batch(vision):
    model, posters = tiny_model(vision).eval(), tiny_batch(7)["pixel_values"]
    together = encode_images(model, [posters])
    torch.testing.assert_close(encode_images(model, posters.split(1)), together, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, model.vision_features(posters).detach(), atol=1e-5, rtol=0)


def test_features_do_not_depend_on_the_number_of_threads(tokenizer):
    model, posters = tiny_model("efficientnet").eval(), tiny_batch(7)["pixel_values"]
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append((encode_images(model, [posters]), encode(model, tokenizer, PLOTS, 8)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_encoding_is_without_dropout_and_gradients_and_restores_the_mode(tokenizer):
    model, posters = tiny_model().train(), tiny_batch(4)["pixel_values"]
    features = [encode_images(model, [posters]), encode(model, tokenizer, PLOTS, 8)]
    assert model.training and model.text_model.training
    model.eval()
    for one, two in zip(features, [encode_images(model, [posters]), encode(model, tokenizer, PLOTS, 8)], strict=True):
        assert torch.equal(one, two) and not one.requires_grad


def test_features_are_embedded_as_the_model_embeds_their_inputs():
    model = tiny_model(use_poster_text=True, char_ngram_dim=32).eval()
    batch, words = tiny_batch(), tiny_words()
    images = encode_images(model, [batch["pixel_values"]])
    texts = model.text_features(batch["input_ids"], batch["attention_mask"])
    for given, poster_texts in (({}, None), (words, model.text_features(*words.values()))):
        found, expected = embed(model, images, texts, poster_texts), model(**batch, **given)
        for one, other in zip(found, (expected.image_embeds, expected.text_embeds), strict=True):
            torch.testing.assert_close(one, other.detach(), atol=1e-5, rtol=1e-4)
