"""Tiny random encoders of every family in the tested matrix, and a processor for them."""

import string

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPVisionConfig,
    ConvNextConfig,
    Dinov2Config,
    DistilBertConfig,
    EfficientNetConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    ResNetConfig,
    RobertaConfig,
    SiglipVisionConfig,
    SwinConfig,
    ViTConfig,
    ViTImageProcessor,
)

from modeling import PosterCLIPConfig, PosterCLIPModel
from modeling.posterclip.char_ngrams import folded_characters
from modeling.training.freezing import set_mode
from processing import PosterCLIPProcessor

IMAGE_SIZE = 32
_transformer = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_patches = {**_transformer, "image_size": IMAGE_SIZE, "patch_size": 8}

VISION: dict[str, PreTrainedConfig] = {
    "vit": ViTConfig(**_patches),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "efficientnet": EfficientNetConfig(
        image_size=IMAGE_SIZE,
        in_channels=[32, 8],
        out_channels=[8, 16],
        kernel_sizes=[3, 3],
        strides=[1, 2],
        num_block_repeats=[1, 1],
        expand_ratios=[1, 2],
        depthwise_padding=[],
        hidden_dim=1280,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        initializer_range=0.5,  # with less, features vanish where statistics are not those of the batch
    ),
    "convnext": ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, drop_path_rate=0.1),
    "dinov2": Dinov2Config(**_patches),
    "swin": SwinConfig(
        image_size=IMAGE_SIZE, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
    ),
    "clip_vision_model": CLIPVisionConfig(**_patches),
    "siglip_vision_model": SiglipVisionConfig(**_patches),
}

_tokens = {"vocab_size": 64, "pad_token_id": 0}
TEXT: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**_transformer, **_tokens, max_position_embeddings=40),
    "mpnet": MPNetConfig(**_transformer, **_tokens, max_position_embeddings=40),
    "distilbert": DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, **_tokens, max_position_embeddings=40),
    "roberta": RobertaConfig(**_transformer, **_tokens, max_position_embeddings=40),
    "modernbert": ModernBertConfig(
        **_transformer,
        **_tokens,
        max_position_embeddings=40,
        cls_token_id=1,
        sep_token_id=2,
        bos_token_id=1,
        eos_token_id=2,
    ),
}


def tiny_model(vision: str = "vit", text: str = "bert", *, seed: int = 0, **fields) -> PosterCLIPModel:
    """A small model of two named families, its weights drawn with `seed`."""
    torch.manual_seed(seed)
    config = PosterCLIPConfig(
        vision_config=VISION[vision].to_dict(),
        text_config=TEXT[text].to_dict(),
        **{"projection_dim": 8, **fields},
    )
    model = PosterCLIPModel(config)
    if config.char_ngram_dim:  # each token but the special ones is a word of five letters
        model.char_ngrams.token_bytes[4:, 0] = ord(" ")
        model.char_ngrams.token_bytes[4:, 1:6] = torch.randint(97, 123, (60, 5), dtype=torch.uint8)
        model.char_ngrams.folded.copy_(folded_characters())
    return model


def tiny_model_in_modes(vision: str, text: str, modes: str, **fields) -> PosterCLIPModel:
    """The same with the encoders in two modes, `lora,full` or others; adapters have rank 4."""
    model = tiny_model(vision, text, **fields)
    for encoder, mode in zip((model.vision_model, model.text_model), modes.split(","), strict=True):
        set_mode(encoder, mode, lora_rank=4)
    return model


def tiny_processor(max_length: int = 32, padding_side: str = "right") -> PosterCLIPProcessor:
    """Letters are tokens; images become 32 x 32."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *string.ascii_letters]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=max_length,
        padding_side=padding_side,
        model_input_names=["input_ids", "attention_mask"],
    )
    images = ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return PosterCLIPProcessor(image_processor=images, tokenizer=fast)


def tiny_batch(pairs: int = 4, tokens: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random pixels and tokens; the last plot is one token shorter than the others."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(pairs, tokens, dtype=torch.long)
    mask[-1, -1] = 0
    return {
        "pixel_values": torch.randn(pairs, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator),
        "input_ids": torch.randint(4, 64, (pairs, tokens), generator=generator) * mask,
        "attention_mask": mask,
    }


def tiny_words(posters: int = 4, tokens: int = 5, seed: int = 1) -> dict[str, torch.Tensor]:
    """Random tokens of what is printed on posters; nothing is on the second, and little on the last."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(posters, tokens, dtype=torch.long)
    mask[1] = 0
    mask[-1, 2:] = 0
    ids = torch.randint(4, 64, (posters, tokens), generator=generator) * mask
    return {"poster_input_ids": ids, "poster_attention_mask": mask}


def tiny_titles(plots: int = 4, tokens: int = 3, seed: int = 2) -> dict[str, torch.Tensor]:
    """Random tokens of titles; the second movie has none, and that of the last is short."""
    words = tiny_words(plots, tokens, seed)
    return {name.replace("poster_", "title_"): value for name, value in words.items()}


def train_on_one_batch(
    model: PosterCLIPModel, batch: dict[str, torch.Tensor], steps: int = 10, learning_rate: float = 1e-3
) -> list[float]:
    """The losses of a few steps, each with the same dropout; the last gradients are left."""
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=learning_rate)
    losses = []
    for _ in range(steps):
        torch.manual_seed(1)
        loss = model(**batch, return_loss=True).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
