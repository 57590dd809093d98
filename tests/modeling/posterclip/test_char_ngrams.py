"""N-gram embeddings: dot products of weighted counts of 4-grams, in any language and by any tokenizer."""

import math
from collections import Counter

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from modeling import PosterCLIPModel
from modeling.posterclip.char_ngrams import CharNgrams, folded_characters, token_bytes
from tests.tiny import tiny_model, tiny_processor

SPECIAL = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
WORDS = [*SPECIAL.values(), "a", "whale", "wha", "##le", "##s", "hunt", "##ed", "moby", "-", "dick"]
TEXTS = ["A whale hunted", "whales hunt a whale whale", "Moby-Dick", "a dick hunted"]
TITLES = {
    "English": "The Old Lighthouse",
    "French": "Été à Besançon, forêt brûlée",
    "Russian": "Война и мир, чёрный конь",
    "Turkish": "Kızıl İstanbul ışığı, şöför",
    "Chinese": "红高粱家族的故事",
    "Japanese": "千と千尋の神隠し",
    "Thai": "องค์บาก",
}


def wrapped(tokens: Tokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer with the special tokens [CLS] before and [SEP] after a text."""
    tokens.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL.values()])
    ends = [(token, tokens.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokens.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"model_input_names": ["input_ids", "attention_mask"], "model_max_length": 512}
    return PreTrainedTokenizerFast(tokenizer_object=tokens, **names, **SPECIAL)


def word_piece(words: list[str]) -> PreTrainedTokenizerFast:
    """Pieces of words in small letters without accents, as BERT has them."""
    tokens = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokens.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokens.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return wrapped(tokens)


def by_characters() -> PreTrainedTokenizerFast:
    """Word pieces of single characters, of all that occur in titles."""
    normal = normalizers.BertNormalizer(lowercase=True).normalize_str(" ".join(TITLES.values()))
    letters = sorted({*normal, *"abcdefghijklmnopqrstuvwxyz"} - {" "})
    return word_piece([*SPECIAL.values(), *letters, *(f"##{letter}" for letter in letters)])


def byte_level() -> PreTrainedTokenizerFast:
    """Bytes, as the tokenizers of RoBERTa and GPT-2 write them; letters beyond ASCII are several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "Ġt", "th", "Ð²"])}
    tokens = Tokenizer(models.BPE(vocabulary, [("Ġ", "t"), ("t", "h"), ("Ð", "²")]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokens.decoder = decoders.ByteLevel()
    return wrapped(tokens)


def sentence_piece() -> PreTrainedTokenizerFast:
    """Unigrams with marked spaces, as XLM-RoBERTa has them, and bytes for what is no token."""
    letters = sorted(set("▁abcdefghijklmnopqrstuvwxyzTOLÉЁ红高"))
    pieces = [("[UNK]", 0.0), *((letter, -5.0) for letter in letters), ("▁the", -3.0)]
    pieces += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    tokens = Tokenizer(models.Unigram(pieces, 0, byte_fallback=True))
    tokens.pre_tokenizer = pre_tokenizers.Metaspace()
    return wrapped(tokens)


def end_of_word() -> PreTrainedTokenizerFast:
    """Byte-level tokens that mark where words end, as CLIP's do."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, *(f"{letter}</w>" for letter in alphabet)])}
    tokens = Tokenizer(models.BPE(vocabulary, [], end_of_word_suffix="</w>"))
    split = pre_tokenizers.Split(pattern=" ", behavior="removed")
    tokens.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return wrapped(tokens)


TOKENIZERS = [by_characters, byte_level, sentence_piece, end_of_word]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return word_piece(WORDS)


def fitted(tokenizer, dim: int = 2**16, texts: list[str] = TEXTS) -> CharNgrams:
    ngrams = CharNgrams(len(tokenizer), dim)
    ngrams.fit(tokenizer, texts)
    return ngrams


def embed(ngrams: CharNgrams, tokenizer, texts: list[str]) -> torch.Tensor:
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    return ngrams(inputs["input_ids"], inputs["attention_mask"])


def counts_of_4_grams(text: str) -> Counter:
    """The 4-grams of a text's words with a space around each word, the plain way."""
    words = [f" {word} " for word in text.lower().replace("-", " ").split()]
    return Counter(word[i : i + 4] for word in words for i in range(len(word) - 3))


def test_a_dot_product_is_that_of_the_weighted_counts_of_4_grams(tokenizer):
    counts = [counts_of_4_grams(text) for text in TEXTS]
    weight = {g: math.log((len(TEXTS) + 1) / (sum(g in other for other in counts) + 1)) for one in counts for g in one}
    expected = [[sum(one[g] * other[g] * weight[g] ** 2 for g in one) for other in counts] for one in counts]
    found = embed(fitted(tokenizer), tokenizer, TEXTS)
    torch.testing.assert_close(found @ found.T, torch.tensor(expected))


def test_pieces_of_a_word_are_spelled_as_one(tokenizer):
    ngrams = fitted(tokenizer)
    whole, pieces = (
        ngrams(torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])) for tokens in (["whale"], ["wha", "##le"])
    )
    assert torch.equal(whole, pieces) and whole.any()


