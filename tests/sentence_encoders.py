"""Small text encoders with random weights that sentence-transformers itself builds and saves."""

from copy import deepcopy

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from tests.tiny import TEXT, tiny_processor

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TOKENS = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER = {**SIZES, **TOKENS, "num_key_value_heads": 1, "head_dim": 8}
ENCODERS = {
    **TEXT,
    "xlm-roberta": transformers.XLMRobertaConfig(**SIZES, **TOKENS, max_position_embeddings=40),
    "deberta-v2": transformers.DebertaV2Config(**SIZES, **TOKENS, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "electra": transformers.ElectraConfig(**SIZES, **TOKENS, embedding_size=16),
    "t5": transformers.T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, **TOKENS),
    "qwen3": transformers.Qwen3Config(**DECODER),
    "gemma3_text": transformers.Gemma3TextConfig(
        **DECODER, use_bidirectional_attention=True, layer_types=["sliding_attention", "full_attention"]
    ),
    "mistral": transformers.MistralConfig(**DECODER),
}
DENSE = [("Dense", 24, "Tanh"), ("Dense", 12, "Identity"), ("Normalize",)]
# Of each encoder: its pooling, the layers after it, the padding side, and the prompts of documents and queries.
MADE = {
    "bert": ("cls", [("Normalize",)], "right", "", "Represent this: "),
    "mpnet": ("mean", [("Normalize",)], "right", "", ""),
    "distilbert": ("max", [], "right", "", ""),
    "roberta": ("weightedmean", DENSE, "right", "passage: ", "query: "),
    "modernbert": ("cls", [("Normalize",)], "left", "passage: ", ""),
    "xlm-roberta": ("mean", [("Normalize",)], "right", "passage: ", "query: "),
    "deberta-v2": ("lasttoken", [], "right", "", ""),
    "electra": ("mean", [("Dense", 8, "Tanh")], "right", "", "ask "),
    "t5": ("mean", [("Dense", 24, "Identity"), ("Normalize",)], "right", "", ""),
    "qwen3": ("lasttoken", [("Normalize",)], "left", "", "Instruct: find\nQuery:"),
    "gemma3_text": ("mean", DENSE, "right", "title: none | text: ", "task: search | query: "),
    "mistral": ("weightedmean", [], "left", "", ""),
}


def make_encoder(
    folder, family: str, pooling: str, layers=(), side: str = "right", document: str = "", query: str = ""
):
    """Saves a small encoder with random weights by sentence-transformers, and returns what it saved."""
    torch.manual_seed(0)
    config = deepcopy(ENCODERS[family])
    config.max_position_embeddings = 80
    made = getattr(transformers, "T5EncoderModel" if family == "t5" else "AutoModel")
    made = made(config) if family == "t5" else made.from_config(config)
    for weight in made.parameters():  # with the usual small ones, all texts would be alike
        torch.nn.init.normal_(weight, std=0.3)
    made.save_pretrained(folder)
    tiny_processor(64, side).tokenizer.save_pretrained(folder)
    modules, size = [Transformer(str(folder)), Pooling(16, pooling_mode=pooling)], 16
    for name, *arguments in layers:
        if name == "Dense":
            modules.append(Dense(size, arguments[0], activation_function=getattr(torch.nn, arguments[1])()))
            size = arguments[0]
        else:
            modules.append(Normalize())
    model = SentenceTransformer(modules=modules, prompts={"document": document, "query": query}, device="cpu")
    model.save_pretrained(str(folder))
    return model.eval()
