"""What goes to the Hub: a folder is staged, a copy made of what will be there, and the copy is checked.

Nothing is pushed that a check has not seen: `pushing` takes what a function here made, `stage_model` for one.
"""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load, metadata_save
from yaml import YAMLError

from processing.catalogue.catalogue import load_catalogue
from processing.catalogue.sources.tables import read_table
from scripts.hub.publishing_checks import (
    check_imports,
    check_texts,
    is_local_path,
    package,
    read_json,
    texts_in,
    without_paths,
)
from scripts.space.app import EMBEDDINGS, METADATA

# Of a saved folder: weights, configs, tokenizer, code, card, results, pictures. `*` does not cross a folder here.
MODEL_FILES = (
    *("*.safetensors", "*.json", "*.py", "*.txt", "*.model", "README.md", "LICENSE"),
    *("report-*/*", ".eval_results/*.yaml"),
    *("adapter/*.safetensors", "adapter/*/*.safetensors", "adapter/*/*.json"),
)
NOT_FOR_OTHERS = ("trainer_state.json",)  # its log is in training.json too
# Of what an earlier push has left on the Hub, that which would be taken for a part of this one.
MISLEADING = {
    "model": ("*.safetensors", "*.safetensors.index.json", "adapter/*", "adapter/*/*", "report-*/*"),
    "dataset": ("*.jpg", "*.jpeg", "*.png", "*.webp", "metadata.csv", "metadata.jsonl", "poster_text.jsonl"),
    "space": ("catalogue/*", "model/*"),
}
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# Without it, datasets would take posters called test-pilot.jpg for a split, and drop the others.
ONE_SPLIT = {"configs": [{"config_name": "default", "data_files": "**"}]}
METRIC_FILES = (".py", ".md", ".txt", ".json")
SPACE_FILES = (*METRIC_FILES, *PICTURES, ".css", ".jsonl", ".safetensors")
_LOADED = r'from_pretrained\("([^"]+)"'
LARGE_JSON = ("tokenizer.json", "vocab.json")  # in which no path is
# As in pyproject.toml: what the code in a saved folder imports, and what it does if it is there.
REQUIREMENTS = (
    *("huggingface-hub>=2.0,<3", "numpy>=1.26,<3", "pillow>=11,<14", "torch>=2.6,<3", "transformers>=5.20,<6"),
)
TO_READ_POSTERS = ("onnxruntime>=1.23,<2", "rapidocr>=3.10,<4")


@dataclass
class Staged:
    """A folder as it will be on the Hub, and what is to be said of it.

    Args:
        folder: a copy; large files in it are links.
        repo_type: model, dataset or space.
        notes: a line for each thing that is left out or is not as in the source.

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
        """Their paths in the repository, sorted."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def size(self, name: str) -> int:
        """Of a file, in bytes."""
        return (self.folder / name).stat().st_size

    def add(self, name: str, content: bytes | Path) -> None:
        """Put a file there: its content, or a link to it."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            place.symlink_to(content.resolve())
        else:
            place.write_bytes(content)


def stage_model(source: Path, folder: Path) -> Staged:
    """Choose and check the files of a saved model; local paths in its JSON files are reduced to their last part.

    Args:
        source: what `save_pretrained` or scripts/train.py wrote.
        folder: empty; becomes the copy.

    Raises:
        ValueError: it is no saved model, or what others could not use or should not see lies in it; the message names
            the file. Whether the copy loads is another check, `check_loads`.
    """
    if not (source / "config.json").is_file() or not any(source.glob("*.safetensors")):
        raise ValueError(f"{source} is no saved model: it lacks a config.json or weights (*.safetensors).")
    config = read_json(source / "config.json")
    if not isinstance(config, dict) or "AutoModel" not in (config.get("auto_map") or {}):
        raise ValueError(f"{source} names no code in its config.json (auto_map): save the model again.")
    staged = Staged(folder, "model")
    for path in _files(source):
        name = path.relative_to(source).as_posix()
        if path.suffix in PICKLES or not _is_for(name, MODEL_FILES) or name in NOT_FOR_OTHERS:
            staged.notes.append(f"left out: {name}{' (a pickle)' if path.suffix in PICKLES else ''}")
        elif path.suffix == ".json" and path.name not in LARGE_JSON:
            staged.add(name, without_paths(path, name, staged.notes))
        else:
            staged.add(name, path)
    if "requirements.txt" not in staged.files:
        optional = ["# To read what is printed on posters:", *(f"# {line}" for line in TO_READ_POSTERS)]
        staged.add("requirements.txt", "\n".join([*REQUIREMENTS, *optional, ""]).encode())
    if "README.md" not in staged.files:
        staged.notes.append("there is no README.md: the repository gets no card")
    check_imports(folder, {package(line) for line in (*REQUIREMENTS, *TO_READ_POSTERS)})
    check_texts(folder, staged.files)
    return staged


def name_in_card(staged: Staged, source: Path, repo_id: str) -> None:
    """Let the example of a model's card load the repository, where it loads the folder that is pushed."""
    card = staged.folder / "README.md"
    if not card.is_file():
        return
    text = card.read_text(encoding="utf-8")
    named = [name for name in set(re.findall(_LOADED, text)) if Path(name).resolve() == source.resolve()]
    for name in named:
        text = text.replace(f'from_pretrained("{name}"', f'from_pretrained("{repo_id}"')
        staged.notes.append(f"README.md: its example loads {repo_id} in place of {name}")
    if named:
        card.unlink()
        staged.add(card.name, text.encode())


