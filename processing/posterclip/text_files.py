"""The tokenizer and the prompts of a text encoder, as its files say."""

import json
from pathlib import Path
from typing import Any

from tokenizers.normalizers import Lowercase, Sequence
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import cached_file

# The names of prompts in `config_sentence_transformers.json`, the preferred one first.
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
QUERY_PROMPTS = ("query",)
# Settings of a call, which a processor would take from `tokenizer_config.json` (all-MiniLM-L6-v2 has max_length: 128).
CALL_SETTINGS = ("max_length", "padding", "truncation", "truncation_strategy", "stride", "pad_to_multiple_of")
# The families that count positions from behind the padding token's id.
POSITIONS_AFTER_PADDING = ("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet")


def text_tokenizer(name: str, max_length: int) -> Any:
    """Returns the tokenizer of a text encoder. It cuts texts at `max_length`, or at what the encoder takes if less.

    Args:
        name: folder or Hub name of the text encoder.
        max_length: a number of tokens.
    """
    # Plots are single segments: token types carry nothing, and half of the text encoders refuse them.
    tokenizer = AutoTokenizer.from_pretrained(name, model_input_names=["input_ids", "attention_mask"])
    settings = _read_json(name, "sentence_bert_config.json")
    limits = [_positions(name), settings.get("max_seq_length"), tokenizer.model_max_length, max_length]
    tokenizer.model_max_length = min(limit for limit in limits if limit is not None)
    for name in CALL_SETTINGS:
        tokenizer.init_kwargs.pop(name, None)
    if settings.get("do_lower_case"):
        backend = tokenizer.backend_tokenizer
        backend.normalizer = Sequence([Lowercase(), *([backend.normalizer] if backend.normalizer else [])])
    return tokenizer


def sentence_prompts(name: str) -> tuple[str, str]:
    """Returns a text encoder's prompts of documents and of queries, "" where it has none.

    They are those that sentence-transformers' `encode_document` and `encode_query` use; an encoder with a default
    prompt and neither of these has its default for both.

    Args:
        name: folder or Hub name of the text encoder.

    Raises:
        ValueError: the file that names the prompts is damaged.
    """
    file = "config_sentence_transformers.json"
    settings = _read_json(name, file)
    prompts, default_name = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(prompt or "", str) for prompt in prompts.values()):
        raise ValueError(f"{name}: {file}: prompts is no mapping of names to texts.")
    if default_name is not None and default_name not in list(prompts):
        raise ValueError(f"{name}: {file} has no prompt {default_name!r}, which is its default_prompt_name.")
    default = prompts.get(default_name) or ""
    document, query = (
        next((prompts[name] or "" for name in names if name in prompts), default)
        for names in (DOCUMENT_PROMPTS, QUERY_PROMPTS)
    )
    return document, query


def prompted(texts: Any, prompt: str) -> Any:
    """Returns texts with a prompt before each, in the form in which they come.

    Example:
        >>> prompted(["a whale", "a shark"], "query: "), prompted("a whale", "")
        (['query: a whale', 'query: a shark'], 'a whale')
    """
    if not prompt:
        return texts
    return f"{prompt}{texts}" if isinstance(texts, str) else [f"{prompt}{text}" for text in texts]


def _positions(name: str) -> int | None:
    """Returns how many tokens a text encoder takes, None if its configuration does not say."""
    if not _read_json(name, "config.json"):
        return None
    config = AutoConfig.from_pretrained(name)
    config = getattr(config, "text_config", config)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or positions < 0:
        return None
    return positions - (config.pad_token_id + 1 if config.model_type in POSITIONS_AFTER_PADDING else 0)


def _read_json(name: str, file: str) -> dict[str, Any]:
    path = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object.")
    return found
