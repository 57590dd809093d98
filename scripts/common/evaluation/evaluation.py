"""The outcome of an evaluation as files, and two of them side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset

from processing.catalogue.catalogue import Catalogue
from processing.catalogue.fingerprints import fingerprint, titles_fingerprint
from processing.evaluation.intervals import paired_differences
from processing.evaluation.retrieval import PoolResult
from processing.pair_retrieval.ranking import DIRECTIONS
from processing.reporting.results import check_same_data, read_evaluation, read_results, with_known, write_results
from processing.reporting.wording import evaluation_name

RESULTS, RANKS = "results.json", "ranks.parquet"
# With the data, what an evaluation is of.
IDENTITY = ("model", "split", "titles", "plots", "mask_titles", "remove_poster_text")


@dataclass
class Evaluation:
    """The outcome: `results` for the file, and the ranks that another evaluation is compared with."""

    results: dict[str, Any]
    pool: PoolResult

    def save(self, folder: Path) -> None:
        """Writes both; `results` are then those of the file, with code, versions and time."""
        folder.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(self.pool.rows()).to_parquet(folder / RANKS)
        write_results(folder / RESULTS, self.results)
        self.results = read_results(folder / RESULTS)

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> "Evaluation":
        """Returns what `save` wrote.

        Raises:
            ValueError: the folder holds no evaluation, files that do not belong together, or an evaluation of other
                movies than the catalogue's.
        """
        results = read_evaluation(folder / RESULTS)
        split = results["split"]
        catalogue = catalogue.with_validation() if split == "validation" else catalogue
        movies = catalogue.movies([split])
        if fingerprint(movies) != results["data_fingerprint"][split]:
            raise ValueError(f"{folder} is an evaluation of other movies than {split} of {catalogue.source}.")
        if results["titles"] == "use" and titles_fingerprint(movies) != results["titles_fingerprint"]:
            raise ValueError(
                f"{folder} is an evaluation with other titles than those of {split} of {catalogue.source}."
            )
        try:
            pool = PoolResult.from_rows(pq.read_table(folder / RANKS).to_pylist())
            metrics = pool.summary()
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"{folder / RANKS} holds no ranks: {error}") from None
        for way in DIRECTIONS:
            if not all(np.isclose(value, results["metrics"][way][name]) for name, value in metrics[way].items()):
                raise ValueError(f"{folder / RANKS} is of another evaluation than {RESULTS} beside it.")
        return cls(results, pool)


def check_replaceable(folder: Path, evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError if a folder holds results of other evaluations than those to be written there.

    Args:
        folder: for one report, or for the comparison of two.
        evaluations: `Evaluator.description` or `Evaluation.results` of each.
    """
    file = folder / RESULTS
    if not file.exists():
        return
    found = read_results(file)
    there = [with_known(of) for of in found.get("results", [found])]
    differ = [name for name in IDENTITY if [of.get(name) for of in there] != [of[name] for of in evaluations]]
    if not differ and [_fingerprint(of) for of in there] != [_fingerprint(of) for of in evaluations]:
        differ = ["data_fingerprint"]
    if differ:
        raise ValueError(
            f"{file} is another evaluation (its {', '.join(differ)} differ) and is not overwritten. "
            "Name another folder by --output, or move it away."
        )


def _fingerprint(results: Mapping[str, Any]) -> Any:
    return results.get("data_fingerprint", {}).get(results.get("split"))


def compare(one: Evaluation, other: Evaluation) -> dict[str, Any]:
    """Returns two evaluations of the same movies side by side; each difference is the second's minus the first's.

    Raises:
        ValueError: they are of different movies.
    """
    names = [evaluation_name(of.results) for of in (one, other)]
    if names[0] == names[1]:
        names = [f"{letter}: {name}" for letter, name in zip("AB", names, strict=True)]
    check_same_data(dict(zip(names, (one.results, other.results), strict=True)))
    return {
        "models": names,
        "split": one.results["split"],
        "data_fingerprint": one.results["data_fingerprint"],
        "results": [one.results, other.results],
        "seed": 0,
        "differences": paired_differences(one.pool, other.pool, seed=0),
    }
