"""Results as JSON files, with the code, versions and machine that they were measured with."""

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PAGE = "index.html"  # of a report
CLONE = Path(__file__).parents[2]
CODE = ("modeling", "processing", "scripts")
EVALUATION_FIELDS = (
    *("model", "split", "mask_titles", "remove_poster_text", "catalogue", "data_fingerprint"),
    *("training", "metrics", "pool_sizes", "time"),
)
BEFORE_TITLES = {"titles": "hide", "plots": "one", "both_stages": False, "known": []}


def versions() -> dict[str, str]:
    """Returns the versions of the packages that numbers depend on."""
    packages = ("accelerate", "datasets", "numpy", "pillow", "posterclip", "scipy", "torch", "transformers")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def code() -> dict[str, Any]:
    """Returns the git commit of this code and whether files differ from it; the commit is None outside a clone."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(CLONE), *arguments], capture_output=True, text=True)
        return done.stdout.strip()

    try:
        top = git("rev-parse", "--show-toplevel")
        # An environment may lie in somebody else's clone.
        commit = git("rev-parse", "HEAD") if top and Path(top) == CLONE.resolve() else ""
    except OSError:  # there is no git
        commit = ""
    changes = git("status", "--porcelain", "--untracked-files=no", "--", *CODE) if commit else ""
    return {"commit": commit or None, "dirty": bool(changes)}


def machine() -> dict[str, Any]:
    """Returns device, processor and number of threads."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else str(device)
    return {"device": name, "processor": platform.machine(), "threads": torch.get_num_threads()}


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Writes results as JSON, whole or not at all, with code, versions, machine and time added.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.json"
        >>> write_results(path, {"R@1": 0.5})
        >>> sorted(read_results(path))
        ['R@1', 'code', 'machine', 'time', 'versions']
    """
    record = {
        **results,
        "code": code(),
        "versions": versions(),
        "machine": machine(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def read_results(path: Path) -> dict[str, Any]:
    """Returns the content of a file of `write_results`.

    Raises:
        ValueError: the file is absent or holds something else; the message names it.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds no results: {error}") from None
    if not isinstance(results, dict) or "versions" not in results:
        raise ValueError(f"{path} holds no results")
    return results


def read_evaluation(path: Path) -> dict[str, Any]:
    """Returns the evaluation of one model that `scripts/evaluate.py` wrote; ValueError names a file that is none."""
    results = with_known(read_results(path))
    if missing := [name for name in EVALUATION_FIELDS if name not in results]:
        raise ValueError(f"{path} holds no evaluation of a model: it lacks {', '.join(missing)}")
    return results


def with_known(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns results that say what was known of a movie: in those of older versions that was one plot.

    Example:
        >>> with_known({"model": "runs/mine"})["titles"], with_known({"titles": "use"})["titles"]
        ('hide', 'use')
    """
    return {**BEFORE_TITLES, **results}


def read_evaluations(files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Returns evaluations of the same data by their `label`, or by their model where they have none.

    Raises:
        ValueError: a file holds no evaluation, or two are of other data; the message names them.
    """
    found = {results.get("label", results["model"]): results for results in map(read_evaluation, files)}
    check_same_data(found)
    return found


def check_same_data(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks that results by name can stand in one table: that they are of the same split of the same movies.

    Raises:
        ValueError: two are of other data; the message names them.

    Example:
        >>> whales = {"split": "test", "data_fingerprint": {"test": "3f"}}
        >>> check_same_data({"A": whales, "B": {**whales, "data_fingerprint": {"test": "a1"}}})
        Traceback (most recent call last):
        ValueError: A and B were evaluated on other data: their fingerprints of test are 3f and a1
    """
    (first, one), *others = results.items()
    for name, other in others:
        if one["split"] != other["split"]:
            splits = f"{one['split']} and {other['split']}"
            raise ValueError(f"{first} and {name} were evaluated on other splits: {splits}")
        prints = [of["data_fingerprint"][of["split"]] for of in (one, other)]
        if prints[0] != prints[1]:
            short = " and ".join(each[:12] for each in prints)
            raise ValueError(
                f"{first} and {name} were evaluated on other data: their fingerprints of {one['split']} are {short}"
            )
