"""How many plots are longer than what an encoder reads of them."""

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

LIMIT = 128  # tokens, the default of a new model
TOKENS_PER_WORD = 4 / 3
_WORD = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]|[^\W぀-ヿ㐀-鿿가-힯฀-๿]+|[^\w\s]")


def describe_cut_plots(plots: Sequence[str], tokenizer: PreTrainedTokenizerBase | None = None) -> str | None:
    """Returns a line that says how many plots are cut at the limit, and how much of them; None if none is.

    Args:
        plots: of all movies.
        tokenizer: of the text encoder; its `model_max_length` is the limit. Without one the limit is 128 tokens, and
            a word counts 4/3 tokens, a mark and a character of a language without spaces one.

    Example:
        >>> describe_cut_plots(["A whale.", "whale " * 150])
        '1 of 2 plots is cut at 128 tokens (about 36 % of all tokens are cut off, by a rule of thumb)'
    """
    if tokenizer is None:
        limit = LIMIT
        counts = [2 + sum(TOKENS_PER_WORD if len(word) > 1 else 1 for word in _WORD.findall(plot)) for plot in plots]
    else:
        limit = tokenizer.model_max_length
        counts = [len(ids) for ids in tokenizer(list(plots), truncation=False, verbose=False)["input_ids"]]
    over = [count - limit for count in counts if count > limit]
    if not over:
        return None
    share, rule = 100 * sum(over) / sum(counts), "" if tokenizer else ", by a rule of thumb"
    verb = "is" if len(over) == 1 else "are"
    cut = f"{len(over)} of {len(plots)} plots {verb} cut at {limit} tokens"
    return f"{cut} (about {share:.0f} % of all tokens are cut off{rule})"
