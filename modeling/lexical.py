"""The words of a text as they are, beside what they mean: a name that two texts share says more than a likeness."""

import torch
from torch import Tensor, nn
from transformers import initialization as init


class TokenBag(nn.Module):
    """A bag of tokens, hashed to a fixed size: phi(x)_b = sum of s(t) w(t) over the tokens t of x with h(t) = b.

    Feature hashing (Weinberger et al. 2009, arXiv:0902.2206, equation 3) with signs s, so that the product of two
    bags is, up to collisions, that of the counts. The weights w are inverse document frequencies (Sparck Jones 1972),
    1 until `fit` counts them; they rest while the model trains.

    Args:
        vocab_size: number of tokens.
        dim: size of a bag.

    Example:
        >>> bag = TokenBag(vocab_size=100, dim=64)
        >>> one, two, other = bag(torch.tensor([[5, 6, 7], [6, 7, 5], [8, 9, 8]]))
        >>> (one @ two).item(), (one @ other).item()
        (3.0, 0.0)
    """

    weight: Tensor

    def __init__(self, vocab_size: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("weight", torch.ones(vocab_size))

    def reset(self) -> None:
        """Every token weighs the same again."""
        init.ones_(self.weight)

    def fit(self, texts: list[list[int]]) -> None:
        """Weigh tokens by ln((N + 1) / (n + 1)), n of the N texts having them: one in every text weighs nothing."""
        having = torch.zeros_like(self.weight)
        for tokens in texts:
            having[torch.tensor(tokens, device=having.device).unique()] += 1
        self.weight.copy_(torch.log((len(texts) + 1) / (having + 1)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Bags of texts, (texts, dim).

        Args:
            input_ids: (texts, tokens).
            attention_mask: (texts, tokens), 0 where a token is padding.
        """
        # Two multiplicative hashes (Knuth, The Art of Computer Programming 3, section 6.4): a place and a sign.
        places = (input_ids * 2654435761 % 2**32 >> 8) % self.dim
        signs = 1 - 2 * (input_ids * 2246822519 % 2**32 >> 31)
        values = self.weight[input_ids] * signs
        if attention_mask is not None:
            values = values * attention_mask
        return values.new_zeros(len(input_ids), self.dim).scatter_add_(1, places, values)
