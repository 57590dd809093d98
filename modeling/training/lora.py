"""Low-rank adapters in the encoders (LoRA, Hu et al. 2021, arXiv:2106.09685), through peft.

An adapted layer computes with W + s B A: its weight W rests, the small matrices A and B train. The model stays a
`PosterCLIPModel` in all else. There are two ways to keep what it learned: `merged_state_dict` has the weights of a
plain model, which loads without peft; `save_adapter` writes what trained and nothing else, to be put onto the same
base again, bit for bit.

peft is imported where it is needed, so that everything else works without it.
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
_NAME = "default"  # how peft calls an adapter that is the only one
_PREFIX = "base_model.model."  # before every name in an adapter file of peft
_CONFIG, _ADAPTER, _OTHERS = "adapter_config.json", "adapter_model.safetensors", "model.safetensors"


def add_lora(encoder: PreTrainedModel, rank: int) -> None:
    """Freeze an encoder and put trainable adapters into its blocks, in place; its output is at first unchanged.

    Adapted are the linear layers and the convolutions without groups in all of `layer_groups` but the first, so
    not what embeds. The scale s = alpha / rank is 2 at every rank: Hu et al. (section 4.1) keep alpha fixed while they
    vary the rank and treat it as a learning rate, which with a fixed s need not be tuned anew. Adapters are float32
    even where the encoder has 16 bits, in which their small steps would be rounded away.

    Args:
        encoder: the encoder.
        rank: of the matrices B A.

    Raises:
        ValueError: the encoder has no list of blocks, no layer in them that could be adapted, or adapters already.

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
        raise ValueError(f"This {encoder.config.model_type!r} has adapters already.")
    blocks = {weight for group in layer_groups(encoder)[1:] for weight in group}
    layers = [name for name, module in encoder.named_modules() if _can_adapt(module) and module.weight in blocks]
    if not layers:
        raise ValueError(f"{encoder.config.model_type!r} has no layer that LoRA could adapt.")
    _inject(encoder, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers))


def _can_adapt(module: nn.Module) -> bool:
    # No subclasses: torch's own attention has one, whose weight it reads without calling the layer.
    if type(module) is nn.Conv2d:
        return module.groups == 1 and module.dilation == (1, 1)  # peft's own convolution knows no dilation
    return type(module) is nn.Linear


def _inject(encoder: PreTrainedModel, config: "PeftConfig") -> None:
    from peft.functional import cast_adapter_dtype, inject_adapter_in_model

    inject_adapter_in_model(config, encoder, _NAME)
    cast_adapter_dtype(encoder, _NAME)


def adapted_encoders(model: PosterCLIPModel) -> list[str]:
    """Which of the two encoders have adapters, by their names in the model."""
    return [name for name in ENCODERS if hasattr(getattr(model, name), "peft_config")]


def _adapted_layers(model: nn.Module) -> "list[tuple[str, Conv2d | Linear]]":
    from peft.tuners.lora import Conv2d, Linear

    return [(name, module) for name, module in model.named_modules() if isinstance(module, Conv2d | Linear)]


@torch.no_grad()
def merged_state_dict(model: PosterCLIPModel) -> dict[str, Tensor]:
    """The state dict of a plain model that computes the same: W + s B A in place of each adapted layer.

    The model is left as it is; weights that are not adapted are its own and no copies.
    """
    weights = {
        name.replace(".base_layer.", "."): weight for name, weight in model.state_dict().items() if ".lora_" not in name
    }
    for name, layer in _adapted_layers(model):
        plain = cast(Tensor, layer.get_base_layer().weight)
        weights[f"{name}.weight"] = (plain + layer.get_delta_weight(_NAME)).to(plain.dtype)
    return weights


def merge(model: PosterCLIPModel) -> None:
    """Make the adapters part of the weights, in place: the model is a plain one, its adapted encoders frozen."""
    weights = merged_state_dict(model)
    for name, layer in _adapted_layers(model):
        model.set_submodule(name, layer.get_base_layer())
    for encoder in adapted_encoders(model):
        del getattr(model, encoder).peft_config
    model.load_state_dict(weights)


