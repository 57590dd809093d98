"""The modes of an encoder: what of it trains."""

import re

from transformers import PreTrainedModel

from modeling.posterclip.encoders import PRETRAINING_ONLY, layer_groups

from .lora import add_lora

DEFAULT_LORA_RANK = 16


def check_modes(*modes: str, lora_rank: int | None = None) -> int | None:
    """Check how encoders shall train, before anything is loaded.

    Args:
        modes: one for each encoder; see `set_mode`.
        lora_rank: of the modes that are "lora".

    Returns:
        The rank, which has a default; None where no mode is "lora".

    Raises:
        ValueError: an unknown mode, a rank below 1, or a rank for nothing.
        ImportError: a mode that needs peft, where it is not installed.

    Example:
        >>> check_modes("frozen", "lora")
        16
    """
    for mode in modes:
        if mode not in ("frozen", "full", "lora") and not re.fullmatch(r"last-[1-9]\d*", mode):
            raise ValueError(f"There is no encoder mode {mode!r}: use frozen, last-K (such as last-2), lora or full.")
    if "lora" not in modes:
        if lora_rank is not None:
            raise ValueError(f"lora_rank is {lora_rank}, but no encoder has the mode lora.")
        return None
    if lora_rank is not None and lora_rank < 1:
        raise ValueError(f"lora_rank must be at least 1, not {lora_rank}.")
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise ImportError("The encoder mode lora needs peft, which is not here: pip install peft") from error
    return lora_rank or DEFAULT_LORA_RANK


def set_mode(encoder: PreTrainedModel, mode: str, lora_rank: int | None = None) -> None:
    """Choose which of an encoder's weights train.

    Args:
        encoder: the encoder.
        mode: "frozen" (none), "last-K" (the top K of `layer_groups`), "lora" (adapters in all of them but the first;
            see `modeling.training.lora`) or "full" (all).
        lora_rank: of the adapters, `DEFAULT_LORA_RANK` by default; other modes do not read it.

    Raises:
        ValueError: another mode, or more groups than there are.
        ImportError: "lora", and peft is not installed.
    """
    check_modes(mode)
    encoder.requires_grad_(mode == "full")
    if mode.startswith("last-"):
        groups, wanted = layer_groups(encoder), int(mode[5:])
        if wanted > len(groups):
            raise ValueError(f"{mode}: {encoder.config.model_type!r} has {len(groups)} layer groups.")
        for parameter in [parameter for group in groups[-wanted:] for parameter in group]:
            parameter.requires_grad_(True)
    elif mode == "lora":
        add_lora(encoder, lora_rank or DEFAULT_LORA_RANK)
    for name, parameter in encoder.named_parameters():
        if name in PRETRAINING_ONLY:
            parameter.requires_grad_(False)
