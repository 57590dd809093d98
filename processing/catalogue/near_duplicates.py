"""Movies that nearly share a poster (recompressed, resized, a little brighter) or a plot (reworded, cut short)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array

from .titles import UNSPACED, plain

__all__ = ["Pairs", "Thumbnails", "near_duplicates", "near_plots", "near_posters", "thumbnail"]

Thumbnails = NDArray[np.uint8]

SIDE = 32
HASH_BITS = 64
HASH_DISTANCE = 10  # bits
CORRELATION = 0.8
SHINGLE = 3  # words
SHORT = 10  # words
CONTAINMENT = 0.7
BLOCK = 512
_UNSPACED_GAP = re.compile(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")
_TOKEN = re.compile(rf"(?=([{UNSPACED}]{{2}}))|([^\s{UNSPACED}]+)")


class Pairs(NamedTuple):
    """Pairs of rows, (pairs, 2), the lower first, and how alike the two are, (pairs,), 1 at most."""

    rows: NDArray[np.int64]
    likeness: NDArray[np.float64]


def thumbnail(poster: Image.Image) -> Thumbnails:
    """What is compared of a poster: its brightness in 32 x 32, a kilobyte.

    Example:
        >>> thumbnail(Image.new("RGB", (20, 30), "white")).shape
        (32, 32)
    """
    return np.asarray(poster.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0))


def near_posters(thumbnails: Thumbnails) -> Pairs:
    """Posters that are the same picture: perceptual hashes 10 bits of 64 apart at most, and pixels that correlate.

    The hash is `imagehash.phash`: the signs of the low frequencies of a cosine transform. Among 6,206 film posters, all
    different to the eye, it takes 25 of 19 million pairs for near that are merely light and dark in the same places;
    their thumbnails correlate by 0.75 at most, and 0.8 is asked for too. Of 400 of these posters, altered, all are
    found after JPEG of quality 30, at a quarter or nine times their pixels, in grey, at 1.3 times the contrast and at
    0.8 or 1.2 times the brightness, 99 % at 1.5 times the brightness, 98 % without 2 % at each edge, but 78 % without
    3 % at each edge, 37 % with a white border of 3 %, and no mirror image. A poster of one colour is like no other.

    Args:
        thumbnails: (posters, 32, 32), of `thumbnail`.

    Returns:
        The pairs, and the correlation of their thumbnails. Memory grows with the posters and with the pairs found.

    Example:
        >>> noise = Image.effect_noise((60, 90), 80)
        >>> posters = [noise, noise.resize((40, 60)), noise.rotate(180)]
        >>> near_posters(np.stack([thumbnail(poster) for poster in posters])).rows.tolist()
        [[0, 1]]
    """
    hashes = np.array([imagehash.phash(Image.fromarray(picture)).hash.ravel() for picture in thumbnails])
    signs = np.where(hashes.reshape(-1, HASH_BITS), np.float32(1), np.float32(-1))
    found, likeness = [np.empty((0, 2), np.int64)], [np.empty(0)]
    for start in range(0, len(signs), BLOCK):
        agreement = signs[start : start + BLOCK] @ signs[start:].T  # 64 - 2 * distance
        firsts, seconds = start + np.array(np.nonzero(np.triu(agreement, 1) >= HASH_BITS - 2 * HASH_DISTANCE))
        left, right = np.unique(firsts), np.unique(seconds)
        correlations = _standard(thumbnails[left]) @ _standard(thumbnails[right]).T
        alike = correlations[np.searchsorted(left, firsts), np.searchsorted(right, seconds)]
        near = alike >= CORRELATION
        found.append(np.stack([firsts, seconds], axis=1)[near])
        likeness.append(alike[near].astype(float))
    return Pairs(np.concatenate(found), np.concatenate(likeness))


def near_plots(plots: Sequence[Sequence[str]]) -> Pairs:
    """Movies of which any plot is nearly any plot of the other's: the same, reworded a little, or part of it.

    Plots are compared without case, accents and punctuation, as sets of shingles, three words in a row (four
    characters in languages without spaces between words, see `tokens`): the
    containment of the smaller set A in the other B, |A & B| / |A|, is 0.7 or more (Broder 1997, On the resemblance and
    containment of documents). Their resemblance, |A & B| / |A | B|, does not tell: a text that lies whole in a longer
    one has 0.2, and two that follow one pattern have 0.4. Fewer than ten words are near to none but the same words.

    Among 15,659 plots of 6,206 films, a third of them openings of encyclopaedia articles, it finds 13 pairs of movies:
    six of which one plot is cut out of the other, and seven with articles on parts of one series that follow one
    pattern. Just below, with 0.69 and 0.65, come such patterns again, and with 0.6 short plots that are alike.

    Args:
        plots: the plots of each movie.

    Returns:
        The pairs of movies, and the largest containment of each. Memory grows with the plots and the pairs found: the
        counts of common shingles are those of a block of plots at a time.

    Example:
        >>> whale = "A captain hunts the white whale that took his leg and loses his ship."
        >>> near_plots([[whale], ["A count leaves his castle."], ["Once upon a time " + whale.upper()]]).rows.tolist()
        [[0, 2]]
    """
    texts = [(movie, text) for movie, of in enumerate(plots) for text in dict.fromkeys(plain(p) or p for p in of)]
    movies = np.array([movie for movie, _ in texts], np.int64)
    shingles = _shingles([text for _, text in texts])
    sizes = np.diff(shingles.indptr)
    shared = shingles[:, shingles.sum(axis=0) > 1]
    found, likeness = [np.empty(0, np.int64)], [np.empty(0)]
    for start in range(0, len(texts), BLOCK):
        common = (shared[start : start + BLOCK] @ shared[start:].T).tocoo()
        firsts, seconds = start + common.row.astype(np.int64), start + common.col.astype(np.int64)
        containment = common.data / np.minimum(sizes[firsts], sizes[seconds])
        near = (containment >= CONTAINMENT) & (movies[firsts] < movies[seconds])
        found.append(movies[firsts[near]] * len(plots) + movies[seconds[near]])
        likeness.append(containment[near])
    pairs, index = np.unique(np.concatenate(found), return_inverse=True)
    largest = np.zeros(len(pairs))
    np.maximum.at(largest, index, np.concatenate(likeness))
    return Pairs(np.stack(np.divmod(pairs, len(plots)), axis=1), largest)


def near_duplicates(plots: Sequence[Sequence[str]], thumbnails: Thumbnails) -> NDArray[np.int64]:
    """Returns the pairs of movies that nearly share a poster or a plot, (pairs, 2), for `assign_splits`.

    Args:
        plots: of each movie.
        thumbnails: of each movie's poster, (movies, 32, 32), of `thumbnail`.

    Example:
        >>> flat = np.zeros((3, 32, 32), np.uint8)
        >>> near_duplicates([["Boxing."], ["Space!"], ["Space."]], flat).tolist()
        [[1, 2]]
    """
    return np.concatenate([near_posters(thumbnails).rows, near_plots(plots).rows])


def tokens(text: str) -> list[str]:
    """Returns the words of a text that `plain` made; of scripts without spaces, each two neighbouring characters.

    Overlapping pairs of characters are the usual tokens of search engines for Chinese and Japanese.

    Example:
        >>> tokens("the whale"), tokens("白鲸记 ii")
        (['the', 'whale'], ['白鲸', '鲸记', 'ii'])
    """
    return [pair or word for pair, word in _TOKEN.findall(_UNSPACED_GAP.sub("", text))]


def _standard(thumbnails: Thumbnails) -> NDArray[np.float32]:
    """Rows of which the dot product is the correlation of the thumbnails, (n, 1024); zeros for those of one colour."""
    pixels = thumbnails.reshape(-1, SIDE * SIDE).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    return pixels / np.maximum(np.linalg.norm(pixels, axis=1, keepdims=True), 1)


def _shingles(texts: Sequence[str]) -> csr_array:
    """Which text has which shingle, (texts, shingles), 1 where it has; all of a short text is one."""
    lists = [tokens(text) for text in texts]
    lists = [of if len(of) >= SHORT else [text, *[""] * (SHINGLE - 1)] for of, text in zip(lists, texts, strict=True)]
    numbers: dict[str, int] = {}
    words = np.array([numbers.setdefault(word, len(numbers)) for of in lists for word in of], np.int64)
    rows = np.repeat(np.arange(len(texts)), [len(of) for of in lists])
    columns = words
    for word in range(1, SHINGLE):
        _, columns = np.unique(columns[:-1] * len(numbers) + words[word:], return_inverse=True)
    inside = rows[: len(columns)] == rows[SHINGLE - 1 :]
    rows, columns = rows[: len(columns)][inside], columns[inside]
    shingles = csr_array((np.ones(len(rows), np.float32), (rows, columns)))
    shingles.data[:] = 1  # however often
    return shingles
