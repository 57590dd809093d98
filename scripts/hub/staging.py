"""Staging: a copy of the files that go to the Hub is made and checked before anything is sent."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load, metadata_save
from yaml import YAMLError

from processing.catalogue.catalogue import load_catalogue
from processing.catalogue.sources.tables import POSTER_TEXT_FILES, read_table
from scripts.hub.checks import (
    check_imports,
    check_texts,
    is_local_path,
    package,
    read_json,
    texts_in,
    without_paths,
)
from scripts.space.matcher import EMBEDDINGS, METADATA

# Files of a saved folder that are pushed; `*` does not cross a folder here.
MODEL_FILES = (
    *("*.safetensors", "*.json", "*.py", "*.txt", "*.model", "README.md", "LICENSE"),
    *("report-*/*", ".eval_results/*.yaml"),
    *("adapter/*.safetensors", "adapter/*/*.safetensors", "adapter/*/*.json"),
)
NOT_FOR_OTHERS = ("trainer_state.json",)  # its log is in training.json too
# Files of an earlier push that would be taken for a part of this one.
STALE = {
    "model": ("*.safetensors", "*.safetensors.index.json", "adapter/*", "adapter/*/*", "report-*/*"),
    "dataset": ("*.jpg", "*.jpeg", "*.png", "*.webp", "metadata.csv", "metadata.jsonl", POSTER_TEXT_FILES),
    "space": ("catalogue/*", "model/*"),
}
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# Without it, datasets would take posters called test-pilot.jpg for a split, and drop the others.
ONE_SPLIT = {"configs": [{"config_name": "default", "data_files": "**"}]}
METRIC_FILES = (".py", ".md", ".txt", ".json")
SPACE_FILES = (*METRIC_FILES, *PICTURES, ".css", ".html", ".jsonl", ".safetensors")
_LOADED = r'from_pretrained\("([^"]+)"'
LARGE_JSON = ("tokenizer.json", "vocab.json")  # in which no path is
# The packages that the code in a saved folder imports, as in pyproject.toml.
REQUIREMENTS = (
    "huggingface-hub>=2.0,<3",
    "numpy>=1.26,<3",
    "pillow>=11.3,<14",
    "safetensors>=0.8,<1",
    "tokenizers>=0.23.3,<1",
    "torch>=2.6,<3",
    "transformers>=5.20,<6",
)
OCR_REQUIREMENTS = ("onnxruntime>=1.23,<2", "rapidocr>=3.10,<4")


@dataclass
class Staged:
    """A folder as it will be on the Hub.

    Args:
        folder: a copy; large files in it are links.
        repo_type: model, dataset or space.
        notes: a line for each file that is left out or changed.

    Example:
        >>> staged = Staged(Path("staged"), "model")
        >>> staged.add("config.json", b"{}")
        >>> [(name, staged.size(name)) for name in staged.files]
        [('config.json', 2)]
    """

    folder: Path
    repo_type: str
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """The paths in the repository, sorted."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def size(self, name: str) -> int:
        """Returns the size of a file in bytes."""
        return (self.folder / name).stat().st_size

    def add(self, name: str, content: bytes | Path) -> None:
        """Adds or replaces a file: its content, or a link to it."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if isinstance(content, Path):
            place.symlink_to(content.resolve())
        else:
            place.write_bytes(content)


def stage_model(source: Path, folder: Path) -> Staged:
    """Stages a saved model; local paths in its JSON files are reduced to their last part.

    Args:
        source: a folder of `save_pretrained` or scripts/train.py.
        folder: an empty one for the copy.

    Raises:
        ValueError: it is no saved model, or a file could not be used by others or holds a secret or a local path; the
            message names the file. `check_loads` checks that the copy loads.
    """
    if not (source / "config.json").is_file() or not any(source.glob("*.safetensors")):
        raise ValueError(f"{source} is no saved model: it lacks config.json or weights (*.safetensors).")
    config = read_json(source / "config.json")
    if not isinstance(config, dict) or "AutoModel" not in (config.get("auto_map") or {}):
        raise ValueError(f"{source} names no code in its config.json (auto_map): save the model again.")
    staged = Staged(folder, "model")
    _copy(source, staged, lambda name: _matches(name, MODEL_FILES) and name not in NOT_FOR_OTHERS)
    if "requirements.txt" not in staged.files:
        optional = ["# To read the text on posters:", *(f"# {line}" for line in OCR_REQUIREMENTS)]
        staged.add("requirements.txt", "\n".join([*REQUIREMENTS, *optional, ""]).encode())
    if "README.md" not in staged.files:
        staged.notes.append("there is no README.md, so the repository gets no card")
    check_imports(folder, {package(line) for line in (*REQUIREMENTS, *OCR_REQUIREMENTS)})
    check_texts(folder, staged.files)
    return staged


def name_in_card(staged: Staged, source: Path, repo_id: str) -> None:
    """Makes the example in a model's card load the repository instead of the folder that is pushed."""
    card = staged.folder / "README.md"
    if not card.is_file():
        return
    text = card.read_text(encoding="utf-8")
    named = [name for name in set(re.findall(_LOADED, text)) if Path(name).resolve() == source.resolve()]
    for name in named:
        text = text.replace(f'from_pretrained("{name}"', f'from_pretrained("{repo_id}"')
        staged.notes.append(f"README.md: its example loads {repo_id} in place of {name}")
    if named:
        staged.add(card.name, text.encode())