def stage_dataset(source: Path, folder: Path) -> Staged:
    """Choose and check the files of a catalogue: metadata, the posters that it names, what is printed on them, card.

    Raises:
        CatalogueError: rows or posters are bad.
        ValueError: it is another layout, or what others should not see lies in it.
    """
    metadata = [path for path in (source / "metadata.jsonl", source / "metadata.csv") if path.is_file()]
    if len(metadata) != 1:
        raise ValueError(f"{source} is no catalogue that can be pushed: it needs a metadata.jsonl or metadata.csv.")
    load_catalogue(str(source))
    staged, posters = Staged(folder, "dataset"), set()
    for row in read_table(metadata[0]).rows:
        posters.add(Path(row.fields["file_name"]).as_posix())
        for column, value in row.fields.items():
            if local := [text for text in texts_in(value) if is_local_path(text)]:
                raise ValueError(f"{metadata[0].name} {row.where}, {column}: a path of this machine: {local[0]}")
    beside = {metadata[0].name, "poster_text.jsonl", "LICENSE"}
    for path in _files(source):
        name = path.relative_to(source).as_posix()
        if name in posters or name in beside:
            staged.add(name, path)
        elif name != "README.md":
            staged.notes.append(f"left out: {name}")
    if missing := sorted(posters - set(staged.files)):
        raise ValueError(f"{metadata[0].name} names {missing[0]}, which does not lie in {source}.")
    card = source / "README.md"
    named = card_metadata(card) if card.is_file() else {}
    if "configs" in named:
        staged.add(card.name, card)
    else:
        staged.notes.append(
            "README.md: it gets metadata that takes all files for one split; rows name theirs in a column"
        )
        staged.add(card.name, card.read_bytes() if card.is_file() else b"")
        metadata_save(folder / card.name, named | ONE_SPLIT)
    check_texts(folder, staged.files)
    return staged


def stage_metric(source: Path, folder: Path) -> Staged:
    """Choose and check the files of a metric: NAME/NAME.py, README.md with an `sdk`, requirements.txt.

    Raises:
        ValueError: as `stage_space`.
    """
    return _stage_space(source, folder, "metric", (f"{source.resolve().name}.py",), METRIC_FILES)


def stage_space(source: Path, folder: Path) -> Staged:
    """Choose and check the files of an app, as `scripts/app.py --space` writes it.

    Raises:
        ValueError: it is none, its code imports what it does not declare, or what others should not see lies in it.
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
    for path in _files(source):
        name = path.relative_to(source).as_posix()
        if path.suffix not in suffixes:
            staged.notes.append(f"left out: {name}")
        elif path.suffix == ".json" and path.name not in LARGE_JSON:
            staged.add(name, without_paths(path, name, staged.notes))
        else:
            staged.add(name, path)
    if not (sdk := space_sdk(staged)):
        raise ValueError(f"{source}/README.md must begin with the metadata of a Space: it names no sdk.")
    lines = (source / "requirements.txt").read_text(encoding="utf-8").splitlines()
    check_imports(folder, {sdk, *(package(line) for line in lines if line.strip() and not line.startswith("#"))})
    check_texts(folder, staged.files)
    return staged


def card_metadata(card: Path) -> dict[str, Any]:
    """What a card begins with; ValueError, naming the file, if that cannot be read."""
    try:
        return metadata_load(card) or {}
    except (YAMLError, ValueError) as error:
        raise ValueError(f"{card.name}: its metadata cannot be read: {' '.join(str(error).split())}") from None


def space_sdk(staged: Staged) -> str | None:
    """What runs a Space, as its card says."""
    sdk = card_metadata(staged.folder / "README.md").get("sdk")
    return sdk if isinstance(sdk, str) else None


def is_misleading(name: str, repo_type: str) -> bool:
    """Whether a file that is on the Hub and not in a push would be taken for a part of it; what else is there stays."""
    if repo_type == "model":
        return _is_for(name, MISLEADING[repo_type])
    return any(fnmatch(name, pattern) for pattern in MISLEADING[repo_type])


def _files(source: Path) -> list[Path]:
    """The files that may be meant: none that are hidden, compiled, or of a run's checkpoints."""

    def is_meant(parts: tuple[str, ...]) -> bool:
        hidden = any(part.startswith(".") and part != ".eval_results" for part in parts)
        return not hidden and "__pycache__" not in parts and not parts[0].startswith("checkpoint-")

    files = [path for path in sorted(source.rglob("*")) if path.is_file()]  # a link as what it leads to
    return [path for path in files if is_meant(path.relative_to(source).parts)]


def _is_for(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns)