@pytest.mark.parametrize("language", TITLES)
@pytest.mark.parametrize("make", TOKENIZERS)
def test_a_title_in_capitals_finds_the_plot_that_names_it_in_small_letters(make, language):
    tokenizer, title = make(), TITLES[language]
    lower = title.replace("İ", "i").lower()  # Python would leave the dot as a mark of its own
    plots = [f"abc {lower} xyz", *(other.lower() for name, other in TITLES.items() if name != language)]
    ngrams = fitted(tokenizer, texts=plots)
    capitals, small, *embedded = embed(ngrams, tokenizer, [title.upper(), lower, *plots])
    assert capitals.any() and torch.equal(capitals, small)
    scores = torch.stack(embedded) @ capitals
    assert scores.argmax() == 0 and scores[0] > 0.9 * (capitals @ capitals)


@pytest.mark.parametrize("make", TOKENIZERS)
def test_every_tokenizer_gives_the_same_embedding(make):
    """Spelling alone decides, so word pieces are the reference for all."""
    texts = ["the old lighthouse", "forêt brûlée", "чёрный конь", "红高粱", "xyz"]
    expected = embed(fitted(by_characters(), texts=texts), by_characters(), texts)
    torch.testing.assert_close(embed(fitted(make(), texts=texts), make(), texts), expected)


def test_a_pair_of_neighbours_is_an_n_gram_where_words_have_no_spaces():
    tokenizer = by_characters()
    ngrams = fitted(tokenizer, texts=["红高粱", "xyz"])
    whole, first, second, apart = embed(ngrams, tokenizer, ["红高粱", "红高", "高粱", "红粱"])
    torch.testing.assert_close(whole, first + second)
    assert first @ second == 0 and apart @ whole == 0


def test_a_character_that_is_cut_off_is_left_out():
    tokenizer = byte_level()
    ngrams, ids = fitted(tokenizer, texts=["xyz", "红高粱"]), tokenizer("红高粱", add_special_tokens=False)["input_ids"]
    whole, cut = ngrams(torch.tensor([ids])), ngrams(torch.tensor([ids[:-1]]))
    assert whole.any() and torch.equal(cut[0], embed(ngrams, tokenizer, ["红高"])[0])


