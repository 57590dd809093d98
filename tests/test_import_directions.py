"""Imports between the rooms of the project go one way. This is the map; CONTRIBUTING tells the reasons."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [file for top in ("modeling", "processing", "scripts") for file in sorted((ROOT / top).rglob("*.py"))]
# Folders that go to the Hub whole: flat, and without an import of ours from outside.
FLAT = ("modeling/posterclip", "processing/posterclip", "processing/pair_retrieval")

# Rooms that each room may import. A room is a folder and what is in it, or the files that lie beside the folders.
MAY_IMPORT: dict[str, set[str]] = {
    "modeling/posterclip": set(),
    "modeling/inference": {"modeling/posterclip"},
    "modeling/training": {"modeling/posterclip", "modeling/inference"},
    "modeling": {"modeling/posterclip"},
    "processing/posterclip": set(),
    "processing/pair_retrieval": set(),
    "processing/stories": set(),
    "processing/splits": {"processing/posterclip"},
    "processing/catalogue": {"processing/splits", "processing/posterclip"},
    "processing/data": {"processing/catalogue", "processing/splits", "processing/posterclip"},
    "processing/evaluation": {"processing/pair_retrieval"},
    "processing/matching": {
        *("processing/evaluation", "processing/pair_retrieval", "processing/splits", "processing/posterclip"),
    },
    "processing/reporting": {"processing/evaluation", "processing/pair_retrieval", "processing/posterclip"},
    "processing/search": {"processing/evaluation", "processing/pair_retrieval"},
    "processing": {"processing/posterclip"},
}
ENGINE = set(MAY_IMPORT)
MAY_IMPORT |= {
    "scripts/common": ENGINE,
    "scripts/space": ENGINE | {"scripts/common"},
    "scripts/hub": ENGINE | {"scripts/common", "scripts/space"},
    "scripts/benchmarks": ENGINE | {"scripts/common"},
    "scripts/experiments": ENGINE | {"scripts/common", "scripts/benchmarks"},
    # The verbs: none of them imports another one, which would be this room itself.
    "scripts": ENGINE | {"scripts/common", "scripts/space", "scripts/hub"},
}


def room(path: Path) -> str:
    """The room of a file or package, which is given relative to the root."""
    parts = path.parts[:2] if (ROOT / Path(*path.parts[:2])).is_dir() else path.parts[:1]
    return "/".join(parts)


def imports(file: Path) -> Iterator[tuple[int, str, Path]]:
    """The line, level and path of everything of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from package import module` imports a module as well.
            names = [(node.level, ".".join(filter(None, (node.module, alias.name)))) for alias in node.names]
        else:
            continue
        for level, name in names:
            if level:
                yield node.lineno, level, file.parents[level - 1].relative_to(ROOT).joinpath(*name.split("."))
            elif name.split(".")[0] in ("modeling", "processing", "scripts"):
                yield node.lineno, level, Path(*name.split("."))


def rooms() -> list[str]:
    return sorted({room(file.relative_to(ROOT)) for file in SOURCES})


@pytest.mark.parametrize("name", rooms())
def test_a_room_imports_only_rooms_below_it(name):
    assert name in MAY_IMPORT, f"{name} is a new room: say here what it may import"
    own = set() if name == "scripts" else {name}
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {path}"
        for file in SOURCES
        if room(file.relative_to(ROOT)) == name
        for line, _, path in imports(file)
        if room(path) not in MAY_IMPORT[name] | own
    ]
    assert not wrong, "\n".join(wrong)


def test_the_map_has_no_circle():
    below = {name: set(others) for name, others in MAY_IMPORT.items()}
    while below:
        free = {name for name, others in below.items() if not others & below.keys()}
        assert free, f"these rooms import each other: {sorted(below)}"
        below = {name: others for name, others in below.items() if name not in free}


@pytest.mark.parametrize("folder", FLAT)
def test_a_folder_that_goes_to_the_hub_is_flat_and_imports_its_own_files_alone(folder):
    assert not [path for path in (ROOT / folder).iterdir() if path.is_dir() and path.name != "__pycache__"]
    for file in (ROOT / folder).glob("*.py"):
        found = list(imports(file))
        assert all(level == 1 and path.parent.parent == Path(folder) for _, level, path in found), file
        # transformers finds these imports by a regular expression, which takes a line of a docstring for one too.
        text = file.read_text(encoding="utf-8")
        matches = re.finditer(r"^[ \t]*from[ \t]+\.", text, re.MULTILINE)
        assert {text[: match.start()].count("\n") + 1 for match in matches} == {line for line, *_ in found}, file
