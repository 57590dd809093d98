"""Functions that build, load, pool and divide the encoders of a PosterCLIP."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, ModelOutput
from transformers.models.auto.auto_factory import _get_model_class

from .weights import check_finite, check_loading, listed

# Weights that only the encoder's pretraining uses. They never train: distributed training would wait for their
# gradients.
PRETRAINING_ONLY = {"embeddings.mask_token"}
# The halves of two-part models for which `AutoModel` has no class, or only one of both parts.
_HALVES = {
    **{"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel", "longt5": "LongT5EncoderModel"},
    **{"siglip_text_model": "SiglipTextModel", "siglip2_text_model": "Siglip2TextModel"},
    **{"metaclip_2_text_model": "MetaClip2TextModel", "metaclip_2_vision_model": "MetaClip2VisionModel"},
}
# SigLIP's text encoders take every text padded to their full length, without a mask, and pool at its last token.
_FULL_LENGTH = ("siglip_text_model", "siglip2_text_model")


def encoder_config(name_or_path: str, side: str) -> PreTrainedConfig:
    """Returns the configuration of a pretrained encoder, or of one encoder of a dual encoder (CLIP, SigLIP).

    Args:
        name_or_path: a folder or Hub name.
        side: "vision" or "text".

    Raises:
        OSError: there is no such encoder.
    """
    try:
        config = AutoConfig.from_pretrained(name_or_path)
    except (OSError, ValueError) as error:
        raise OSError(
            f"Cannot load the {side} encoder {name_or_path!r}: it must be the folder of an encoder, or a repository on "
            f"the Hub, which must be reachable. transformers says: {str(error).splitlines()[0]}"
        ) from error
    both, config = config, getattr(config, f"{side}_config", config)
    if hasattr(both, "projection_dim"):
        config.projection_dim = both.projection_dim  # of the checkpoint, where the half's own is a default
    if getattr(config, "is_encoder_decoder", False) and config.model_type not in _HALVES:
        raise ValueError(f"{name_or_path}: {config.model_type!r} has a decoder, and PosterCLIP has no way to use half.")
    if config.model_type in _FULL_LENGTH:  # whose configuration is not right about it for SigLIP 2
        config.pad_token_id = AutoTokenizer.from_pretrained(name_or_path).pad_token_id
    if getattr(config, "use_cache", False):
        config.use_cache = False  # of keys and values, for generation
    return config


def build_encoder(config: PreTrainedConfig, pooling: str, head: Sequence[Mapping[str, Any]] = ()) -> PreTrainedModel:
    """Returns a randomly initialised encoder. It has a pooling head only for the pooling "pooler".

    Args:
        config: the encoder's configuration.
        pooling: see `pool`.
        head: layers after the pooling, see `build_head`, which become the encoder's module `sentence_head`.
    """
    encoder = _model_class(config)._from_config(config, **_head_options(config, pooling))
    if head:
        encoder.add_module("sentence_head", build_head(head))
    return encoder


class Dense(nn.Module):
    """A linear layer and an activation, as in sentence-transformers; `activation` is the name of a torch.nn class."""

    def __init__(self, in_features: int, out_features: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias)
        self.activation = getattr(nn, activation)()

    def forward(self, features: Tensor) -> Tensor:
        """Returns features, (texts, out_features), of features, (texts, in_features)."""
        return self.activation(self.linear(features))


class Normalize(nn.Module):
    """A layer that gives features the length 1."""

    def forward(self, features: Tensor) -> Tensor:
        """Returns L2-normalised features, (texts, feature)."""
        return F.normalize(features, dim=-1)


def build_head(layers: Sequence[Mapping[str, Any]]) -> nn.Sequential:
    """Returns the layers that a checkpoint has after its pooling.

    Args:
        layers: of each its `type`, "Dense" or "Normalize", and the arguments of that class.

    Example:
        >>> build_head([{"type": "Normalize"}])(torch.tensor([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    types = {"Dense": Dense, "Normalize": Normalize}
    arguments = ({name: value for name, value in layer.items() if name != "type"} for layer in layers)
    return nn.Sequential(*(types[layer["type"]](**given) for layer, given in zip(layers, arguments, strict=True)))


def load_encoder(
    name_or_path: str,
    config: PreTrainedConfig,
    pooling: str,
    head: Sequence[Mapping[str, Any]] = (),
    head_weights: Mapping[str, Tensor] | None = None,
    dtype: str = "float32",
) -> PreTrainedModel:
    """Returns a pretrained encoder.

    Weights of other parts, such as a language-modelling head, are ignored.

    Args:
        name_or_path: a folder or Hub name.
        config: the encoder's configuration, from `encoder_config`.
        pooling: see `pool`.
        head: layers after the pooling, see `build_head`.
        head_weights: their weights.
        dtype: "float32", the dtype for training, or "auto", that of the checkpoint.

    Raises:
        ValueError: weights of the encoder are missing, have another shape or are not finite; it names them.
        OSError: the weights file is damaged.
    """
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True, **_head_options(config, pooling)}
    try:
        encoder, loading = _model_class(config).from_pretrained(name_or_path, config=config, dtype=dtype, **options)
    except SafetensorError as error:
        raise OSError(f"The weights of {name_or_path} are a damaged file: {error}") from error
    missing = set(loading["missing_keys"]) - PRETRAINING_ONLY
    if missing and all("pool" in name for name in missing):
        raise ValueError(f"{name_or_path} has no pooling head ({listed(sorted(missing))}): use another pooling.")
    check_loading(name_or_path, {**loading, "missing_keys": missing}, allowed={"unexpected"})
    if head:
        encoder.add_module("sentence_head", build_head(head).to(encoder.dtype).train(encoder.training))
        encoder.get_submodule("sentence_head").load_state_dict(head_weights or {})
    check_finite(name_or_path, encoder.state_dict())
    return encoder


def _model_class(config: PreTrainedConfig) -> Any:
    if config.model_type in _HALVES:
        return getattr(transformers, _HALVES[config.model_type])
    try:
        return _get_model_class(config, AutoModel._model_mapping)
    except KeyError:
        raise ValueError(f"AutoModel has no encoder for the model type {config.model_type!r}.") from None


def _head_options(config: PreTrainedConfig, pooling: str) -> dict[str, bool]:
    parameters = inspect.signature(_model_class(config)).parameters
    return {"add_pooling_layer": pooling == "pooler"} if "add_pooling_layer" in parameters else {}


def feature_size(config: PreTrainedConfig, head: Sequence[Mapping[str, Any]] = ()) -> int:
    """Returns the dimension of an encoder's feature: of the last of its Dense layers, or of its pooled output."""
    for layer in reversed(head):
        if layer["type"] == "Dense":
            return layer["out_features"]
    if config.model_type in _FULL_LENGTH:
        return config.projection_size
    for name in ("hidden_size", "hidden_dim"):
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    if getattr(config, "hidden_sizes", None) and not hasattr(config, "neck_hidden_sizes"):
        return config.hidden_sizes[-1]
    return _measured_size(config)


def _measured_size(config: PreTrainedConfig) -> int:
    """Returns the dimension of an image encoder's feature by a forward pass without values."""
    size = getattr(config, "image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    try:
        with torch.device("meta"):
            encoder = build_encoder(config, "mean").eval()
            hidden = encoder(pixel_values=torch.zeros(1, 3, height, width)).last_hidden_state
    except (AttributeError, TypeError, RuntimeError) as error:
        raise ValueError(f"The dimension of the features of {config.model_type!r} is not known: {error}") from error
    return hidden.shape[1] if hidden.ndim == 4 else hidden.shape[-1]


def text_inputs(config: PreTrainedConfig, input_ids: Tensor, attention_mask: Tensor | None) -> dict[str, Tensor | None]:
    """Returns what a text encoder takes of tokens and their mask, (texts, tokens): for most encoders both, as given."""
    if config.model_type not in _FULL_LENGTH:
        return {"input_ids": input_ids, "attention_mask": attention_mask}
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    padded = input_ids.new_zeros(len(input_ids), config.max_position_embeddings)
    padding = config.pad_token_id
    return {"input_ids": padded.scatter_add(1, positions, (input_ids - padding) * mask) + padding}


def pool(outputs: ModelOutput, pooling: str, attention_mask: Tensor | None = None) -> Tensor:
    """Returns one feature per input, (batch, feature).

    Args:
        outputs: an encoder's output. Its last_hidden_state is (batch, tokens, feature), or (batch, feature, height,
            width) for a convolutional encoder.
        pooling: "pooler" (the encoder's own output), "cls" (the first token), "lasttoken", or over all tokens "mean",
            "max" or "weightedmean", the mean with the weights 1, 2, 3, ... (Muennighoff 2022, arXiv:2202.08904).
        attention_mask: (batch, tokens), 0 for padding, on either side, which no pooling but "pooler" counts.

    Example:
        >>> hidden = {"last_hidden_state": torch.tensor([[[9.0], [1.0], [4.0]]])}
        >>> [pool(hidden, name, torch.tensor([[0, 1, 1]])).item() for name in ("cls", "lasttoken", "weightedmean")]
        [1.0, 4.0, 3.0]
    """
    if pooling == "pooler":
        return outputs["pooler_output"].flatten(1)
    hidden = outputs["last_hidden_state"]
    if hidden.ndim == 4:
        return hidden.mean((2, 3))
    mask = torch.ones(hidden.shape[:2], device=hidden.device) if attention_mask is None else attention_mask
    if pooling in ("cls", "lasttoken"):
        places = torch.arange(hidden.shape[1], device=hidden.device)
        found = torch.where(mask != 0, places if pooling == "lasttoken" else -places, -hidden.shape[1]).argmax(1)
        return hidden.gather(1, found[:, None, None].expand(-1, 1, hidden.shape[2])).squeeze(1)
    if pooling == "max":
        return hidden.masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(1)
    weights = (mask * mask.cumsum(1) if pooling == "weightedmean" else mask).unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def with_pooler_output(outputs: ModelOutput, pooler_output: Tensor) -> BaseModelOutputWithPooling:
    """Returns an encoder's output with another `pooler_output`."""
    return BaseModelOutputWithPooling(
        last_hidden_state=outputs["last_hidden_state"],
        pooler_output=pooler_output,
        hidden_states=outputs.get("hidden_states"),
        attentions=outputs.get("attentions"),
    )


def pool_image(
    outputs: ModelOutput, pooling: str, config: PreTrainedConfig, attention_mask: Tensor | None = None
) -> Tensor:
    """Returns `pool` of an image encoder's output; of one with register tokens, the mean is over its patches alone.

    Registers (Darcet et al. 2023, arXiv:2309.16588) lie between the class token and the patches.
    """
    if pooling == "mean" and hasattr(config, "num_register_tokens"):
        outputs = ModelOutput(last_hidden_state=outputs["last_hidden_state"][:, 1 + config.num_register_tokens :])
    return pool(outputs, pooling, attention_mask)


def layer_groups(encoder: PreTrainedModel) -> list[list[nn.Parameter]]:
    """Returns an encoder's weights in groups from input to output: the embeddings, then one group per block.

    A block is an item of the encoder's first module list: a transformer layer, a stage or an inverted residual block.
    Weights after the blocks (a final norm, a pooling head) belong to the last group, and weights that all blocks use
    to the first. Freezing, LoRA and layer-wise learning rates use these groups.

    Raises:
        ValueError: the encoder has no module list.
    """
    path, blocks = next(
        (
            (name, module)
            for name, module in encoder.named_modules()
            if isinstance(module, nn.ModuleList) and len(module)
        ),
        (None, None),
    )
    if path is None or blocks is None:
        raise ValueError(f"{encoder.config.model_type!r} has no list of blocks: use the mode frozen or full.")
    groups: list[list[nn.Parameter]] = [[] for _ in range(len(blocks) + 1)]
    group = 0
    for name, parameter in encoder.named_parameters():
        if name.startswith(f"{path}."):
            group = int(name[len(path) + 1 :].split(".")[0]) + 1
        all_blocks_use_it = "relative_attention_bias" in name
        groups[0 if all_blocks_use_it else group].append(parameter)
    return groups


def is_frozen(module: nn.Module) -> bool:
    """Returns whether a module has parameters and none of them is trainable."""
    trainable = [parameter.requires_grad for parameter in module.parameters()]
    return bool(trainable) and not any(trainable)