def test_a_text_has_the_same_embedding_in_every_batch_and_with_any_padding(tokenizer):
    ngrams, together = fitted(tokenizer), embed(fitted(tokenizer), tokenizer, TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        assert torch.equal(found, embed(ngrams, tokenizer, [text])[0])


def test_a_text_without_words_has_an_embedding_of_zeros(tokenizer):
    ngrams = fitted(tokenizer)
    assert not embed(ngrams, tokenizer, ["", "a", "- -"]).any()
    assert not ngrams(torch.tensor([[5, 9]]), torch.tensor([[0, 0]])).any()


def test_before_it_is_fitted_embeddings_are_zeros():
    assert not CharNgrams(10, 16)(torch.arange(10)[None]).any()


def test_texts_without_a_word_in_common_have_a_dot_product_of_0_in_the_mean():
    """Signs cancel collisions (Weinberger et al. 2009, lemma 2)."""
    ngrams = CharNgrams(2000, 32)
    ngrams.folded.copy_(folded_characters())
    ngrams.token_bytes[:, :8] = torch.randint(97, 123, (2000, 8), generator=torch.Generator().manual_seed(0))
    one, other = ngrams(torch.arange(2000)[:, None]).split(1000)
    products = (one * other).sum(1)
    assert (products != 0).float().mean() > 0.1
    assert products.mean().abs() < 4 * products.std() / len(products) ** 0.5


def test_tokens_are_spelled_with_the_spaces_of_the_text():
    def spelled(tokenizer: PreTrainedTokenizerFast, tokens: list[str]) -> list[bytes]:
        table = token_bytes(tokenizer, len(tokenizer))
        return [bytes(table[tokenizer.convert_tokens_to_ids(token)].tolist()).rstrip(b"\0") for token in tokens]

    assert spelled(word_piece(WORDS), ["[PAD]", "whale", "##le", "-"]) == [b"", b" whale", b"le", b" -"]
    assert spelled(byte_level(), ["[CLS]", "Ġt", "th", "Ð²", "Ð"]) == [b"", b" t", b"th", "в".encode(), b"\xd0"]
    assert spelled(sentence_piece(), ["▁the", "É", "<0xC3>"]) == [b" the", "É".encode(), b"\xc3"]
    assert spelled(end_of_word(), ["a", "a</w>"]) == [b"a", b"a "]


def test_a_fitted_module_is_saved_and_does_not_train(tmp_path):
    model = tiny_model(use_poster_text=True, char_ngram_dim=32)
    model.char_ngrams.fit(tiny_processor().tokenizer, ["A whale", "A shark"])
    assert not any(name.startswith("char_ngrams.") for name, _ in model.named_parameters())
    model.save_pretrained(tmp_path)
    loaded = PosterCLIPModel.from_pretrained(tmp_path)
    for name, value in model.char_ngrams.state_dict().items():
        assert torch.equal(loaded.char_ngrams.state_dict()[name], value)


def test_spelled_n_grams_add_up_to_the_embedding():
    ngrams, tokenizer = CharNgrams(64, 512), tiny_processor().tokenizer
    ngrams.fit(tokenizer, ["moby dick", "jaws"])
    ids = torch.tensor(tokenizer("Moby")["input_ids"])
    expected, found = ngrams(ids[None])[0], torch.zeros(512)
    for _, entry, value in ngrams.spelled(ids):
        found[entry] += value
    torch.testing.assert_close(found, expected)
    assert [spelling for spelling, *_ in ngrams.spelled(ids)] == [" mob", "moby", "oby "]


def glued() -> PreTrainedTokenizerFast:
    """Byte-level tokens of which one holds the end of a prompt and the beginning of a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Tokenizer(models.BPE({token: i for i, token in enumerate([*alphabet, ":T"])}, [(":", "T")]))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokens.decoder = decoders.ByteLevel()
    return wrapped(tokens)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("prompt", ["passage: ", "Instruct: find a film\nQuery:", "title: none | text: "])
@pytest.mark.parametrize("make", [*TOKENIZERS, glued])
def test_a_prompt_is_no_part_of_the_ngrams(make, prompt, side):
    processor = tiny_processor()
    processor.tokenizer, texts = make(), ["The Old Lighthouse", *TITLES.values(), f"Query {prompt}"]
    processor.tokenizer.padding_side = side
    plain = processor(text=texts, return_tensors="pt")
    processor.text_prompt, processor.poster_text_prompt = prompt, f"{prompt}another: "
    ngrams = CharNgrams(len(processor.tokenizer), 4096, processor.prompt_ids)
    ngrams.fit(processor.tokenizer, texts)
    expected = ngrams(**plain)
    assert expected.any(1).all()
    assert torch.equal(ngrams(**processor(text=texts, return_tensors="pt")), expected)
    read = processor(poster_text=texts, return_tensors="pt")
    assert torch.equal(ngrams(read["poster_input_ids"], read["poster_attention_mask"]), expected)
