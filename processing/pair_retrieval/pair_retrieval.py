"""The metric of `evaluate.load`: retrieval between images and texts by ids, both ways, with chance and intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from .hybrid_vectors import Embeddings
from .intervals import QueryRanks, differences, intervals
from .measures import RECALL_AT, summarise
from .ranking import DIRECTIONS, Ids, RightRanks, id_codes, is_whole, pair_ranks, right_ranks

DESCRIPTION = """
Retrieval between images and texts that share ids, many to many, in both directions: hit-rate (R@k), true recall
(recall@k), median and mean rank, MRR and nDCG@10, with the pool's size, what a random order would reach, and 95 %
bootstrap intervals. A tie counts against the model.
"""
INPUTS = """
Args of `compute`, either embeddings, both ways at once:
    image_embeds, text_embeds: (n_images, dim) and (n_texts, dim), L2-normalised.
    image_ids, text_ids: one id a row, integers or strings; an answer is right if it has the query's id. Repeats are
        allowed on both sides, and each id must be on both.
    baseline: another model's (image_embeds, text_embeds) of the same rows.
or ranks, one way:
    predictions: for each query the ranks of all its right answers, 1 is best.
    references: for each query its id; queries of one id are drawn together.
    pool_size: the number of candidates.
    baseline: another model's predictions for the same queries.
and for both:
    ks: where R@k and recall@k cut, (1, 5, 10) by default.
    seed: of the bootstrap, 0 by default.
Returns:
    the metrics, under "image_to_text" and "text_to_image" if they are made from embeddings; "pool", "chance" and
    "intervals" with the same keys; with a baseline also "differences", each metric's difference from the baseline's
    and its 95 % interval, by a paired bootstrap.
"""
RANKS = "ranks"


class PairRetrieval(evaluate.Metric):
    """A metric for `evaluate`; `DESCRIPTION` says what it computes, `INPUTS` its arguments.

    Example:
        >>> metric = PairRetrieval()
        >>> found = metric.compute(predictions=[[1], [3, 6]], references=["jaws", "alien"], pool_size=20)
        >>> found["R@5"], found["recall@5"], found["pool"]
        (1.0, 0.75, 20)
    """

    def _info(self) -> evaluate.MetricInfo:
        ranks = datasets.Sequence(datasets.Value("int64"))
        # Strings first: a string of digits would pass as an integer.
        kinds = [datasets.Value("string"), datasets.Value("int64")]
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=[datasets.Features({"predictions": ranks, "references": kind}) for kind in kinds],
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> dict[str, Any] | None:
        """Returns the metrics, see `INPUTS`.

        Ranks are stored by `evaluate`, which can add them in batches; embeddings are not, since the two sides can have
        different lengths.

        Raises:
            ValueError: as `pair_ranks` and `right_ranks`; a k is not in 1..pool; a baseline does not have the same
                queries with equally many right answers; an argument is missing or unknown.
        """
        if predictions is None and references is None and "image_embeds" in kwargs:
            _check_names(kwargs, ("image_embeds", "text_embeds", "image_ids", "text_ids"), ("baseline", "ks", "seed"))
            return of_embeddings(**kwargs)
        # Checked here, since `evaluate` rounds what it stores and deletes its batches before it calls `_compute`.
        _check_names(kwargs, ("pool_size",), ("baseline", "ks", "seed"))
        size = kwargs["pool_size"]
        if not is_whole(size) or size < 1:
            raise ValueError(f"pool_size must be a whole number, the number of candidates, got {size!r}")
        kwargs["ks"] = _checked(kwargs.get("ks", RECALL_AT), size)
        if kwargs.get("baseline") is not None:
            _of("baseline", right_ranks, kwargs["baseline"], size)
        if predictions is not None:
            self._check(predictions, references)
            right_ranks(predictions, size)
        return super().compute(predictions=predictions, references=references, **kwargs)

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Adds a batch as in `evaluate`; raises ValueError, and adds nothing, if ranks or ids are not valid."""
        self._check(predictions, references)
        super().add_batch(predictions=predictions, references=references, **kwargs)

    def _check(self, predictions: Any, references: Any) -> None:
        if predictions is None or references is None or len(predictions) != len(references) or len(references) == 0:
            counts = [0 if given is None else len(given) for given in (predictions, references)]
            raise ValueError(f"{counts[0]} predictions with {counts[1]} references: need one each, and at least one")
        right_ranks(predictions)
        id_codes(references, references)

    def _compute(
        self,
        predictions: Sequence[Sequence[int]],
        references: Ids,
        pool_size: int,
        baseline: Sequence[Sequence[int]] | None = None,
        ks: Sequence[int] = RECALL_AT,
        seed: int = 0,
    ) -> dict[str, Any]:
        ranks, pool, ids = {RANKS: right_ranks(predictions, pool_size)}, {RANKS: pool_size}, {RANKS: references}
        before = None if baseline is None else {RANKS: right_ranks(baseline, pool_size)}
        if before:
            counts = [len(of[RANKS].best) for of in (before, ranks)]
            if counts[0] != counts[1]:
                raise ValueError(f"baseline has {counts[0]} queries, references {counts[1]}")
            if (other := np.flatnonzero(before[RANKS].counts() != ranks[RANKS].counts())).size:
                raise ValueError(f"baseline has another number of right answers than predictions for query {other[0]}")
        found = _results(ranks, before, pool, ids, ks, seed)
        return {**found.pop(RANKS), **{key: value[RANKS] for key, value in found.items()}}


