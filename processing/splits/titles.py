"""Movie titles: the form in which they are compared, and the series that they belong to."""

import re
import unicodedata

_SUPERSCRIPTS = str.maketrans({power: f" {unicodedata.digit(power)}" for power in "¹²³⁴⁵⁶⁷⁸⁹"})
_ARTICLE_LAST = re.compile(r"(.+), (the|an?|l[ae]s?|l'|un|une|el|los|il|lo|gli|der|die|das)", re.IGNORECASE)
_SUBTITLE = re.compile(r":\s|\s[-–—]\s|：")
# Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces between words.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_ROMAN = r"(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})"
_COUNT = rf"(?:\d+|{_ROMAN}|one|two|three|four|five|six|seven|eight|nine|ten|deux)"
_PART = "(?:part|pt|vol|volume|chapter|episode|book|teil|kapitel|parte|capitulo|partie|chapitre|deel|czesc|часть|глава)"
_ORDINAL = (
    r"(?:\d+(?:st|nd|rd|th|e|er|eme|a|o|я)?|second|third|zweiter|dritter|segunda|tercera|terceira|seconda|terza"
    r"|deuxieme|troisieme|вторая|третья)"
)
_SEQUEL = re.compile(
    rf"(?: {_PART} (?:{_COUNT}|{_ORDINAL})"  # "part viii", "vol 2", "chapter two", "teil ii", "часть вторая"
    rf"| (?:{_ORDINAL}|{_ROMAN}) {_PART}"  # "2 teil", "2e partie", "segunda parte"
    r"| ?第[\d一二三四五六七八九十]+[部集章季作弾编編篇话話]"  # "第二部"
    rf"|(?<=[{UNSPACED}]) ?\d+"  # a digit after letters without spaces
    r"| \d+(?: \d+ \d+)?(?: ?d)?"  # "2", "2000", "33 1 3" (33 1/3), "3d", "3 d"
    rf"|(?! i$) {_ROMAN}| deux)$"  # "iii", but "The King and I" stays
)


def article_first(title: str) -> str:
    """Returns a title with its article first, where the order of libraries puts it last.

    Example:
        >>> article_first("Matrix, The")
        'The Matrix'
    """
    last = _ARTICLE_LAST.fullmatch(title)
    if not last:
        return title
    return f"{last[2]}{'' if last[2].endswith(chr(39)) else ' '}{last[1]}"


def series_of(title: str) -> str:
    """Returns the key that a movie shares with its sequels and remakes: the title without number, subtitle and year.

    A `series` column can say what the title does not ("First Blood" and "Rambo"). The key is never empty: a title
    without any letter or digit is its own series.

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
    """Returns a text in lower case without accents and punctuation: "Pokémon: Wayne's" -> "pokemon waynes"."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    letters = re.sub(r"['’`]", "", unicodedata.normalize("NFC", letters))
    if letters.isascii():
        return " ".join(re.sub(r"[\W_]", " ", letters).split())
    # Vowel signs, as of Thai and Hindi, are marks (M): `re` does not count them as parts of a word.
    return " ".join("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in letters).split())
