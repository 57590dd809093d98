"""The values of a row's cells: texts, lists, years, genres, names of splits, ids."""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_ABSENT = {"", "nan", "none", "null", "n/a", "#n/a", "<na>", r"\n", "-", "--", "?", "undefined", "(no genres listed)"}
# What sites write in place of a plot, without case and punctuation.
_NO_PLOT = re.compile(
    r"(no|add an?|missing) (plot|overview|synopsis|summary|description|storyline)"
    r"( \w+)?( available| found| yet)?( \w+)?"
    r"|(the )?(plot|overview|synopsis|summary|description)( is| details are)? "
    r"(currently )?(unknown|unavailable|not available|undisclosed|kept under wraps|under wraps)( at this time)?"
    r"|we dont have an overview translated in .*|unknown|not available|coming soon|tb[ad]|na"
)
# As `datasets` calls them.
_SPLITS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "tst", "eval", "evaluation"),
}
_SPLIT_OF = {name: split for split, names in _SPLITS.items() for name in names}


def as_text(value: Any, what: str) -> str:
    """Returns the value as text without space around it, "" if it is absent.

    Raises:
        ValueError: it is no text; the message is the reason.

    Example:
        >>> as_text(862.0, "id"), as_text(r"\\N", "title")
        ('862', '')
    """
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"{what} is not text but {type(value).__name__}")
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not UTF-8 text") from None
    return "" if is_absent(text) else text


def is_absent(text: str) -> bool:
    """Returns whether a text stands for no value."""
    return text.strip().lower() in _ABSENT


def as_id(value: Any) -> str:
    """Returns an id as text; a number as pandas writes it, 862.0, is 862."""
    return re.sub(r"(?<=\d)\.0+$", "", as_text(value, "id"))


def as_texts(value: Any, what: str, separators: str = "") -> list[str]:
    """Returns the texts of a cell, without the absent ones and each once.

    Args:
        value: one text; or a list of texts or of mappings with a `name`, as such or written as JSON or Python.
        what: the name of the field.
        separators: the characters that part several texts in one.

    Example:
        >>> as_texts('[{"id": 16, "name": "Animation"}, {"id": 10751, "name": "Family"}]', "genres")
        ['Animation', 'Family']
        >>> as_texts("Drama|War", "genres", "|,;")
        ['Drama', 'War']
    """
    value = _parsed(value)
    if isinstance(value, Mapping):
        value = value.get("name", value)
    if isinstance(value, str) and separators:
        value = re.split(f"[{separators}]", value)
    texts = []
    for item in value if isinstance(value, list | tuple | set) else [value]:
        texts.append(as_text(item.get("name") if isinstance(item, Mapping) and "name" in item else item, what))
    return list(dict.fromkeys(filter(None, texts)))


def as_genres(value: Any) -> list[str]:
    """Returns the genres of a cell, however they are written; a mapping without a `name` is one of names by ids."""
    value = _parsed(value)
    if isinstance(value, Mapping) and "name" not in value:
        value = [*value.values()]
    return [genre for genre in as_texts(value, "genres", "|,;") if genre.lower() != "unknown"]


def as_plots(value: Any, what: str) -> list[str]:
    """Returns the plots of a cell; what sites write where they have none is no plot.

    Example:
        >>> as_plots("No overview found.", "overview")
        []
    """
    words = {plot: re.sub(r"[^\w\s]", "", plot.lower()).strip() for plot in as_texts(value, what)}
    return [plot for plot in words if not _NO_PLOT.fullmatch(words[plot])]


def as_year(value: Any) -> int | None:
    """Returns the year of a year or a date, None if it is absent.

    Raises:
        ValueError: there is no year in it.

    Example:
        >>> as_year("1995-10-30"), as_year("30 Oct 1995"), as_year("1995.0")
        (1995, 1995, 1995)
    """
    if isinstance(value, float) and not value.is_integer() and value == value:
        raise ValueError("year is not text but float")
    text = as_text(value if not hasattr(value, "year") else value.year, "year")
    if not text:
        return None
    if re.fullmatch(r"-?\d{1,4}(\.0)?", text):
        return int(float(text))
    if found := re.search(r"(?<!\d)(18[7-9]|19\d|20\d)\d(?!\d)", text):
        return int(found[0])
    raise ValueError(f"bad year {text[:20]!r}")


def split_name(value: Any) -> str | None:
    """Returns the name of a split, a usual one as `datasets` writes it; None if there is none.

    Raises:
        ValueError: it cannot be a name.

    Example:
        >>> split_name("VAL"), split_name("extra")
        ('validation', 'extra')
    """
    name = as_text(value, "split")
    if not name:
        return None
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"bad name of a split {name[:20]!r}: letters, digits and _ only")
    return _SPLIT_OF.get(name.lower(), name)


def is_split_name(name: str) -> bool:
    """Returns whether this is a usual name of a split."""
    return name.lower() in (*_SPLIT_OF, "extra")


def title_and_year(text: str) -> tuple[str, int | None]:
    """Returns a title without the year in parentheses behind it, and that year.

    Example:
        >>> title_and_year("Heat (1995)")
        ('Heat', 1995)
    """
    found = re.fullmatch(r"(.*\S)\s*\(((?:18|19|20)\d\d)\)", text.strip())
    return (found[1], int(found[2])) if found else (text.strip(), None)


def match_ids(ids: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Returns for each id the known id that it stands for: the same text, or else the one with the same number.

    Numbers are compared without leading zeros and without the `tt` of IMDb. An id that two known ids could stand for
    is left out.

    Example:
        >>> match_ids(["862", "0114709", "9"], ["862", "tt114709", "1"])
        {'862': '862', '0114709': 'tt114709'}
    """
    known = set(known)
    by_number: dict[str, list[str]] = {}
    for name in sorted(known):
        by_number.setdefault(_number(name), []).append(name)
    found = {}
    for name in ids:
        same = [name] if name in known else by_number.get(_number(name), [])
        if len(same) == 1:
            found[name] = same[0]
    return found


def _number(name: str) -> str:
    """Returns the number of an id, or the id itself where it is none."""
    number = re.fullmatch(r"(?:tt)?0*(\d+)", name)
    return number[1] if number else f"={name}"


def _parsed(value: Any) -> Any:
    """Returns the list or mapping that a text holds as JSON or as a Python literal, or else the value."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value
