"""Splits by series: no sequel or remake of a test movie is trained on."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

SPLIT_SIZES: Mapping[str, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}


def split_by_series(series: Sequence[str], sizes: Mapping[str, float] = SPLIT_SIZES, seed: int = 0) -> list[str]:
    """Deal movies to splits, each series whole.

    Args:
        series: one key a movie, as of `series_of`.
        sizes: the share of the movies that each split gets; together 1. Met to within one series.
        seed: another seed deals otherwise. Nothing else matters: not the order of the rows, not the machine.

    Returns:
        One split name a movie, in the order of `series`.

    Raises:
        ValueError: the sizes are not shares of 1, or there are too few series to give every split one.

    Example:
        >>> split_by_series(["rocky", "alien", "rocky", "jaws"], {"train": 0.75, "test": 0.25})
        ['train', 'test', 'train', 'train']
    """
    if any(share <= 0 for share in sizes.values()) or abs(sum(sizes.values()) - 1) > 1e-6:
        raise ValueError(f"split sizes must be above 0 and add up to 1, not {dict(sizes)}")
    counts = Counter(series)
    room = {name: share * len(series) for name, share in sizes.items()}
    empty = dict.fromkeys(sizes)
    dealt: dict[str, str] = {}
    for key in sorted(counts, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()):
        # The last series are kept for splits that would otherwise get none.
        open_to = empty if len(counts) - len(dealt) <= len(empty) else room
        name = max(open_to, key=lambda name: room[name])
        dealt[key] = name
        room[name] -= counts[key]
        empty.pop(name, None)
    if empty:
        names = ", ".join(map(repr, empty))
        raise ValueError(f"{len(counts)} series cannot fill {len(sizes)} splits: {names} would be empty")
    return [dealt[key] for key in series]
