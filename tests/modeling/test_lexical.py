import math
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file, save_file

from modeling import PosterCLIPModel
from modeling.lexical import TokenBag
from tests.tiny import tiny_model

TEXTS = [[1, 5, 6, 2], [1, 6, 7, 7, 2], [1, 8, 2], [1, 9, 9, 9, 6, 2]]


def padded(texts: list[list[int]], length: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([tokens + [0] * (length - len(tokens)) for tokens in texts])
    mask = torch.tensor([[1] * len(tokens) + [0] * (length - len(tokens)) for tokens in texts])
    return ids, mask


def without_collision(tokens: int) -> TokenBag:
    """A bag in which every token has a place of its own."""
    for dim in range(64, 4096):
        bag = TokenBag(tokens, dim)
        places = bag(torch.arange(tokens)[:, None]).nonzero()[:, 1]
        if len(set(places.tolist())) == tokens:
            return bag
    raise AssertionError("no size without a collision")


def test_a_product_of_bags_is_that_of_the_weighted_counts():
    bag = without_collision(16)
    bag.fit(TEXTS)
    weights, counts = bag.weight.tolist(), [Counter(tokens) for tokens in TEXTS]
    expected = [[sum(one[t] * other[t] * weights[t] ** 2 for t in one) for other in counts] for one in counts]
    bags = bag(*padded(TEXTS))
    torch.testing.assert_close(bags @ bags.T, torch.tensor(expected))


def test_what_collides_is_in_the_mean_neither_alike_nor_unlike():
    """Signs make the product of texts without a word in common 0 in the mean (Weinberger et al. 2009, lemma 2)."""
    tokens = torch.randperm(3000)
    one, other = TokenBag(3000, 32)(tokens[:, None]).split(1500)
    products = (one * other).sum(1)
    assert 0 < (products != 0).float().mean() < 0.1
    assert products.mean().abs() < 4 * products.std() / len(products) ** 0.5


def test_the_places_of_a_vocabulary_are_evenly_taken():
    counts = TokenBag(30000, 64)(torch.arange(30000)[:, None]).abs().sum(0)
    assert counts.sum() == 30000 and counts.min() > 300 and counts.max() < 650


def test_padding_counts_nothing():
    bag = TokenBag(16, 64)
    for tokens, found in zip(TEXTS, bag(*padded(TEXTS)), strict=True):
        assert torch.equal(found, bag(torch.tensor([tokens]))[0])
    assert not bag(torch.tensor([[3, 4]]), torch.tensor([[0, 0]])).any()


def test_tokens_are_weighed_by_the_texts_that_have_them():
    bag = TokenBag(16, 64)
    bag.fit(TEXTS)
    for token in range(16):
        having = sum(token in tokens for tokens in TEXTS)
        assert bag.weight[token].item() == pytest.approx(math.log((len(TEXTS) + 1) / (having + 1)))
    assert bag.weight[1] == bag.weight[2] == 0  # in all texts: what a tokenizer adds to each
    assert bag.weight.argmax() not in {token for tokens in TEXTS for token in tokens}


def test_fitted_weights_are_saved_and_do_not_train(tmp_path):
    model = tiny_model(poster_text=True, lexical_dim=32)
    model.lexical.fit(TEXTS)
    assert not any(name.startswith("lexical.") for name, _ in model.named_parameters())
    model.save_pretrained(tmp_path)
    loaded = PosterCLIPModel.from_pretrained(tmp_path)
    assert torch.equal(loaded.lexical.weight, model.lexical.weight) and not loaded.lexical.weight.equal(torch.ones(64))


def test_what_a_file_lacks_of_the_words_is_as_in_a_new_model(tmp_path):
    model = tiny_model(poster_text=True, lexical_dim=32)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lacking = {"lexical.weight", "lexical_weight", "vision_weight", "text_projection.weight"}
    assert lacking <= weights.keys()
    kept = {name: weight for name, weight in weights.items() if name not in lacking}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = PosterCLIPModel.from_pretrained(tmp_path)
    assert torch.equal(loaded.lexical.weight, torch.ones(64))
    assert loaded.lexical_weight.item() == 1 and loaded.vision_weight.item() == model.vision_weight.item()
    turned = loaded.text_projection.weight
    torch.testing.assert_close(turned @ turned.T, torch.eye(8), atol=1e-5, rtol=0)
    for name, weight in kept.items():
        assert torch.equal(loaded.state_dict()[name], weight), name
