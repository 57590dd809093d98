"""What is printed on a poster beside a movie's titles and year, as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from processing.posterclip.ocr_text import MIN_SCORE, TITLE_HEIGHT
from processing.splits.titles import article_first, plain

Lines = Sequence[str | Mapping[str, Any]]

TITLE_FEATURES = (
    *("title_in_text", "title_words", "title_as_lines", "line_height", "title_as_largest", "title_in_largest"),
    *("title_length", "text_length", "numbers_shared", "numbers_missing", "numbers_extra"),
)
YEAR_FEATURES = ("year_printed", "other_year_printed")
TEXT_FEATURES = (*TITLE_FEATURES, *YEAR_FEATURES)
LONGEST_GROUP = 4  # neighbouring lines that may hold a title together
WORD_FOUND = 80  # of 100: how similar a word of a title and its best place in the text must be

_COUNTED = ("i ii iii iv v vi vii viii ix x", "one two three four five six seven eight nine ten")
_DIGITS = {word: str(number) for words in _COUNTED for number, word in enumerate(words.split(), 1)}


class PosterText:
    """The lines that are printed on a poster, prepared for `text_features`.

    Args:
        lines: as OCR gives them, each a text or a mapping of `text` and maybe `score` and `box`.

    Example:
        >>> title, tagline = {"text": "MOBY", "box": [0, 0.1, 1, 0.2]}, {"text": "a whale", "box": [0, 0.8, 1, 0.83]}
        >>> PosterText([title, tagline]).largest
        'moby'
    """

    def __init__(self, lines: Lines) -> None:
        rows = [{"score": 1.0, "box": None, **({"text": line} if isinstance(line, str) else line)} for line in lines]
        rows = [row for row in rows if row["score"] >= MIN_SCORE and plain(row["text"])]
        self.lines = [str(row["text"]) for row in rows]
        texts = [plain(line) for line in self.lines]
        letters = [text.replace(" ", "") for text in texts]
        heights = np.array([row["box"][3] - row["box"][1] if row["box"] else 1.0 for row in rows], np.float64)
        heights /= max(heights.max(initial=0), 1e-6)
        large = [number for number, height in enumerate(heights) if height >= TITLE_HEIGHT]
        spans = [(i, j) for i in range(len(rows)) for j in range(i + 1, min(i + LONGEST_GROUP, len(rows)) + 1)]
        self.text = "".join(letters)
        self.largest = "".join(letters[number] for number in large)
        self.groups = ["".join(letters[i:j]) for i, j in spans]
        self.spans = spans
        self.group_heights = [float(heights[i:j].mean()) for i, j in spans]
        self.numbers = _numbers(" ".join(texts))
        self.largest_numbers = _numbers(" ".join(texts[number] for number in large))
        self.years = {int(year) for year in re.findall(r"(?:18[89]|19\d|20\d)\d", " ".join(texts))}


class MovieText:
    """A movie's titles and year, prepared for `text_features`."""

    def __init__(self, titles: Sequence[str], year: int | None = None) -> None:
        self.titles = [title for title in (plain(article_first(title)) for title in titles) if title]
        self.letters = [title.replace(" ", "") for title in self.titles]
        self.year = year


def text_features(poster: PosterText, movies: Sequence[MovieText]) -> NDArray[np.float32]:
    """Returns what the text of one poster says of movies, (movies, TEXT_FEATURES).

    Of a movie with several titles the one that fits best counts. All similarities are edit distances
    (`rapidfuzz`), from 0 to 1, of letters and digits alone, because OCR loses spaces:

    - `title_in_text`, `title_in_largest`: of the title and its best place in the whole text or in the largest lines;
    - `title_words`: the share of the title's letters that are in words found in the text;
    - `title_as_lines`: of the title and its best line or group of neighbouring lines, whole; `line_height`: of those,
      as a share of the tallest line's;
    - `title_as_largest`: of the title and the largest lines, whole;
    - `title_length`, `text_length`: logarithms of numbers of letters;
    - `numbers_shared`, `numbers_missing`, `numbers_extra`: numbers (2, II, two) in title and text, in the title
      alone, and in the largest lines alone;
    - `year_printed`, `other_year_printed`: the movie's year is in the text, or only years that differ by more than 1.

    Example:
        >>> poster = PosterText(["THE EXORCIST", "1973"])
        >>> features = text_features(poster, [MovieText(["The Exorcist"], 1973), MovieText(["The Exorcist III"], 1990)])
        >>> found = TEXT_FEATURES.index("title_as_lines"), TEXT_FEATURES.index("numbers_missing")
        >>> features[:, found].tolist() == [[1.0, 0.0], [np.float32(0.88), 1.0]]
        True
    """
    features = np.zeros((len(movies), len(TEXT_FEATURES)), np.float32)
    owners = [number for number, movie in enumerate(movies) for _ in movie.titles]
    titles = [title for movie in movies for title in movie.titles]
    if titles and poster.text:
        letters = [title for movie in movies for title in movie.letters]
        similar = process.cdist(letters, poster.groups, dtype=np.float32)
        best: dict[int, int] = {}
        for number, owner in enumerate(owners):
            if owner not in best or similar[number].max() > similar[best[owner]].max():
                best[owner] = number
        for owner, number in best.items():
            features[owner, : len(TITLE_FEATURES)] = _title_features(poster, titles[number], similar[number])
    for number, movie in enumerate(movies):
        if movie.year and poster.years:
            near = any(abs(movie.year - year) <= 1 for year in poster.years)
            features[number, len(TITLE_FEATURES) :] = movie.year in poster.years, not near
    return features


def _title_features(poster: PosterText, title: str, similar: NDArray[np.float32]) -> tuple[float, ...]:
    letters, numbers = title.replace(" ", ""), _numbers(title)
    group = int(similar.argmax())
    return (
        _within(letters, poster.text),
        sum(len(word) for word in title.split() if _within(word, poster.text) >= WORD_FOUND / 100) / len(letters),
        float(similar[group]) / 100,
        poster.group_heights[group],
        fuzz.ratio(letters, poster.largest) / 100,
        _within(letters, poster.largest),
        float(np.log(len(letters))),
        float(np.log(len(poster.text))),
        len(numbers & poster.numbers),
        len(numbers - poster.numbers),
        len(poster.largest_numbers - numbers),
    )


def matched_lines(poster: PosterText, movie: MovieText) -> list[str]:
    """Returns the lines of a poster that hold the movie's title or most of its words, from top to bottom.

    Example:
        >>> matched_lines(PosterText(["Gregory Peck", "MOBY", "DICK"]), MovieText(["Moby Dick"]))
        ['MOBY', 'DICK']
    """
    chosen: set[int] = set()
    for title in movie.letters if poster.groups else []:
        similar = process.cdist([title], poster.groups, dtype=np.float32)[0]
        if similar.max() >= WORD_FOUND:
            chosen.update(range(*poster.spans[int(similar.argmax())]))
    return [poster.lines[number] for number in sorted(chosen)]


def _within(needle: str, text: str) -> float:
    """Returns how similar a text and its best place in a longer one are; of a shorter one all of it."""
    similar = fuzz.partial_ratio if len(needle) <= len(text) else fuzz.ratio
    return similar(needle, text) / 100


def _numbers(text: str) -> set[str]:
    """Returns the numbers of a plain text that count sequels, in digits."""
    found = {_DIGITS.get(word, word) for word in text.split() if word in _DIGITS or re.fullmatch(r"\d{1,2}", word)}
    return found - {"1"}