def save_adapter(model: PosterCLIPModel, folder: str | Path) -> None:
    """Write what trained: for each adapted encoder a folder as peft has them, and all else in `model.safetensors`."""
    from peft import get_peft_model_state_dict

    for name in ENCODERS:
        encoder, place = getattr(model, name), Path(folder) / name
        if name not in adapted_encoders(model):
            (place / _CONFIG).unlink(missing_ok=True)  # of a former run into the same folder
            continue
        encoder.peft_config[_NAME].save_pretrained(place)
        weights = {f"{_PREFIX}{key}": value for key, value in get_peft_model_state_dict(encoder).items()}
        save_file(weights, place / _ADAPTER, metadata={"format": "pt", "base": _base(encoder)})
    save_file(_others(model), Path(folder) / _OTHERS, metadata={"format": "pt"})


def _base(encoder: PreTrainedModel) -> str:
    """A hash of the weights that adapters rest on."""
    weights = {name.replace(".base_layer.", "."): weight for name, weight in encoder.state_dict().items()}
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if ".lora_" not in name):
        digest.update(name.encode())
        digest.update(weights[name].cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _others(model: PosterCLIPModel) -> dict[str, Tensor]:
    """What training changes beside adapters: the other weights that train, and statistics of normalisation."""
    resting = {*adapted_encoders(model), *(name for name in ENCODERS if is_frozen(getattr(model, name)))}
    changing = {name for name, weight in model.named_parameters() if weight.requires_grad}
    changing |= {name for name, _ in model.named_buffers()}
    return {
        name: value.contiguous()
        for name, value in model.state_dict().items()
        if name in changing and name.split(".")[0] not in resting
    }


def load_adapter(model: PosterCLIPModel, folder: str | Path) -> None:
    """Put what `save_adapter` wrote onto a model of the same base, in place.

    Args:
        model: with adapters of the same shape, or plain; a plain encoder gets those of the folder.
        folder: what `save_adapter` wrote.

    Raises:
        ValueError: the folder holds no adapter, or a damaged one, or one with weights that the model has not.
    """
    from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

    folder = Path(folder)
    found = [name for name in ENCODERS if (folder / name / _CONFIG).is_file()]
    if not found or not (folder / _OTHERS).is_file():
        raise ValueError(f"{folder} holds no adapter: there is no {_OTHERS}, or no encoder's {_CONFIG} beside it.")
    if missing := [name for name in adapted_encoders(model) if name not in found]:
        raise ValueError(f"{folder} holds no adapter of {missing[0]}.")
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
        here = encoder.peft_config[_NAME]
        if (config.r, config.lora_alpha) != (here.r, here.lora_alpha):
            raise ValueError(
                f"{folder / name} has rank {config.r} and alpha {config.lora_alpha}; "
                f"the model has {here.r} and {here.lora_alpha}."
            )
        expected = {f"{_PREFIX}{key}": value for key, value in get_peft_model_state_dict(encoder).items()}
        weights = _read(folder / name / _ADAPTER, expected)
        with safe_open(folder / name / _ADAPTER, "pt") as file:
            if (file.metadata() or {}).get("base", _base(encoder)) != _base(encoder):
                raise ValueError(f"{folder / name} does not fit: it was trained on other weights than the model's.")
        if lacking := expected.keys() - weights.keys():
            raise ValueError(f"{folder / name / _ADAPTER} lacks {listed(sorted(lacking))}.")
        set_peft_model_state_dict(encoder, weights, _NAME)
    others = _read(folder / _OTHERS, model.state_dict())
    own = {name for name in _others(model) if name.split(".")[0] not in ENCODERS}
    if lacking := own - others.keys():
        raise ValueError(f"{folder / _OTHERS} lacks {listed(sorted(lacking))}.")
    model.load_state_dict(others, strict=False)


def _read(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a file, if each is in `expected` by its name and shape."""
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    for name, weight in weights.items():
        if name not in expected:
            raise ValueError(f"{path} does not fit: the model has no {name}.")
        if weight.shape != expected[name].shape:
            there, here = tuple(weight.shape), tuple(expected[name].shape)
            raise ValueError(f"{path} does not fit: {name} is {there} there and {here} in the model.")
    check_finite(path, weights)
    return weights
