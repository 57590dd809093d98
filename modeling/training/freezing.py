"""The training modes of an encoder: frozen, last-K, lora and full."""

import re

from transformers import PreTrainedModel

from modeling.posterclip.encoders import PRETRAINING_ONLY, layer_groups

from .lora import add_lora

DEFAULT_LORA_RANK = 16


def check_modes(*modes: str, lora_rank: int | None = None) -> int | None:
    """Checks the training modes of encoders before anything is loaded.

    Args:
        modes: the mode of each encoder; see `set_mode`.
        lora_rank: the rank of the adapters of encoders with the mode "lora".

    Returns:
        The rank, `DEFAULT_LORA_RANK` by default; None if no mode is "lora".

    Raises:
        ValueError: a mode is unknown, the rank is below 1, or there is a rank but no mode "lora".
        ImportError: a mode is "lora" and peft is not installed.

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
        raise ImportError("The encoder mode lora needs peft, which is not installed: pip install peft") from error
    return lora_rank or DEFAULT_LORA_RANK


def set_mode(encoder: PreTrainedModel, mode: str, lora_rank: int | None = None) -> None:
    """Sets which of an encoder's weights are trainable.

    Args:
        encoder: the encoder.
        mode: "frozen" (no weights), "last-K" (the last K of `layer_groups`), "lora" (adapters in all layer groups but
            the first; see `modeling.training.lora`) or "full" (all weights).
        lora_rank: the rank of the adapters, `DEFAULT_LORA_RANK` by default. Other modes ignore it.

    Raises:
        ValueError: the mode is unknown, or K is larger than the number of layer groups.
        ImportError: the mode is "lora" and peft is not installed.
    """
    check_modes(mode)
    encoder.requires_grad_(mode == "full")
    if mode.startswith("last-"):
        groups, count = layer_groups(encoder), int(mode[5:])
        if count > len(groups):
            raise ValueError(f"{mode}: {encoder.config.model_type!r} has {len(groups)} layer groups.")
        for parameter in [parameter for group in groups[-count:] for parameter in group]:
            parameter.requires_grad_(True)
    elif mode == "lora":
        add_lora(encoder, lora_rank or DEFAULT_LORA_RANK)
    for name, parameter in encoder.named_parameters():
        if name in PRETRAINING_ONLY:
            parameter.requires_grad_(False)
