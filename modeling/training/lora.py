"""Low-rank adapters in the encoders (LoRA, Hu et al. 2021, arXiv:2106.09685), through peft.

An adapted layer uses the weight W + s B A: W is frozen, and the small matrices A and B are trained. The model is still
a `PosterCLIPModel`. `merged_state_dict` returns the weights of an equivalent model without adapters, which loads
without peft. `save_adapter` saves the trained weights alone, and `load_adapter` restores them exactly on the same base
weights.

Functions import peft themselves, so that the rest of the package works without it.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from modeling.posterclip.encoders import is_frozen, layer_groups
from modeling.posterclip.modeling_posterclip import PosterCLIPModel
from modeling.posterclip.weights import check_finite, listed

if TYPE_CHECKING:
    from peft import PeftConfig
    from peft.tuners.lora import Conv2d, Linear

ENCODERS = ("vision_model", "text_model")
_NAME = "default"  # peft's name of a single adapter
_PREFIX = "base_model.model."  # of all names in peft's adapter files
_CONFIG, _ADAPTER, _OTHERS = "adapter_config.json", "adapter_model.safetensors", "model.safetensors"


def add_lora(encoder: PreTrainedModel, rank: int) -> None:
    """Freezes an encoder and adds trainable adapters to its blocks, in place. New adapters do not change its output.

    The linear layers and ungrouped convolutions of all `layer_groups` but the first, the embeddings, get adapters. The
    scale s = alpha / rank is 2 for every rank, so that the rank can change without a new learning rate (Hu et al.,
    section 4.1). Adapters are float32 even in a 16-bit encoder, which would round small updates to zero.

    Args:
        encoder: the encoder.
        rank: the rank of the product B A.

    Raises:
        ValueError: the encoder has no list of blocks, no layer for adapters in them, or adapters already.

    Example:
        >>> from transformers import BertConfig, BertModel
        >>> config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
        >>> encoder = BertModel(config, add_pooling_layer=False)
        >>> add_lora(encoder, rank=2)
        >>> sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)  # 6 layers, 2 x (8 + 8) each
        192
    """
    from peft import LoraConfig

    if hasattr(encoder, "peft_config"):
        raise ValueError(f"The encoder {encoder.config.model_type!r} has adapters already.")
    blocks = {weight for group in layer_groups(encoder)[1:] for weight in group}
    layers = [name for name, module in encoder.named_modules() if _can_adapt(module) and module.weight in blocks]
    if not layers:
        raise ValueError(f"The encoder {encoder.config.model_type!r} has no layers that LoRA can adapt.")
    _inject(encoder, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers))


def _can_adapt(module: nn.Module) -> bool:
    # torch's attention reads the weight of a subclass of nn.Linear without calling the layer.
    if type(module) is nn.Conv2d:
        return module.groups == 1 and module.dilation == (1, 1)  # peft's convolution has no dilation
    return type(module) is nn.Linear


def _inject(encoder: PreTrainedModel, config: "PeftConfig") -> None:
    from peft.functional import cast_adapter_dtype, inject_adapter_in_model

    inject_adapter_in_model(config, encoder, _NAME)
    cast_adapter_dtype(encoder, _NAME)


def adapted_encoders(model: PosterCLIPModel) -> list[str]:
    """Returns the names of the model's encoders that have adapters."""
    return [name for name in ENCODERS if hasattr(getattr(model, name), "peft_config")]


def _adapted_layers(model: nn.Module) -> "list[tuple[str, Conv2d | Linear]]":
    from peft.tuners.lora import Conv2d, Linear

    return [(name, module) for name, module in model.named_modules() if isinstance(module, Conv2d | Linear)]


@torch.no_grad()
def merged_state_dict(model: PosterCLIPModel) -> dict[str, Tensor]:
    """Returns the state dict of an equivalent model without adapters, with W + s B A for each adapted layer.

    The model does not change. Weights that are not adapted are not copied.
    """
    weights = {
        name.replace(".base_layer.", "."): weight for name, weight in model.state_dict().items() if ".lora_" not in name
    }
    for name, layer in _adapted_layers(model):
        plain = cast(Tensor, layer.get_base_layer().weight)
        weights[f"{name}.weight"] = (plain + layer.get_delta_weight(_NAME)).to(plain.dtype)
    return weights


def merge(model: PosterCLIPModel) -> None:
    """Merges the adapters into the weights, in place. The adapted encoders are frozen afterwards."""
    weights = merged_state_dict(model)
    for name, layer in _adapted_layers(model):
        model.set_submodule(name, layer.get_base_layer())
    for encoder in adapted_encoders(model):
        del getattr(model, encoder).peft_config
    model.load_state_dict(weights)


