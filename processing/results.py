"""Results are files: what was run, on what, with which versions, and what came out."""

import json
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any


def versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    packages = ("accelerate", "datasets", "numpy", "pillow", "posterclip", "scipy", "torch", "transformers")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write results as JSON, whole or not at all, with versions and time added.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.json"
        >>> write_results(path, {"R@1": 0.5})
        >>> sorted(json.loads(path.read_text()))
        ['R@1', 'time', 'versions']
    """
    record = {
        **results,
        "versions": versions(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