def of_embeddings(
    image_embeds: Embeddings,
    text_embeds: Embeddings,
    image_ids: Ids,
    text_ids: Ids,
    baseline: tuple[Embeddings, Embeddings] | None = None,
    ks: Sequence[int] = RECALL_AT,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns the metrics of both directions from embeddings, see `INPUTS`."""
    ids = dict(zip(DIRECTIONS, (image_ids, text_ids), strict=True))
    pool = dict(zip(DIRECTIONS, (len(text_ids), len(image_ids)), strict=True))
    ranks = pair_ranks(image_embeds, text_embeds, image_ids, text_ids)
    ks = _checked(ks, min(pool.values()))
    before = None
    if baseline is not None:
        if not isinstance(baseline, (tuple, list)) or len(baseline) != 2:
            raise ValueError("baseline must be a pair: the image_embeds and text_embeds of another model")
        before = _of("baseline", pair_ranks, *baseline, image_ids, text_ids)
    return _results(ranks, before, pool, ids, ks, seed)


def _results(
    ranks: dict[str, RightRanks],
    before: dict[str, RightRanks] | None,
    pool: dict[str, int],
    ids: dict[str, Ids],
    ks: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    second = {name: QueryRanks(found, ids[name]) for name, found in ranks.items()}
    results = {**summarise(ranks, pool, ks), "intervals": intervals(second, ks, seed)}
    if before is not None:
        first = {name: QueryRanks(found, ids[name]) for name, found in before.items()}
        results["differences"] = differences(first, second, ks, seed)
    return results


def _checked(ks: Any, pool: int) -> tuple[int, ...]:
    """Returns the cutoffs; raises ValueError unless all are integers in 1..pool."""
    listed = tuple(ks) if isinstance(ks, Iterable) else ()
    if not listed or not all(is_whole(k) and 1 <= k <= pool for k in listed):
        raise ValueError(f"ks must be whole numbers in 1..{pool} (the pool), got {ks!r}")
    return tuple(map(int, listed))


def _check_names(given: Mapping[str, Any], needed: Sequence[str], allowed: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"{missing[0]} is missing")
    if strange := [name for name in given if name not in (*needed, *allowed)]:
        raise ValueError(f"there is no argument {strange[0]}, or not beside the others")


def _of(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Returns the function's result; its ValueError gets the name of the argument in front."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
