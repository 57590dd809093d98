"""A pool of posters and movies, by what is known of a movie: its titles or not, one plot or all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from datasets import Dataset

from processing.data.titles import all_titles
from processing.evaluation.intervals import bootstrap_intervals
from processing.evaluation.retrieval import PoolResult, evaluate_pool, movie_places, movie_rows
from processing.matching.candidates import Posters
from processing.matching.second_stage import SecondStage
from processing.pair_retrieval.hybrid_vectors import HybridVectors
from scripts.common.evaluation.matcher_evaluation import BothStages
from scripts.common.features import FeatureEncoder
from scripts.common.matching.match_sides import embed_movies

Titles = Literal["use", "hide"]
Plots = Literal["all", "one"]


@dataclass(frozen=True)
class KnownPool:
    """A pool, ranked.

    Args:
        titles, plots: what is known of a movie.
        embeds: of posters and of movies.
        first_stage: ranks by the similarity of the embeddings.
        both_stages: the same after the second stage; None without it.
    """

    titles: Titles
    plots: Plots
    embeds: tuple[HybridVectors, HybridVectors]
    first_stage: PoolResult
    both_stages: BothStages | None

    @classmethod
    def of(
        cls,
        encoder: FeatureEncoder,
        posters: Posters,
        movies: Dataset,
        titles: Titles,
        plots: Plots,
        stage: SecondStage | None = None,
    ) -> KnownPool:
        """Returns the pool of some movies.

        Args:
            encoder: of the model.
            posters: those of the movies, in their order.
            movies: a row for each poster. A movie with several posters is one candidate, the right one for all of
                them, and one query, for which all of them are right.
            titles, plots: what is known of a movie.
            stage: the second stage, which is not used where titles are hidden.
        """
        ids = np.array(movies["id"][:])
        candidates = movie_rows(ids)
        side = embed_movies(encoder, movies.select(candidates), titles, plots)
        embeds = posters.embeddings, side.embeddings
        first = evaluate_pool(*embeds, ids, ids[candidates])
        both = BothStages.of(stage, posters, side, movie_places(ids), first) if stage and titles == "use" else None
        return cls(titles, plots, embeds, first, both)

    @property
    def ranks(self) -> PoolResult:
        """The ranks of both stages, or of the first where there is no second."""
        return self.both_stages.ranks if self.both_stages else self.first_stage

    def results(self) -> Iterator[dict[str, Any]]:
        """Yields the metrics of both stages, if there are two, and of the first, JSON-ready."""
        if self.both_stages:
            yield self._result(self.both_stages.ranks, both_stages=True)
        yield self._result(self.first_stage, both_stages=False)

    def _result(self, ranks: PoolResult, both_stages: bool) -> dict[str, Any]:
        metrics = {**ranks.summary(), "intervals": bootstrap_intervals(ranks, seed=0)}
        return {"titles": self.titles, "plots": self.plots, "both_stages": both_stages, "metrics": metrics}


def what_is_known(movies: Dataset) -> list[tuple[Titles, Plots]]:
    """Returns what can be known of some movies, from the most to the least."""
    titles: list[Titles] = ["use", "hide"] if any(all_titles(movies)) else ["hide"]
    plots: list[Plots] = ["all", "one"] if any(len(of) > 1 for of in movies["plots"]) else ["one"]
    return [(title, plot) for title in titles for plot in plots]
