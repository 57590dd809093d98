"""The words of a text as they are spelled, beside what they mean."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

LETTERS = 20  # of a token, that are kept
GRAM = 4  # characters
GRAMS = 2**17  # places in the table of weights
SPACE = ord(" ")
BATCH = 256


class CharNgrams(nn.Module):
    """A bag of the character 4-grams of a text's words, hashed to a fixed size: phi(x)_b = sum of s(g) w(g), h(g) = b.

    Feature hashing (Weinberger et al. 2009, arXiv:0902.2206, equation 3): the signs s make the product of two bags
    that of their counts, up to collisions. 4-grams (as in McNamee & Mayfield 2004) bear what is wrong or run together
    in text that was read off a poster. The weights w are inverse document frequencies (Sparck Jones 1972). `fit`
    learns them and how tokens are spelled, from a tokenizer and texts; a bag that was not fitted is all zeros.

    Args:
        vocab_size: number of tokens.
        dim: size of a bag.

    Example:
        >>> bag = CharNgrams(vocab_size=4, dim=1024)
        >>> bag.characters[:, :7] = torch.tensor([[0] * 7, [*b" whale "], [*b" whales"], [*b" shark "]])
        >>> one, same, near, other = bag(torch.tensor([[1, 0], [0, 1], [2, 0], [3, 0]]))
        >>> (one @ same).item(), (one @ near).item(), (one @ other).item()
        (4.0, 3.0, 0.0)
    """

    characters: Tensor
    weight: Tensor

    def __init__(self, vocab_size: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("characters", torch.zeros(vocab_size, LETTERS, dtype=torch.int32))
        self.register_buffer("weight", torch.ones(GRAMS))

    def reset(self) -> None:
        """As before `fit`."""
        init.zeros_(self.characters)
        init.ones_(self.weight)

    def fit(self, tokenizer: Any, texts: Sequence[str]) -> None:
        """Learn the spelling of tokens, and to weigh a 4-gram by ln((N + 1) / (n + 1)), n of the N texts having it."""
        self.characters.copy_(spelling(tokenizer, len(self.characters)))
        having = torch.zeros_like(self.weight)
        for start in range(0, len(texts), BATCH):
            inputs = tokenizer(list(texts[start : start + BATCH]), padding=True, truncation=True, return_tensors="pt")
            grams, valid = self._grams(inputs["input_ids"].to(having.device), None)
            for row, known in zip(grams, valid, strict=True):
                having[row[known].unique()] += 1
        self.weight.copy_(torch.log((len(texts) + 1) / (having + 1)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Bags of texts, (texts, dim).

        Args:
            input_ids: (texts, tokens).
            attention_mask: (texts, tokens), 0 where a token is padding.
        """
        grams, valid = self._grams(input_ids, attention_mask)
        signs = 1 - 2 * (grams * 2246822519 % 2**32 >> 31)
        values = self.weight[grams] * signs * valid
        return values.new_zeros(len(input_ids), self.dim).scatter_add_(1, _mixed(grams) % self.dim, values)

    def _grams(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The places of a text's 4-grams in the table, and which of them there are, (texts, windows) both."""
        letters = self.characters[input_ids].long()
        if attention_mask is not None:
            letters = letters * attention_mask.unsqueeze(-1)
        letters = letters.flatten(1)
        # What is no letter leaves no gap: each letter moves to the place that the letters before it leave.
        places = ((letters != 0).long().cumsum(1) - 1).clamp(min=0)
        letters = torch.zeros_like(letters).scatter_add_(1, places, letters)
        letters = nn.functional.pad(letters, (1, GRAM), value=0)
        letters = torch.where(letters == 0, SPACE, letters)
        windows = letters.unfold(1, GRAM, 1)
        grams = windows[..., 0]
        for place in range(1, GRAM):
            grams = (grams * 31337 + windows[..., place]) % (2**31 - 1)
        inner = (windows[..., 1:-1] != SPACE).all(-1)
        return _mixed(grams) % GRAMS, inner


def _mixed(numbers: Tensor) -> Tensor:
    """A multiplicative hash (Knuth, The Art of Computer Programming 3, section 6.4), 24 bits."""
    return numbers * 2654435761 % 2**32 >> 8


def spelling(tokenizer: Any, vocab_size: int) -> Tensor:
    """The characters of each token, (vocab_size, LETTERS), code points in lower case and zeros after them.

    A token that begins a word begins with a space; what is neither letter nor digit is a space. Special tokens have
    no characters.
    """
    pieces = type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece"
    rows = torch.zeros(vocab_size, LETTERS, dtype=torch.int32)
    for token, index in tokenizer.get_vocab().items():
        if index in tokenizer.all_special_ids or index >= vocab_size:
            continue
        if pieces:
            token = token[2:] if token.startswith("##") else f" {token}"
        elif token[0] in "Ġ▁":
            token = f" {token[1:]}"
        letters = [ord(letter) if letter.isalnum() else SPACE for letter in token.lower()[:LETTERS]]
        rows[index, : len(letters)] = torch.tensor(letters, dtype=torch.int32)
    return rows
