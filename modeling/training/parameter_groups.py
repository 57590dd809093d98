"""An optimizer's parameter groups: weight decay of matrices alone, and layer-wise learning rates."""

import re
from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from modeling.posterclip.encoders import layer_groups

NO_DECAY = re.compile(r"position|relative|cls_token|class_embedding|mask_token")


def decay_parameter_names(model: nn.Module) -> list[str]:
    """Returns the names of parameters with weight decay: matrices and kernels, without position embeddings."""
    return [name for name, parameter in model.named_parameters() if parameter.ndim > 1 and not NO_DECAY.search(name)]


def split_by_depth(
    groups: Iterable[dict[str, Any]], encoders: Iterable[PreTrainedModel], decay: float
) -> list[dict[str, Any]]:
    """Returns parameter groups split by depth, each with its own learning rate.

    Args:
        groups: the parameter groups of an optimizer.
        encoders: the encoders. Parameters outside them keep the learning rate of their group.
        decay: the factor of the learning rate from one of an encoder's layer groups to the one before it.
    """
    depths: dict[nn.Parameter, int] = {}
    for encoder in encoders:
        for depth, layer in enumerate(reversed(layer_groups(encoder)), start=1):
            depths.update(dict.fromkeys(layer, depth))
    split = []
    for group in groups:
        by_depth: dict[int, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_depth.setdefault(depths.get(parameter, 0), []).append(parameter)
        for depth, parameters in sorted(by_depth.items()):
            split.append({**group, "params": parameters, "lr": group["lr"] * decay**depth})
    return split
