"""Splits by series: no sequel or remake of a test movie is trained on."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

SPLIT_SIZES: Mapping[str, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}

_SUPERSCRIPTS = str.maketrans({power: f" {unicodedata.digit(power)}" for power in "¹²³⁴⁵⁶⁷⁸⁹"})
_ARTICLE_LAST = re.compile(r"(.+), (the|an?|l[ae]s?|l'|un|une|el|los|il|lo|gli|der|die|das)", re.IGNORECASE)
_SUBTITLE = re.compile(r":\s|\s[-–—]\s")
_ROMAN = r"(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})"
_COUNT = rf"(?:\d+|{_ROMAN}|one|two|three|four|five|six|seven|eight|nine|ten|deux)"
_SEQUEL = re.compile(
    rf"(?: (?:part|pt|vol|volume|chapter|episode|book) {_COUNT}"  # "part viii", "vol 2", "chapter two"
    r"| \d+(?: \d+ \d+)?(?: ?d)?"  # "2", "2000", "33 1 3" (33 1/3), "3d", "3 d"
    rf"|(?! i$) {_ROMAN}| deux)$"  # "iii", but "The King and I" stays
)


def article_first(title: str) -> str:
    """Undo the library order of a title.

    Example:
        >>> article_first("Matrix, The")
        'The Matrix'
    """
    last = _ARTICLE_LAST.fullmatch(title)
    if not last:
        return title
    return f"{last[2]}{'' if last[2].endswith(chr(39)) else ' '}{last[1]}"


def series_of(title: str) -> str:
    """The key that a movie shares with its sequels and remakes: the title without number, subtitle and year.

    It reads nothing but the title: what it cannot see ("First Blood" and "Rambo") a `series` column can say.
    The key is never empty; a title without any letter or digit is its own series.

    Raises:
        ValueError: the title is blank.

    Example:
        >>> series_of("Star Wars: Episode IV - A New Hope"), series_of("Matrix, The (1999)")
        ('star wars', 'matrix')
    """
    if not title.strip():
        raise ValueError("a title without text has no series")
    text = title.translate(_SUPERSCRIPTS)
    text = re.sub(r"(?<=\S)\s*\([^()]*\)", "", text).strip()  # "(1999)", "(Original title)"
    head = _SUBTITLE.split(article_first(text), maxsplit=1)[0]
    key = re.sub(r"^(the|an?) (?=.)", "", plain(head))
    # Two letters must be left: "1984", "8 1/2", "K-9" and "F/X" are names, not numbers of a sequel.
    while (shorter := _SEQUEL.sub("", key)) != key and sum(map(str.isalpha, shorter)) > 1:
        key = shorter
    return key or plain(title) or title.strip()


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


def plain(text: str) -> str:
    """Lower case, no accents, no punctuation: "Pokémon: Wayne's" -> "pokemon waynes"."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    letters = re.sub(r"['’`]", "", unicodedata.normalize("NFC", letters))
    return " ".join(re.sub(r"[\W_]", " ", letters).split())
