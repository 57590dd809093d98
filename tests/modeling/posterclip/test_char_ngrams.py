import math
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from modeling import PosterCLIPModel
from modeling.posterclip.char_ngrams import CharNgrams, spelling
from tests.tiny import tiny_model, tiny_processor

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "whale", "wha", "##le", "##s", "hunt", "##ed", "moby", "-", "dick"]
TEXTS = ["A whale hunted", "whales hunt a whale whale", "Moby-Dick", "a dick hunted"]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """Word pieces, as BERT has them."""
    tokens = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokens.normalizer = normalizers.Lowercase()
    tokens.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokens.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, model_input_names=["input_ids", "attention_mask"], model_max_length=32, **names
    )


def fitted(tokenizer, dim: int = 2**16) -> CharNgrams:
    bag = CharNgrams(len(WORDS), dim)
    bag.fit(tokenizer, TEXTS)
    return bag


def bags(bag: CharNgrams, tokenizer, texts: list[str]) -> torch.Tensor:
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    return bag(inputs["input_ids"], inputs["attention_mask"])


def grams(text: str) -> Counter:
    """The 4-grams of a text's words, space around each word, the plain way."""
    words = [f" {word} " for word in text.lower().replace("-", " ").split()]
    return Counter(word[i : i + 4] for word in words for i in range(len(word) - 3))


def test_a_product_of_bags_is_that_of_the_weighted_counts_of_4_grams(tokenizer):
    counts = [grams(text) for text in TEXTS]
    weight = {g: math.log((len(TEXTS) + 1) / (sum(g in of for of in counts) + 1)) for of in counts for g in of}
    expected = [[sum(one[g] * other[g] * weight[g] ** 2 for g in one) for other in counts] for one in counts]
    found = bags(fitted(tokenizer), tokenizer, TEXTS)
    torch.testing.assert_close(found @ found.T, torch.tensor(expected))


def test_pieces_of_a_word_are_spelled_as_one(tokenizer):
    bag = fitted(tokenizer)
    whole, pieces = bag(torch.tensor([[5, 0]])), bag(torch.tensor([[6, 7]]))
    assert torch.equal(whole, pieces) and whole.any()


def test_a_text_has_the_same_bag_in_every_batch_and_with_any_padding(tokenizer):
    bag, together = fitted(tokenizer), bags(fitted(tokenizer), tokenizer, TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        assert torch.equal(found, bags(bag, tokenizer, [text])[0])


def test_what_has_no_words_has_an_empty_bag(tokenizer):
    bag = fitted(tokenizer)
    assert not bags(bag, tokenizer, ["", "a", "- -"]).any()
    assert not bag(torch.tensor([[5, 9]]), torch.tensor([[0, 0]])).any()


def test_a_bag_that_was_not_fitted_is_empty():
    assert not CharNgrams(10, 16)(torch.arange(10)[None]).any()


def test_what_collides_is_in_the_mean_neither_alike_nor_unlike():
    """Signs make the product of texts without a word in common 0 in the mean (Weinberger et al. 2009, lemma 2)."""
    bag, words = CharNgrams(2000, 32), torch.randint(97, 123, (2000, 8), generator=torch.Generator().manual_seed(0))
    bag.characters[:, :8] = words
    one, other = bag(torch.arange(2000)[:, None]).split(1000)
    products = (one * other).sum(1)
    assert (products != 0).float().mean() > 0.1
    assert products.mean().abs() < 4 * products.std() / len(products) ** 0.5


def test_spelling_marks_where_words_begin(tokenizer):
    def text(row: torch.Tensor) -> str:
        return "".join(map(chr, row[row > 0].tolist()))

    rows = spelling(tokenizer, len(WORDS))
    assert [text(rows[i]) for i in (0, 3, 5, 7, 12)] == ["", "", " whale", "le", "  "]
    bpe = Tokenizer(models.BPE({"[UNK]": 0, "Ġwhale": 1, "s": 2, "Été": 3}, []))
    rows = spelling(PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="[UNK]"), 4)
    assert [text(row) for row in rows] == ["", " whale", "s", "été"]


def test_a_fitted_bag_is_saved_and_does_not_train(tmp_path):
    model = tiny_model(use_poster_text=True, char_ngram_dim=32)
    model.char_ngrams.fit(tiny_processor().tokenizer, ["A whale", "A shark"])
    assert not any(name.startswith("char_ngrams.") for name, _ in model.named_parameters())
    model.save_pretrained(tmp_path)
    loaded = PosterCLIPModel.from_pretrained(tmp_path)
    for name, value in model.char_ngrams.state_dict().items():
        assert torch.equal(loaded.char_ngrams.state_dict()[name], value)
    assert loaded.char_ngrams.characters.any()


def test_what_a_file_lacks_of_the_words_is_as_in_a_new_model(tmp_path):
    model = tiny_model(use_poster_text=True, char_ngram_dim=32)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lacking = {
        "char_ngrams.weight",
        "char_ngrams.characters",
        "char_ngram_weight",
        "image_weight",
        "text_projection.weight",
    }
    assert lacking <= weights.keys()
    kept = {name: weight for name, weight in weights.items() if name not in lacking}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = PosterCLIPModel.from_pretrained(tmp_path)
    assert (loaded.char_ngrams.weight == 1).all() and not loaded.char_ngrams.characters.any()
    assert loaded.char_ngram_weight == model.char_ngram_weight and loaded.image_weight == model.image_weight
    turned = loaded.text_projection.weight
    torch.testing.assert_close(turned @ turned.T, torch.eye(8), atol=1e-5, rtol=0)
    for name, weight in kept.items():
        assert torch.equal(loaded.state_dict()[name], weight), name