def save_adapter(model: PosterCLIPModel, folder: str | Path) -> None:
    """Saves the trained weights: each encoder's adapters in peft's format, and all others in `model.safetensors`."""
    from peft import get_peft_model_state_dict

    for name in ENCODERS:
        encoder, place = getattr(model, name), Path(folder) / name
        if name not in adapted_encoders(model):
            (place / _CONFIG).unlink(missing_ok=True)  # left by an earlier run with the same folder
            continue
        encoder.peft_config[_NAME].save_pretrained(place)
        weights = {f"{_PREFIX}{key}": value for key, value in get_peft_model_state_dict(encoder).items()}
        save_file(weights, place / _ADAPTER, metadata={"format": "pt", "base": _base(encoder)})
    save_file(_others(model), Path(folder) / _OTHERS, metadata={"format": "pt"})


def _base(encoder: PreTrainedModel) -> str:
    """Returns a hash of the base weights, which the adapters need."""
    weights = {name.replace(".base_layer.", "."): weight for name, weight in encoder.state_dict().items()}
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if ".lora_" not in name):
        digest.update(name.encode())
        digest.update(weights[name].cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _others(model: PosterCLIPModel) -> dict[str, Tensor]:
    """Returns what training changes beside adapters: other trainable weights, and statistics of normalisation."""
    unchanged = {*adapted_encoders(model), *(name for name in ENCODERS if is_frozen(getattr(model, name)))}
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    trained |= {name for name, _ in model.named_buffers()}
    return {
        name: value.contiguous()
        for name, value in model.state_dict().items()
        if name in trained and name.split(".")[0] not in unchanged
    }


def load_adapter(model: PosterCLIPModel, folder: str | Path) -> None:
    """Loads what `save_adapter` saved into a model with the same base weights, in place.

    Args:
        model: the model. Encoders without adapters get new ones; existing adapters must have the same shapes.
        folder: the folder that `save_adapter` wrote.

    Raises:
        ValueError: the folder has no adapter, or one that is damaged, incomplete or does not fit the model.
    """
    from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

    folder = Path(folder)
    found = [name for name in ENCODERS if (folder / name / _CONFIG).is_file()]
    if not found or not (folder / _OTHERS).is_file():
        raise ValueError(f"{folder} has no adapter: {_OTHERS} is missing, or there is no encoder's {_CONFIG}.")
    if missing := [name for name in adapted_encoders(model) if name not in found]:
        raise ValueError(f"{folder} has no adapter of {missing[0]}.")
    for name in found:
        encoder = getattr(model, name)
        try:
            config = LoraConfig.from_pretrained(str(folder / name), inference_mode=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / name / _CONFIG} cannot be read: {error}") from error
        if name not in adapted_encoders(model):
            try:
                _inject(encoder, config)
            except ValueError as error:
                raise ValueError(f"{folder / name} does not fit: {error}") from error
        own = encoder.peft_config[_NAME]
        if (config.r, config.lora_alpha) != (own.r, own.lora_alpha):
            raise ValueError(
                f"{folder / name} has rank {config.r} and alpha {config.lora_alpha}; "
                f"the model has {own.r} and {own.lora_alpha}."
            )
        expected = {f"{_PREFIX}{key}": value for key, value in get_peft_model_state_dict(encoder).items()}
        weights = _read(folder / name / _ADAPTER, expected)
        with safe_open(folder / name / _ADAPTER, "pt") as file:
            if (file.metadata() or {}).get("base", _base(encoder)) != _base(encoder):
                raise ValueError(f"{folder / name} does not fit: it was trained with other base weights.")
        if missing := sorted(expected.keys() - weights.keys()):
            raise ValueError(f"{folder / name / _ADAPTER} lacks {listed(missing)}.")
        set_peft_model_state_dict(encoder, weights, _NAME)
    others = _read(folder / _OTHERS, model.state_dict())
    required = {name for name in _others(model) if name.split(".")[0] not in ENCODERS}
    if missing := sorted(required - others.keys()):
        raise ValueError(f"{folder / _OTHERS} lacks {listed(missing)}.")
    model.load_state_dict(others, strict=False)


def _read(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights of a file. Each must have the name and shape of one in `expected`."""
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    for name, weight in weights.items():
        if name not in expected:
            raise ValueError(f"{path} does not fit: the model has no {name}.")
        if weight.shape != expected[name].shape:
            found, own = tuple(weight.shape), tuple(expected[name].shape)
            raise ValueError(f"{path} does not fit: {name} is {found}, but {own} in the model.")
    check_finite(path, weights)
    return weights
