"""The two encoders of a PosterCLIP: how they are built and loaded, and how their output is pooled to one feature."""

import inspect

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ModelOutput
from transformers.models.auto.auto_factory import _get_model_class

from .weights import check_finite, check_loading, listed

# Weights that only an encoder's own pretraining uses; processes that average gradients would wait for them.
PRETRAINING_ONLY = {"embeddings.mask_token"}


def encoder_config(name_or_path: str, side: str) -> PreTrainedConfig:
    """Returns the configuration of a pretrained encoder; of a dual encoder (CLIP, SigLIP), that of one side.

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
            f"Cannot load the {side} encoder {name_or_path!r}. Name a folder that holds one, or a Hub repository while "
            f"the Hub can be reached. transformers says: {str(error).splitlines()[0]}"
        ) from error
    return getattr(config, f"{side}_config", config)


def build_encoder(config: PreTrainedConfig, pooling: str) -> PreTrainedModel:
    """Returns a freshly initialised encoder, with a pooling head only if it is used."""
    return AutoModel.from_config(config, **_head_options(config, pooling))


def load_encoder(name_or_path: str, config: PreTrainedConfig, pooling: str) -> PreTrainedModel:
    """Returns the pretrained encoder of a folder or Hub repository, in float32, which training needs.

    Raises:
        ValueError: the checkpoint lacks weights of the encoder, which would be random, or has some of another shape,
            or some that are not finite. Weights of other parts, such as a language-modelling head, are left out.
        OSError: the file of weights is damaged.
    """
    options = {"output_loading_info": True, "ignore_mismatched_sizes": True, **_head_options(config, pooling)}
    try:
        encoder, loading = AutoModel.from_pretrained(name_or_path, config=config, dtype=torch.float32, **options)
    except SafetensorError as error:
        raise OSError(f"The weights of {name_or_path} are a damaged file: {error}") from error
    missing = set(loading["missing_keys"]) - PRETRAINING_ONLY
    if missing and all("pool" in name for name in missing):
        raise ValueError(f"{name_or_path} has no pooling head ({listed(sorted(missing))}): choose another pooling.")
    check_loading(name_or_path, {**loading, "missing_keys": missing}, allowed={"unexpected"})
    check_finite(name_or_path, encoder.state_dict())
    return encoder


def _head_options(config: PreTrainedConfig, pooling: str) -> dict[str, bool]:
    try:
        model_class = _get_model_class(config, AutoModel._model_mapping)
    except KeyError:
        raise ValueError(f"AutoModel knows no encoder for {config.model_type!r}.") from None
    parameters = inspect.signature(model_class).parameters
    return {"add_pooling_layer": pooling == "pooler"} if "add_pooling_layer" in parameters else {}


def feature_size(config: PreTrainedConfig) -> int:
    """Returns the length of the pooled feature, whatever the encoder's configuration calls it."""
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
        outputs: an encoder's output; its last_hidden_state is (batch, tokens, feature) or, from a convolutional
            encoder, (batch, feature, height, width).
        pooling: "cls", "mean" or "pooler".
        attention_mask: (batch, tokens), 0 where a token is padding; the mean leaves those out.
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


def layer_groups(encoder: PreTrainedModel) -> list[list[nn.Parameter]]:
    """Returns an encoder's weights from bottom to top: those before its blocks, then one group per block.

    A block is an item of the first module list: a transformer layer, a stage of a pyramid, an inverted residual.
    Weights after the blocks (a final norm, a pooling head) belong to the last block; weights that all blocks share
    belong to the first group. Freezing, adapters and learning-rate decay use these groups.
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
        raise ValueError(f"{encoder.config.model_type!r} has no list of blocks: its mode can be frozen or full.")
    groups: list[list[nn.Parameter]] = [[] for _ in range(len(blocks) + 1)]
    reached = 0
    for name, parameter in encoder.named_parameters():
        if name.startswith(f"{path}."):
            reached = int(name[len(path) + 1 :].split(".")[0]) + 1
        shared = "relative_attention_bias" in name
        groups[0 if shared else reached].append(parameter)
    return groups


def is_frozen(module: nn.Module) -> bool:
    """Returns whether a module has weights and none of them trains."""
    trains = [parameter.requires_grad for parameter in module.parameters()]
    return bool(trains) and not any(trains)
