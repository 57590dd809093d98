"""Functions that build, load, pool and divide the encoders of a PosterCLIP."""

import inspect

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, ModelOutput
from transformers.models.auto.auto_factory import _get_model_class

from .weights import check_finite, check_loading, listed

# Weights that only the encoder's pretraining uses. They never train: distributed training would wait for their
# gradients.
PRETRAINING_ONLY = {"embeddings.mask_token"}


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
    return getattr(config, f"{side}_config", config)


def build_encoder(config: PreTrainedConfig, pooling: str) -> PreTrainedModel:
    """Returns a randomly initialised encoder. It has a pooling head only for the pooling "pooler"."""
    return AutoModel.from_config(config, **_head_options(config, pooling))


def load_encoder(name_or_path: str, config: PreTrainedConfig, pooling: str) -> PreTrainedModel:
    """Returns a pretrained encoder in float32, the dtype for training.

    Weights of other parts, such as a language-modelling head, are ignored.

    Args:
        name_or_path: a folder or Hub name.
        config: the encoder's configuration, from `encoder_config`.
        pooling: "cls", "mean" or "pooler".

    Raises:
        ValueError: weights of the encoder are missing, have another shape or are not finite; it names them.
        OSError: the weights file is damaged.
    """
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True, **_head_options(config, pooling)}
    try:
        encoder, loading = AutoModel.from_pretrained(name_or_path, config=config, dtype=torch.float32, **options)
    except SafetensorError as error:
        raise OSError(f"The weights of {name_or_path} are a damaged file: {error}") from error
    missing = set(loading["missing_keys"]) - PRETRAINING_ONLY
    if missing and all("pool" in name for name in missing):
        raise ValueError(f"{name_or_path} has no pooling head ({listed(sorted(missing))}): use another pooling.")
    check_loading(name_or_path, {**loading, "missing_keys": missing}, allowed={"unexpected"})
    check_finite(name_or_path, encoder.state_dict())
    return encoder


def _head_options(config: PreTrainedConfig, pooling: str) -> dict[str, bool]:
    try:
        model_class = _get_model_class(config, AutoModel._model_mapping)
    except KeyError:
        raise ValueError(f"AutoModel has no encoder for the model type {config.model_type!r}.") from None
    parameters = inspect.signature(model_class).parameters
    return {"add_pooling_layer": pooling == "pooler"} if "add_pooling_layer" in parameters else {}


def feature_size(config: PreTrainedConfig) -> int:
    """Returns the dimension of an encoder's pooled feature."""
    for name in ("hidden_size", "hidden_dim"):
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    if getattr(config, "hidden_sizes", None):
        return config.hidden_sizes[-1]
    raise ValueError(
        f"{config.model_type!r} has no hidden_size, hidden_dim or hidden_sizes, so its features cannot be projected."
    )


def pool(outputs: ModelOutput, pooling: str, attention_mask: Tensor | None = None) -> Tensor:
    """Returns one feature per input, (batch, feature).

    Args:
        outputs: an encoder's output. Its last_hidden_state is (batch, tokens, feature), or (batch, feature, height,
            width) for a convolutional encoder.
        pooling: "cls", "mean" or "pooler".
        attention_mask: (batch, tokens), 0 for padding, which the mean ignores.
    """
    if pooling == "pooler":
        return outputs["pooler_output"].flatten(1)
    hidden = outputs["last_hidden_state"]
    if pooling == "cls":
        return hidden[:, 0]
    if hidden.ndim == 4:
        return hidden.mean((2, 3))
    if attention_mask is None:
        return hidden.mean(1)
    weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def with_pooler_output(outputs: ModelOutput, pooler_output: Tensor) -> BaseModelOutputWithPooling:
    """Returns an encoder's output with another `pooler_output`."""
    return BaseModelOutputWithPooling(
        last_hidden_state=outputs["last_hidden_state"],
        pooler_output=pooler_output,
        hidden_states=outputs.get("hidden_states"),
        attentions=outputs.get("attentions"),
    )


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
