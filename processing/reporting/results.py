"""Results are files: what was run, on what, with which code and versions, and what came out."""

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

CLONE = Path(__file__).parents[2]
CODE = ("modeling", "processing", "scripts")
OF_AN_EVALUATION = (
    *("model", "split", "mask_titles", "remove_poster_text", "catalogue", "data_fingerprint"),
    *("training", "metrics", "pool_sizes", "time"),
)


def versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    packages = ("accelerate", "datasets", "numpy", "pillow", "posterclip", "scipy", "torch", "transformers")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def code() -> dict[str, Any]:
    """The git commit of this code, and whether files differ from it; no commit where it does not lie in a clone."""

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
    """What it ran on."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else str(device)
    return {"device": name, "processor": platform.machine(), "threads": torch.get_num_threads()}


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write results as JSON, whole or not at all, with code, versions, machine and time added.

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
    """What `write_results` wrote.

    Raises:
        ValueError: the file is not there or holds something else; the message names it.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds no results: {error}") from None
    if not isinstance(results, dict) or "versions" not in results:
        raise ValueError(f"{path} holds no results")
    return results


def read_evaluation(path: Path) -> dict[str, Any]:
    """As `read_results`, of what `scripts/evaluate.py` wrote of one model."""
    results = read_results(path)
    if missing := [name for name in OF_AN_EVALUATION if name not in results]:
        raise ValueError(f"{path} holds no evaluation of a model: it says nothing of {', '.join(missing)}")
    return results


def check_same_data(results: Mapping[str, Mapping[str, Any]]) -> None:
    """See that results by name can stand in one table: of the same split of the same movies.

    Raises:
        ValueError: two are of other data; the message names them.

    Example:
        >>> whales = {"split": "test", "data_fingerprint": {"test": "3f"}}
        >>> check_same_data({"A": whales, "B": {**whales, "data_fingerprint": {"test": "a1"}}})
        Traceback (most recent call last):
        ValueError: A and B were judged on other data: their fingerprints of test are 3f and a1
    """
    (first, one), *others = results.items()
    for name, other in others:
        if one["split"] != other["split"]:
            splits = f"{one['split']} and {other['split']}"
            raise ValueError(f"{first} and {name} were judged on other splits: {splits}")
        prints = [of["data_fingerprint"][of["split"]] for of in (one, other)]
        if prints[0] != prints[1]:
            told = " and ".join(of[:12] for of in prints)
            raise ValueError(
                f"{first} and {name} were judged on other data: their fingerprints of {one['split']} are {told}"
            )
