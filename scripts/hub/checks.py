"""Checks before a push: the code loads elsewhere, and no file holds a secret or a path of this machine."""

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

NO_TEXTS = (".safetensors", ".model", ".parquet", ".png", ".jpg", ".jpeg", ".webp")
MODULES = {"PIL": "pillow", "sklearn": "scikit-learn"}  # modules whose packages have another name

_SECRET = re.compile(
    r"\b(?:(?:hf|api_org)_[A-Za-z0-9]{30,}|gh[pousr]_\w{36,}|github_pat_\w{36,}|sk-[\w-]{32,}|AKIA[0-9A-Z]{16}|xox[abps]-[\w-]{10,})\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[a-z][a-z0-9+.-]*://[^/\s:@\"'<>]+:[^/\s:@\"'<>]+@"
)
_LOCAL_PATH = re.compile(r"(?<![\w:/.<~+-])(?:~/|/[\w.@+-]+/|file://|[A-Za-z]:[\\/]|\\\\[\w.-]+\\)[^\s\"'`<>|,;:)\]}]+")
_ALL_PATH = re.compile(r"(?:~?/|[A-Za-z]:\\)[^\n:]*[/\\][^\n:]+")
_EMBEDDED = re.compile(r"base64,[A-Za-z0-9+/=]+")

_TRY = """
import sys

class NoClone:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in {"modeling", "processing", "scripts"}:
            raise ImportError(f"the code imports {name}, which others do not have")

sys.meta_path.insert(0, NoClone())
from PIL import Image
from transformers import AutoModel, AutoProcessor

folder = sys.argv[1]
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
poster = Image.new("RGB", (64, 96))
model.eval()(**processor(images=poster, text=["a", "b"], poster_text="a", return_tensors="pt", padding=True))
"""


def check_imports(folder: Path, declared: set[str]) -> None:
    """Raises ValueError if a code file imports what is neither in the folder, nor declared, nor of Python.

    Args:
        folder: of the code files.
        declared: names of packages.

    Example:
        >>> Path("scores.py").write_text("import json, numpy") and None
        >>> check_imports(Path("."), {"pillow"})
        Traceback (most recent call last):
        ValueError: scores.py imports numpy, which is neither in the folder nor declared.
    """
    for path in sorted(folder.glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError) as error:
            raise ValueError(f"{path.name} is not Python: {error}") from None
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level:
                if node.level > 1 or not node.module or not (folder / f"{node.module}.py").is_file():
                    where = "." * node.level + (node.module or "")
                    raise ValueError(f"{path.name} imports {where}, which is not in the folder.")
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                if package(MODULES.get(name, name)) not in declared:
                    raise ValueError(f"{path.name} imports {name}, which is neither in the folder nor declared.")


def check_loads(folder: Path) -> None:
    """Raises ValueError, with the last line of the error, if a saved model does not load elsewhere.

    A process that can import nothing of this clone, and does not reach the Hub, loads it and scores a poster.
    """
    with tempfile.TemporaryDirectory() as empty:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        there = {"HF_HOME": empty, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        command = [sys.executable, "-c", _TRY, str(folder.resolve())]
        done = subprocess.run(command, cwd=empty, env=kept | there, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise ValueError(f"The folder does not load where PosterCLIP is not installed: {last}")


def package(requirement: str) -> str:
    """Returns the package's name in a line of requirements.txt, as pip compares names."""
    return re.split(r"[^\w.-]", requirement.strip())[0].lower().replace("_", "-")


def check_texts(folder: Path, names: Sequence[str]) -> None:
    """Raises ValueError for what looks like a secret, and for a local path in a card or a report."""
    for name in names:
        path = folder / name
        if path.suffix in NO_TEXTS:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            line = _EMBEDDED.sub("", line)
            if _SECRET.search(line):
                raise ValueError(f"{name} line {number} holds what looks like a secret: take it out, and revoke it.")
            if path.suffix in (".md", ".yaml", ".html") and (local := _LOCAL_PATH.search(line)):
                raise ValueError(f"{name} line {number} holds a path of this machine: {local[0]}")


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file; ValueError, naming it, if it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None


def texts_in(value: Any) -> Iterator[str]:
    """Yields the texts of a JSON value, however deep.

    Example:
        >>> list(texts_in({"a": ["b", 1, {"c": "d"}]}))
        ['b', 'd']
    """
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts_in(each)


def is_local_path(text: str) -> bool:
    """Returns whether a text is nothing but a path from the root or the home of a file system.

    Example:
        >>> [is_local_path(text) for text in ("/home/ann/my movies", "posters/1.jpg", "https://hf.co/ann/clip", "/")]
        [True, False, False, False]
    """
    return _ALL_PATH.fullmatch(text) is not None


def without_paths(path: Path, name: str, notes: list[str]) -> bytes | Path:
    """Returns a JSON file with local paths reduced to their last part, or its path if it holds none."""
    read = read_json(path)
    found: list[str] = []
    written = _reduced(read, found)
    notes += [f"{name}: {local} becomes {_last(local)}" for local in dict.fromkeys(found)]
    return json.dumps(written, indent=2, ensure_ascii=False).encode() + b"\n" if found else path


def _reduced(value: Any, found: list[str]) -> Any:
    if isinstance(value, dict):
        return {_reduced(key, found): _reduced(item, found) for key, item in value.items()}
    if isinstance(value, list):
        return [_reduced(item, found) for item in value]
    if not isinstance(value, str):
        return value

    def last(match: re.Match[str]) -> str:
        found.append(match[0])
        return _last(match[0])

    # A text that is nothing but a path may have spaces in it.
    return last(whole) if (whole := _ALL_PATH.fullmatch(value)) else _LOCAL_PATH.sub(last, value)


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
