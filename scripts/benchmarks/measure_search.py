"""What the benchmark of search measures, on embeddings that are made up.

What is kept of real ones (3,500 movies, the preset trained): meanings vary along few directions and lie in clusters of
movies alike; a poster's is a fifth that of its own plot; bags are those of words whose frequencies fall as Zipf's law
has them, two dozen for a plot, half of that for a poster, some of them its cluster's and one its plot's. So the scores
of a poster's best ten, fiftieth and two hundredth plot are those of real movies to 0.02, and a bag has as many places.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, vstack

from processing.search.exact import FastSearch
from processing.search.storage import Embeddings
from scripts.benchmarks.measure import Section
from scripts.benchmarks.measure_training import kilobytes

CLUSTERS = 3000
CLUSTER_SHARE = 0.4  # of a meaning's variance
PAIR_COSINE = 0.22  # of a poster's meaning and its plot's
DECAY = 0.75  # of the variance from direction to direction, k ** -DECAY: about 80 of 384 count
BAG_WEIGHT = 1.2
VOCABULARY, CLUSTER_WORDS, CLUSTER_WORD_SHARE = 60_000, 100, 0.2
PLOT_WORDS, POSTER_WORDS = 25, 12
GRAMS = 8  # of a word, one to so many
MADE_AT_ONCE = 20_000  # rows
EXACT_BLOCK = 2048  # rows that exact search makes dense at a time
K = 10


class MadeUp:
    """Made-up embeddings, a function of the seed and the place.

    Args:
        dense, sparse: numbers of a meaning, places of a bag.
        seed: another one makes others.

    Example:
        >>> plots, posters = MadeUp(16, 64).pairs(5, part=0)
        >>> bool(np.allclose(np.linalg.norm(plots.to_array(), axis=1), 1, atol=1e-5)), len(posters)
        (True, 5)
    """

    def __init__(self, dense: int, sparse: int, seed: int = 0) -> None:
        self.dense, self.sparse, self.seed = dense, sparse, seed
        random = np.random.default_rng(seed)
        self.scale = (np.arange(1, dense + 1) ** (-DECAY / 2)).astype(np.float32)
        self.centres = random.standard_normal((CLUSTERS, dense), dtype=np.float32)
        self.cluster_words = random.integers(VOCABULARY, size=(CLUSTERS, CLUSTER_WORDS))
        chance = 1 / np.arange(1, VOCABULARY + 1)
        chance /= chance.sum()
        self.cumulated = np.append(np.cumsum(chance)[:-1], 1.0)
        self.places = random.integers(max(sparse, 1), size=(VOCABULARY, GRAMS))
        rarity = -np.log(1 - (1 - chance) ** PLOT_WORDS)
        signs = random.choice([-1.0, 1.0], size=(VOCABULARY, GRAMS))
        there = np.arange(GRAMS) < random.integers(1, GRAMS, size=VOCABULARY)[:, None]
        self.values = (signs * rarity[:, None] * there).astype(np.float32)

    def pairs(self, count: int, part: int) -> tuple[Embeddings, Embeddings]:
        """Plots and their posters; another part has others."""
        random = np.random.default_rng([self.seed, part])
        clusters = random.integers(CLUSTERS, size=count)
        own, other = random.standard_normal((2, count, self.dense), dtype=np.float32)
        plots = (CLUSTER_SHARE**0.5 * self.centres[clusters] + (1 - CLUSTER_SHARE) ** 0.5 * own) * self.scale
        posters = PAIR_COSINE * plots + (1 - PAIR_COSINE**2) ** 0.5 * other * self.scale
        words, printed = (self._words(clusters, size, random) for size in (PLOT_WORDS, POSTER_WORDS))
        printed[:, 0] = words[:, 0]
        return self._embeddings(plots, words), self._embeddings(posters, printed)

    def plots(self, count: int) -> Embeddings:
        """So many plots."""
        parts = [
            self.pairs(min(MADE_AT_ONCE, count - start), part)[0]
            for part, start in enumerate(range(0, count, MADE_AT_ONCE))
        ]
        return Embeddings(np.concatenate([of.meanings for of in parts]), csr_array(vstack([of.bags for of in parts])))

    def posters(self, count: int) -> NDArray[np.float32]:
        """Posters of the first of the plots, (count, dense + sparse)."""
        return self.pairs(MADE_AT_ONCE, part=0)[1][:count].to_array()

    def _words(self, clusters: NDArray[np.int64], size: int, random: np.random.Generator) -> NDArray[np.int64]:
        shape = (len(clusters), size)
        common = np.searchsorted(self.cumulated, random.random(shape))
        theirs = self.cluster_words[clusters[:, None], random.integers(CLUSTER_WORDS, size=shape)]
        return np.where(random.random(shape) < CLUSTER_WORD_SHARE, theirs, common)

    def _embeddings(self, meanings: NDArray[np.float32], words: NDArray[np.int64]) -> Embeddings:
        meanings = meanings / np.linalg.norm(meanings, axis=1, keepdims=True)
        if not self.sparse:
            return Embeddings(meanings, csr_array((len(meanings), 0), dtype=np.float32))
        starts = np.arange(len(words) + 1) * words.shape[1] * GRAMS
        shape = (len(words), self.sparse)
        bags = csr_array((self.values[words].ravel(), self.places[words].ravel(), starts), shape=shape)
        bags.sum_duplicates()
        bags.eliminate_zeros()
        norms = np.sqrt(bags.multiply(bags).sum(axis=1))
        whole = (1 + BAG_WEIGHT**2) ** 0.5
        bags.data *= np.repeat((BAG_WEIGHT / whole / norms).astype(np.float32), np.diff(bags.indptr))
        return Embeddings(meanings / np.float32(whole), bags)


def exact_numpy(queries: NDArray[np.float32], rows: Embeddings, k: int) -> NDArray[np.int64]:
    """The k best of all rows by NumPy alone: dense blocks, a matrix product in float32, `argpartition`; no ties."""
    products = np.empty((len(queries), len(rows)), dtype=np.float32)
    for start in range(0, len(rows), EXACT_BLOCK):
        block = slice(start, start + EXACT_BLOCK)
        products[:, block] = queries @ rows[block].to_array().T
    return _best(products, k)


def exact_sparse(queries: NDArray[np.float32], rows: Embeddings, by_place: csc_array, k: int) -> NDArray[np.int64]:
    """The same without the work for zeros: of bags, given by column too, only the places that a query has."""
    dense = rows.meanings.shape[1]
    products = queries[:, :dense] @ rows.meanings.T
    for query, line in zip(queries[:, dense:], products, strict=True):
        if len(places := np.flatnonzero(query)):
            line += by_place[:, places] @ query[places]
    return _best(products, k)


def _best(products: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    found = np.argpartition(products, -k, axis=1)[:, -k:]
    return np.take_along_axis(found, np.argsort(-np.take_along_axis(products, found, axis=1), axis=1), axis=1)


def recall(found: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """The share of the right rows, (queries, k), that were found.

    Example:
        >>> recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 5]]))
        0.75
    """
    return float(np.mean([np.isin(those, these).mean() for these, those in zip(found, right, strict=True)]))


def search(count: int, queries: int, dense: int, sparse: int, seed: int) -> Section:
    """Exact and fast search of the same posters among the same plots, one query at a time and all at once."""
    made = MadeUp(dense, sparse, seed)
    rows, asked = made.plots(count), made.posters(queries)
    start = perf_counter()
    fast = FastSearch.build(Dataset.from_dict({"row": range(count)}), "plot", rows)
    building = perf_counter() - start
    with TemporaryDirectory() as folder:
        fast.save(Path(folder))
        sizes = {file.suffix: file.stat().st_size for file in Path(folder).iterdir()}
    held, by_place = kilobytes("/proc/self/status", "VmRSS"), csc_array(rows.bags)
    few = max(queries // 16, 1)
    ways: dict[str, tuple[int, Callable[[NDArray[np.float32]], NDArray[np.int64]]]] = {
        "exact, NumPy": (few, lambda some: exact_numpy(some, rows, K)),
        "exact, NumPy and scipy.sparse": (few, lambda some: exact_sparse(some, rows, by_place, K)),
        "FAISS, champion lists, re-ranking": (queries, lambda some: fast.answers(some, K)[0]),
    }
    right = exact_numpy(asked, rows, K)
    found: list[dict[str, Any]] = []
    for size in (1, queries):
        for name, (alone, way) in ways.items():
            some = asked if size > 1 else asked[:alone]
            way(some[:1])  # wakes threads and caches
            start = perf_counter()
            answers = np.concatenate([way(some[at : at + size]) for at in range(0, len(some), size)])
            seconds = (perf_counter() - start) / len(some)
            first = found[0 if size == 1 else len(ways)]["ms a query"] if name != "exact, NumPy" else 1e3 * seconds
            found.append(
                {
                    "search": name,
                    "queries at a time": size,
                    "ms a query": 1e3 * seconds,
                    "times as fast": first / (1e3 * seconds),
                    "recall@10": recall(answers, right[: len(some)]),
                    "how": f"{len(some)} queries",
                }
            )
    megabytes = {
        "all embeddings as float32": count * (dense + sparse) * 4,
        "embeddings as they are kept": rows.meanings.nbytes + sum(of.nbytes for of in _parts(rows.bags)),
        "graph": sizes[".faiss"],
        "champion lists": sizes[".npz"],
        "process that has built both": held,
        "process at its peak": kilobytes("/proc/self/status", "VmHWM"),
    }
    memory = {name: round(size / 1e6) for name, size in megabytes.items()}
    return {
        "title": f"Search: posters among {count:,} plots, {dense} + {sparse:,} numbers each, made up",
        "rows": found,
        "note": f"Built in {building:,.0f} s. MB: " + ", ".join(f"{name} {of:,}" for name, of in memory.items()) + ".",
        "build_seconds": building,
        "memory_mb": memory,
    }


def _parts(bags: csr_array) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return bags.data, bags.indices, bags.indptr
