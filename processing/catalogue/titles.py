"""Movie titles: how they are compared, and the series that they belong to."""

import re
import unicodedata

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


def plain(text: str) -> str:
    """Lower case, no accents, no punctuation: "Pokémon: Wayne's" -> "pokemon waynes"."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    letters = re.sub(r"['’`]", "", unicodedata.normalize("NFC", letters))
    return " ".join(re.sub(r"[\W_]", " ", letters).split())
