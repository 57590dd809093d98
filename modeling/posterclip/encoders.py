"""The two encoders of a PosterCLIP: how any of them is built, measured and pooled to one feature."""

import inspect

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ModelOutput
from transformers.models.auto.auto_factory import _get_model_class

# Weights that only an encoder's own pretraining reads; processes that average gradients would wait for them.
PRETRAINING_ONLY = {"embeddings.mask_token"}


def encoder_config(name_or_path: str, side: str) -> PreTrainedConfig:
    """The configuration of a pretrained encoder.

    Of a checkpoint that holds two encoders (CLIP, SigLIP) it is that of `side`, "vision" or "text".
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
    """A freshly initialised encoder, without a pooling head that nobody would read."""
    return AutoModel.from_config(config, **_head_options(config, pooling))


def load_encoder(name_or_path: str, config: PreTrainedConfig, pooling: str) -> PreTrainedModel:
    """The pretrained encoder of a folder or Hub repository, in float32, which training needs.

    Raises ValueError for a weight that the checkpoint does not have: it would be random, and nobody would know.
    """
    options = _head_options(config, pooling)
    encoder, loading = AutoModel.from_pretrained(
        name_or_path, config=config, dtype=torch.float32, output_loading_info=True, **options
    )
    if missing := sorted(set(loading["missing_keys"]) - PRETRAINING_ONLY):
        hint = " It has no pooling head: choose another pooling." if any("pool" in name for name in missing) else ""
        raise ValueError(f"{name_or_path!r} lacks {len(missing)} weights of its encoder, first {missing[0]}.{hint}")
    return encoder


def _head_options(config: PreTrainedConfig, pooling: str) -> dict[str, bool]:
    try:
        model_class = _get_model_class(config, AutoModel._model_mapping)
    except KeyError:
        raise ValueError(f"AutoModel knows no encoder for {config.model_type!r}.") from None
    parameters = inspect.signature(model_class).parameters
    return {"add_pooling_layer": pooling == "pooler"} if "add_pooling_layer" in parameters else {}


def feature_size(config: PreTrainedConfig) -> int:
    """Length of the pooled feature: encoders name it differently, and pyramids end in their last stage."""
    for name in ("hidden_size", "hidden_dim"):
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    if getattr(config, "hidden_sizes", None):
        return config.hidden_sizes[-1]
    raise ValueError(
        f"{config.model_type!r} has no hidden_size, hidden_dim or hidden_sizes, so its features cannot be projected."
    )


def pool(outputs: ModelOutput, pooling: str, attention_mask: Tensor | None = None) -> Tensor:
    """One feature per input, (batch, feature).

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
    """An encoder's weights from bottom to top: what comes before its blocks, then block by block.

    A block is an item of the first module list: a transformer layer, a stage of a pyramid, an inverted residual.
    What comes after the blocks (a final norm, a pooling head) belongs to the last; what all blocks share is below
    the first. Freezing from below, adapters and learning-rate decay go by this list.
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
    """Whether a module has weights and none of them trains; of a whole encoder: its output never changes."""
    trains = [parameter.requires_grad for parameter in module.parameters()]
    return bool(trains) and not any(trains)
