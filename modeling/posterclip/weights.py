"""Checks that loaded weights are complete, of the right shapes and finite, with errors that name them."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

MAX_NAMES = 5  # in a message


def check_loading(source: Any, loading: Mapping[str, Any], allowed: Collection[str] = ()) -> None:
    """Checks the loading info of `from_pretrained(..., output_loading_info=True)`.

    Args:
        source: the folder or Hub name, for the message.
        loading: the loading info.
        allowed: the differences to ignore: "missing", "unexpected", "mismatched".

    Raises:
        ValueError: weights are missing, unexpected or of another shape; it names them.

    Example:
        >>> check_loading("saved", {"missing_keys": {"text_projection.weight"}, "mismatched_keys": set()})
        Traceback (most recent call last):
        ValueError: The weights of saved do not fit its configuration: 1 missing (text_projection.weight).
    """
    mismatched = loading.get("mismatched_keys", ())
    differences = {
        "missing": sorted(loading.get("missing_keys", ())),
        "unexpected": sorted(loading.get("unexpected_keys", ())),
        "mismatched": sorted(f"{name}: {tuple(found)}, not {tuple(expected)}" for name, found, expected in mismatched),
    }
    errors = [
        f"{len(names)} {'of another shape' if kind == 'mismatched' else kind} ({listed(names)})"
        for kind, names in differences.items()
        if names and kind not in allowed
    ]
    if errors:
        raise ValueError(f"The weights of {source} do not fit its configuration: {', '.join(errors)}.")


def check_finite(source: Any, weights: Mapping[str, Tensor]) -> None:
    """Checks that no weight is NaN or infinite.

    Args:
        source: the folder, file or Hub name, for the message.
        weights: the weights by name. Those on the meta device are not checked.

    Raises:
        ValueError: weights are not finite; it names them.
    """
    bad = [
        name
        for name, weight in weights.items()
        if weight.is_floating_point() and not weight.is_meta and not weight.isfinite().all()
    ]
    if bad:
        raise ValueError(f"The weights of {source} are not finite (NaN or infinite) in {len(bad)}: {listed(bad)}.")


def listed(names: Collection[str]) -> str:
    """Returns the first names in one line, and the number of the others.

    Example:
        >>> listed(["a", "b", "c", "d", "e", "f", "g"])
        'a, b, c, d, e and 2 more'
    """
    more = len(names) - MAX_NAMES
    return ", ".join(list(names)[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