def stage_dataset(source: Path, folder: Path) -> Staged:
    """Stages a catalogue: metadata, the posters that it names, their OCR text, the card.

    Raises:
        CatalogueError: rows or posters are bad.
        ValueError: it is another layout, or a file holds a secret or a local path.
    """
    metadata = [path for path in (source / "metadata.jsonl", source / "metadata.csv") if path.is_file()]
    if len(metadata) != 1:
        raise ValueError(f"{source} is no catalogue that can be pushed: it needs metadata.jsonl or metadata.csv.")
    load_catalogue(str(source))
    staged, posters = Staged(folder, "dataset"), set()
    for row in read_table(metadata[0]).rows:
        posters.add(Path(row.fields["file_name"]).as_posix())
        for column, value in row.fields.items():
            if local := [text for text in texts_in(value) if is_local_path(text)]:
                raise ValueError(f"{metadata[0].name} {row.where}, {column}: a path of this machine: {local[0]}")
    texts = {path.name for path in source.glob(POSTER_TEXT_FILES)}
    wanted = posters | texts | {metadata[0].name, "LICENSE", "README.md"}
    _copy(source, staged, wanted.__contains__)
    if missing := sorted(posters - set(staged.files)):
        raise ValueError(f"{metadata[0].name} names {missing[0]}, which is not in {source}.")
    card = folder / "README.md"
    fields = card_metadata(card) if card.is_file() else {}
    if "configs" not in fields:
        staged.notes.append("README.md: its metadata is added, so that a file's name does not decide its split")
        staged.add(card.name, card.read_bytes() if card.is_file() else b"")
        metadata_save(card, fields | ONE_SPLIT)
    check_texts(folder, staged.files)
    return staged


def stage_metric(source: Path, folder: Path) -> Staged:
    """Stages a metric: NAME/NAME.py, README.md with an `sdk`, requirements.txt.

    Raises:
        ValueError: as for `stage_space`.
    """
    return _stage_space(source, folder, "metric", (f"{source.resolve().name}.py",), METRIC_FILES)


def stage_space(source: Path, folder: Path) -> Staged:
    """Stages an app that `scripts/app.py --space` wrote.

    Raises:
        ValueError: it is none, its code imports what it does not declare, or a file holds a secret or a local path.
    """
    needed = ("app.py", METADATA, EMBEDDINGS, "model/config.json")
    staged = _stage_space(source, folder, "app", needed, SPACE_FILES)
    for row in read_table(source / METADATA).rows:
        if (poster := f"catalogue/{row.fields.get('file_name')}") not in staged.files:
            raise ValueError(f"{source} is no app that can be pushed: there is no {poster}.")
    return staged


def _stage_space(source: Path, folder: Path, kind: str, needed: tuple[str, ...], suffixes: tuple[str, ...]) -> Staged:
    needed = (*needed, "README.md", "requirements.txt")
    if missing := [file for file in needed if not (source / file).is_file()]:
        raise ValueError(f"{source} is no {kind} that can be pushed: there is no {missing[0]}.")
    staged = Staged(folder, "space")
    _copy(source, staged, lambda name: Path(name).suffix in suffixes)
    if not (sdk := space_sdk(staged)):
        raise ValueError(f"{source}/README.md must begin with the metadata of a Space: it names no sdk.")
    lines = (source / "requirements.txt").read_text(encoding="utf-8").splitlines()
    declared = {package(line) for line in lines if line.strip() and not line.startswith("#")}
    check_imports(folder, {sdk, *declared, *(path.stem for path in folder.glob("*.py"))})
    check_texts(folder, staged.files)
    return staged


def card_metadata(card: Path) -> dict[str, Any]:
    """Returns the metadata of a card; ValueError, naming the file, if it cannot be read."""
    try:
        return metadata_load(card) or {}
    except (YAMLError, ValueError) as error:
        raise ValueError(f"{card.name}: its metadata cannot be read: {' '.join(str(error).split())}") from None


def space_sdk(staged: Staged) -> str | None:
    """Returns the sdk of a Space, as its card names it."""
    sdk = card_metadata(staged.folder / "README.md").get("sdk")
    return sdk if isinstance(sdk, str) else None


def is_stale(name: str, repo_type: str) -> bool:
    """Returns whether a file on the Hub would be taken for a part of a push that does not hold it."""
    if repo_type == "model":
        return _matches(name, STALE[repo_type])
    return any(fnmatch(name, pattern) for pattern in STALE[repo_type])


def _copy(source: Path, staged: Staged, is_wanted: Callable[[str], bool]) -> None:
    """Adds the wanted files, none that is hidden, compiled, a pickle, or of a run's checkpoints; notes the others."""
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        hidden = any(part.startswith(".") and part != ".eval_results" for part in parts) or "__pycache__" in parts
        if hidden or parts[0].startswith("checkpoint-") or not path.is_file():
            continue
        name = "/".join(parts)
        if path.suffix in PICKLES or not is_wanted(name):
            staged.notes.append(f"left out: {name}{' (a pickle)' if path.suffix in PICKLES else ''}")
        elif path.suffix == ".json" and path.name not in LARGE_JSON:
            staged.add(name, without_paths(path, name, staged.notes))
        else:
            staged.add(name, path)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns)
