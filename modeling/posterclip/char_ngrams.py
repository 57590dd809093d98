"""Character n-grams of texts, computed from token ids: an embedding that matches texts by their spelling."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.convert_slow_tokenizer import bytes_to_unicode

GRAM = 4  # characters of an n-gram
HASHES = 2**17  # entries of the table of n-gram weights
TOKEN_BYTES = 32  # bytes of a token that are kept
CODE_POINTS = 2**17  # code points with an entry of their own: all but rare Chinese characters
UNSPACED = 2**21  # an offset that marks characters of scripts without spaces
SPACE = ord(" ")
FIT_BATCH = 256  # texts in a batch of `fit`
# Thai and Lao, Myanmar, Khmer, Japanese and Chinese.
UNSPACED_SCRIPTS = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
    *((0x3005, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)),
)


class CharNgrams(nn.Module):
    """A module that embeds texts by the hashed counts of their character 4-grams.

    Feature hashing (Weinberger et al. 2009, arXiv:0902.2206, equation 3): entry b of an embedding is the sum of
    s(g) w(g) over the n-grams g with hash h(g) = b. With the signs s, the dot product of two embeddings is that of
    their weighted counts, up to collisions. 4-grams (McNamee & Mayfield 2004) tolerate the misread characters and
    missing spaces of OCR text. The weights w are inverse document frequencies (Sparck Jones 1972).

    The module works with any tokenizer: it converts token ids to bytes and decodes them as UTF-8. It then converts
    characters to lower case without accents. A word is surrounded by spaces, and a 4-gram has at least two letters of
    one word. In scripts without spaces (Chinese, Japanese, Thai), each pair of adjacent characters is an n-gram.

    `fit` learns the bytes of tokens and the n-gram weights from a tokenizer and texts. Before that, embeddings are
    zeros.

    Args:
        vocab_size: the number of tokens.
        dim: the dimension of an embedding.
        prompts: token ids. Where a text begins with one of them, these tokens have no part in its embedding.

    Example:
        >>> ngrams = CharNgrams(vocab_size=4, dim=1024)
        >>> ngrams.folded.copy_(folded_characters())[ord("W")].item() == ord("w")
        True
        >>> ngrams.token_bytes[:, :7] = torch.tensor([[0] * 7, [*b" Whale "], [*b" whales"], [*b" shark "]])
        >>> one, same, near, other = ngrams(torch.tensor([[1, 0], [0, 1], [2, 0], [3, 0]]))
        >>> (one @ same).item(), (one @ near).item(), (one @ other).item()
        (4.0, 3.0, 0.0)
    """

    token_bytes: Tensor
    folded: Tensor
    weight: Tensor

    def __init__(self, vocab_size: int, dim: int, prompts: Sequence[Sequence[int]] = ()) -> None:
        super().__init__()
        self.dim = dim
        self.prompts = prompts
        self.register_buffer("token_bytes", torch.zeros(vocab_size, TOKEN_BYTES, dtype=torch.uint8))
        self.register_buffer("folded", torch.zeros(CODE_POINTS, dtype=torch.int32))
        self.register_buffer("weight", torch.ones(HASHES))

    def reset(self) -> None:
        """Resets the buffers to their state before `fit`."""
        init.zeros_(self.token_bytes)
        init.zeros_(self.folded)
        init.ones_(self.weight)

    def fit(self, tokenizer: Any, texts: Sequence[str]) -> None:
        """Learns the bytes of tokens and the n-gram weights.

        The weight of an n-gram that occurs in n of N texts is ln((N + 1) / (n + 1)).

        Args:
            tokenizer: the fast tokenizer of the text encoder.
            texts: the plots of the training movies.
        """
        self.token_bytes.copy_(token_bytes(tokenizer, len(self.token_bytes)))
        self.folded.copy_(folded_characters())
        counts = torch.zeros_like(self.weight)
        for start in range(0, len(texts), FIT_BATCH):
            batch = list(texts[start : start + FIT_BATCH])
            inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt").to(counts.device)
            hashes, valid = self._ngrams(inputs["input_ids"], inputs["attention_mask"])
            for text_hashes, text_valid in zip(hashes, valid, strict=True):
                counts[text_hashes[text_valid].unique()] += 1
        self.weight.copy_(torch.log((len(texts) + 1) / (counts + 1)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Returns n-gram embeddings of texts, (texts, dim), not normalised.

        Args:
            input_ids: (texts, tokens).
            attention_mask: (texts, tokens), 0 where a token is padding.
        """
        for prompt in self.prompts:
            attention_mask = without_prompt(input_ids, attention_mask, prompt)
        entries, values = self._entries(*self._ngrams(input_ids, attention_mask))
        return values.new_zeros(len(input_ids), self.dim).scatter_add_(1, entries, values)

    def spelled(self, input_ids: Tensor) -> list[tuple[str, int, float]]:
        """Returns the n-grams of a text: how each is spelled, its entry of an embedding, and what it adds there.

        Args:
            input_ids: (tokens,).
        """
        windows, valid = self._windows(input_ids[None], None)
        entries, values = self._entries(_window_hashes(windows), valid)
        letters = torch.stack(windows, dim=-1) % UNSPACED
        found = zip(letters[valid].tolist(), entries[valid].tolist(), values[valid].tolist(), strict=True)
        return [("".join(map(chr, ngram)), entry, value) for ngram, entry, value in found]

    def _entries(self, hashes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the entry of each n-gram, and what it adds there: its weight with its sign."""
        signs = 1 - 2 * (hashes * 2246822519 % 2**32 >> 31)
        return _hash(hashes) % self.dim, self.weight[hashes] * signs * valid

    def _ngrams(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the hashes of all windows of 4 characters, and which windows are n-grams, both (texts, windows)."""
        windows, valid = self._windows(input_ids, attention_mask)
        return _window_hashes(windows), valid

    def _windows(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Returns the 4 characters of all windows, and which windows are n-grams, (texts, windows) each."""
        characters = nn.functional.pad(self._characters(input_ids, attention_mask), (1, GRAM))
        windows = torch.where(characters == 0, SPACE, characters).unfold(1, GRAM, 1)
        before, first, second, after = windows.unbind(-1)
        unspaced = windows >= UNSPACED
        valid = (first != SPACE) & (second != SPACE) & (unspaced[..., 1] == unspaced[..., 2])
        before = torch.where(unspaced[..., 0] | unspaced[..., 1], SPACE, before)
        after = torch.where(unspaced[..., 2] | unspaced[..., 3], SPACE, after)
        return (before, first, second, after), valid

    def _characters(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Returns the code points of texts after folding, (texts, up to tokens x TOKEN_BYTES), padded with zeros."""
        values = self.token_bytes[input_ids].long()
        if attention_mask is not None:
            values = values * attention_mask.unsqueeze(-1)
        values = _packed(values.flatten(1))
        if not torch.compiler.is_compiling():  # compiled graphs cannot have sizes that depend on values
            values = values[:, : int(values.any(0).sum())]
        lead = torch.where(values < 0xE0, 0xC0, torch.where(values < 0xF0, 0xE0, 0xF0))
        points = torch.where(values < 0x80, values, values - lead)
        whole = (values < 0x80) | (values >= 0xC0)  # other bytes continue a character
        following = nn.functional.pad(values, (0, 3))
        for place, first in enumerate((0xC0, 0xE0, 0xF0), start=1):
            byte = following[:, place : place + values.shape[1]]
            longer = values >= first
            points = torch.where(longer, points * 64 + byte - 0x80, points)
            whole = whole & (~longer | ((byte >= 0x80) & (byte < 0xC0)))
        return _packed(self.folded[points.clamp(0, CODE_POINTS - 1)].long() * whole)


def without_prompt(input_ids: Tensor, attention_mask: Tensor | None, prompt: Sequence[int]) -> Tensor:
    """Returns an attention mask that is also 0 for the prompt of each text that begins with it, (texts, tokens).

    Args:
        input_ids: (texts, tokens), padded on either side.
        attention_mask: (texts, tokens), 0 where a token is padding.
        prompt: token ids.

    Example:
        >>> ids = torch.tensor([[0, 7, 8, 5], [7, 8, 5, 6], [7, 9, 5, 6]])
        >>> without_prompt(ids, (ids != 0).long(), [7, 8]).tolist()
        [[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
    """
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    places = mask.cumsum(1) - 1
    expected = torch.tensor(prompt, device=input_ids.device)[places.clamp(0, len(prompt) - 1)]
    leading = (mask != 0) & (places < len(prompt))
    begins = (places[:, -1:] >= len(prompt) - 1) & ((input_ids == expected) | ~leading).all(1, keepdim=True)
    return mask * ~(leading & begins)


def _window_hashes(windows: tuple[Tensor, ...]) -> Tensor:
    """Returns the hash of each window, (texts, windows)."""
    hashes = windows[0]
    for character in windows[1:]:
        hashes = (hashes * 31337 + character) % (2**31 - 1)
    return _hash(hashes) % HASHES


def _packed(values: Tensor) -> Tensor:
    """Returns the values, (texts, positions), with the zeros of each row moved to its end."""
    positions = ((values != 0).long().cumsum(1) - 1).clamp(min=0)
    return torch.zeros_like(values).scatter_add_(1, positions, values)


def _hash(numbers: Tensor) -> Tensor:
    """Returns 24-bit multiplicative hashes (Knuth, The Art of Computer Programming 3, section 6.4)."""
    return numbers * 2654435761 % 2**32 >> 8


def token_bytes(tokenizer: Any, vocab_size: int) -> Tensor:
    """Returns the UTF-8 bytes of each token, (vocab_size, TOKEN_BYTES), padded with zeros.

    The bytes include the space before or after a word. A byte-level token can be a part of a character. Special tokens
    have no bytes.

    Args:
        tokenizer: a `PreTrainedTokenizerFast`.
        vocab_size: the number of tokens of the encoder.
    """
    backend, special = tokenizer.backend_tokenizer, set(tokenizer.all_special_ids)
    byte_level = "ByteLevel" in f"{backend.pre_tokenizer} {backend.decoder}"
    unicode_to_bytes = {character: byte for byte, character in bytes_to_unicode().items()}
    end_of_word = getattr(backend.model, "end_of_word_suffix", None)
    continuing = backend.model.continuing_subword_prefix if type(backend.model).__name__ == "WordPiece" else None
    table = bytearray(vocab_size * TOKEN_BYTES)
    for token, index in tokenizer.get_vocab().items():
        if index in special or index >= vocab_size:
            continue
        text = token
        if end_of_word and text.endswith(end_of_word):
            text = f"{text.removesuffix(end_of_word)} "
        if byte_level:
            spelling = bytes(unicode_to_bytes.get(character, SPACE) for character in text)
        elif byte := re.fullmatch("<0x([0-9A-F]{2})>", text):
            spelling = bytes.fromhex(byte[1])
        elif continuing is not None:
            spelling = _word_piece(text, continuing).encode()
        else:
            spelling = text.replace("▁", " ").encode()
        spelling = spelling[:TOKEN_BYTES]
        table[index * TOKEN_BYTES : index * TOKEN_BYTES + len(spelling)] = spelling
    return torch.frombuffer(table, dtype=torch.uint8).view(vocab_size, TOKEN_BYTES)


def _word_piece(token: str, continuing: str) -> str:
    """Returns the text of a WordPiece token, with a space before it if it begins a word.

    WordPiece treats each Chinese character as a word, and such a character gets no space.
    """
    if token.startswith(continuing):
        return token.removeprefix(continuing)
    return token if _is_unspaced(token[0]) else f" {token}"


@lru_cache(maxsize=1)
def folded_characters() -> Tensor:
    """Returns the folded code point of each character, (CODE_POINTS,), int32.

    It is the lower case without accents of a letter or digit, 0 for combining marks and format characters, which are
    dropped, and a space for all others. `UNSPACED` is added for characters of scripts without spaces.

    Example:
        >>> "".join(chr(folded_characters()[ord(character)]) for character in "ÉTÉ, Большой İ I ı")
        'ete  большои i i i'
    """
    return torch.tensor([0, *(_fold(chr(point)) for point in range(1, CODE_POINTS))], dtype=torch.int32)


def _fold(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf"):
        return 0
    lower = unicodedata.normalize("NFD", character.upper().lower())  # upper() first: it maps ı to I and ς to Σ
    lower = "".join(part for part in lower if unicodedata.category(part) != "Mn")
    letter = lower if len(lower) == 1 else character.lower()[:1]
    if not letter.isalnum():
        return SPACE
    return ord(letter) + UNSPACED * _is_unspaced(letter)


def _is_unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in UNSPACED_SCRIPTS)
