import pytest
import torch

from modeling.inference.encoding import encode_images, encode_texts
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model, tiny_processor

PLOTS = ["a", "a bc d", "b c d e f g h", "", "ab", "c d", "abc def gh"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_processor().tokenizer


def posters_of(model, batches) -> torch.Tensor:
    return encode_images(model, [{"pixel_values": pixels} for pixels in batches])


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
    together = posters_of(model, [posters])
    torch.testing.assert_close(posters_of(model, posters.split(1)), together, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, model.vision_features(posters).detach(), atol=1e-5, rtol=0)


def test_features_do_not_depend_on_the_number_of_threads(tokenizer):
    model, posters = tiny_model("efficientnet").eval(), tiny_batch(7)["pixel_values"]
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append((posters_of(model, [posters]), encode(model, tokenizer, PLOTS, 8)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


def test_encoding_is_without_dropout_and_gradients_and_restores_the_mode(tokenizer):
    model, posters = tiny_model().train(), tiny_batch(4)["pixel_values"]
    features = [posters_of(model, [posters]), encode(model, tokenizer, PLOTS, 8)]
    assert model.training and model.text_model.training
    model.eval()
    for one, two in zip(features, [posters_of(model, [posters]), encode(model, tokenizer, PLOTS, 8)], strict=True):
        assert torch.equal(one, two) and not one.requires_grad
