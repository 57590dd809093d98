"""The metric of `evaluate.load`: retrieval between images and texts by ids, both ways, with chance and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from .intervals import Judged, differences, intervals
from .measures import RECALL_AT, summarise
from .ranking import DIRECTIONS, Embeddings, Ids, RightRanks, pair_ranks, right_ranks

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
    """`DESCRIPTION` and `INPUTS` say what it computes, and from what; `evaluate.load` makes one.

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
        """Ranks go through `evaluate`'s own store, which can be filled in batches; embeddings, of two lengths, do not.

        Raises:
            ValueError: as `pair_ranks`, `right_ranks` and `retrieval_metrics`; a k is not in 1..pool; a baseline does
                not hold the same queries.
        """
        if predictions is None and references is None and "image_embeds" in kwargs:
            return of_embeddings(**kwargs)
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(
        self,
        predictions: Sequence[Sequence[int]],
        references: Ids,
        pool_size: int,
        baseline: Sequence[Sequence[int]] | None = None,
        ks: Sequence[int] = RECALL_AT,
        seed: int = 0,
    ) -> dict[str, Any]:
        before = None if baseline is None else {RANKS: right_ranks(baseline)}
        if before and len(before[RANKS].best) != len(references):
            raise ValueError(f"baseline has {len(before[RANKS].best)} queries, references {len(references)}")
        ranks, pool, ids = {RANKS: right_ranks(predictions)}, {RANKS: pool_size}, {RANKS: references}
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
    """Both ways from embeddings, see `INPUTS`."""
    ids = dict(zip(DIRECTIONS, (image_ids, text_ids), strict=True))
    pool = dict(zip(DIRECTIONS, (len(text_ids), len(image_ids)), strict=True))
    ranks = pair_ranks(image_embeds, text_embeds, image_ids, text_ids)
    before = None if baseline is None else pair_ranks(*baseline, image_ids, text_ids)
    return _results(ranks, before, pool, ids, ks, seed)


def _results(
    ranks: dict[str, RightRanks],
    before: dict[str, RightRanks] | None,
    pool: dict[str, int],
    ids: dict[str, Ids],
    ks: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    smallest = min(pool.values())
    if not ks or not all(1 <= k <= smallest for k in ks):
        raise ValueError(f"ks must lie in 1..{smallest} (the pool), got {list(ks)}")
    judged = {name: Judged(found, ids[name]) for name, found in ranks.items()}
    results = {**summarise(ranks, pool, ks), "intervals": intervals(judged, ks, seed)}
    if before is not None:
        first = {name: Judged(found, ids[name]) for name, found in before.items()}
        results["differences"] = differences(first, judged, ks, seed)
    return results
