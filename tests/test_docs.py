"""The README, docs/ and the model card: their examples and commands run, and their tables are those of results/."""

import argparse
import importlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from processing.reporting.model_card import fill_card
from processing.reporting.results import read_evaluation, read_evaluations
from processing.reporting.tables import format_table
from processing.stories import read_stories
from scripts import embed, evaluate
from scripts.benchmarks.measure import cell
from scripts.experiments.ablations import result_files
from scripts.experiments.doc_tables import ROOT, fill, pages
from tests.elsewhere import run_without_clone
from tests.tiny import tiny_model, tiny_processor

RESULTS, CARD = ROOT / "results", ROOT / "model_card.md"
PAGES = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in [*pages(), CARD]}


def examples() -> list[Any]:
    found = []
    for name, page in PAGES.items():
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", page, re.DOTALL)):
            found.append(pytest.param(code, id=f"{name}-{number}"))
    return found


def commands() -> list[Any]:
    """Each command of a page, as a script's name and its arguments."""
    found = []
    for name, page in PAGES.items():
        for block in re.findall(r"(?:^    .*\n)+", page, re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.match(r"\s+\.venv/bin/python scripts/([\w/]+)\.py (.*)", line):
                    found.append(pytest.param(match[1], shlex.split(match[2]), id=f"{name}-{match[1]}-{len(found)}"))
    return found


@pytest.fixture
def after_demo(tmp_path, monkeypatch) -> Path:
    """What `make demo` leaves, with a tiny model and few stories."""
    demo = tmp_path / "build" / "demo"
    tiny_model().save_pretrained(demo / "model")
    tiny_processor().save_pretrained(demo / "model")
    (demo / "catalogue" / "posters").mkdir(parents=True)
    (demo / "scans").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "posterclip").symlink_to(demo / "model")  # which the card loads
    (tmp_path / "processing").mkdir()
    (tmp_path / "processing" / "pair_retrieval").symlink_to(ROOT / "processing" / "pair_retrieval")
    stories = sorted(read_stories(), key=lambda story: story["id"] != "puss-in-boots")[:10]
    rows, table = [], ["id,title,plot_short"]
    for number, story in enumerate(stories):
        name = f"posters/{story['id']}.png"
        Image.effect_noise((32, 48), 30 + 9 * number).save(demo / "catalogue" / name)
        shutil.copy(demo / "catalogue" / name, demo / "scans" / f"{number}.png")
        row = {key: story[key] for key in ("id", "title", "plot_short", "plot_long")}
        rows.append({"file_name": name, "split": ("train", "train", "validation", "test")[number % 4], **row})
        table.append(f'{story["id"]},"{story["title"]}","{story["plot_short"]}"')
    (demo / "catalogue" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (demo / "movies.csv").write_text("\n".join(table))
    monkeypatch.chdir(tmp_path)
    evaluate.main(["build/demo/model", "--catalogue", "build/demo/catalogue", "--page", "False"])
    embed.main(["build/demo/model", "--catalogue", "build/demo/catalogue", "--output", "build/index"])
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("example", examples())
def test_an_example_runs_where_the_clone_is_not_importable_unless_it_imports_it(example, after_demo, tmp_path):
    script = tmp_path / "example.py"
    uses_the_clone = re.search(r"^from (processing|scripts|modeling)\.", example, re.MULTILINE)
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" if uses_the_clone else "import no_clone\n"
    script.write_text(path + example)
    run_without_clone(script, cwd=after_demo, cache=tmp_path / "cache")


class Parsed(Exception):
    pass


@pytest.mark.parametrize(("script", "arguments"), commands())
def test_a_command_has_the_flags_that_a_page_shows(script, arguments, monkeypatch):
    parse = argparse.ArgumentParser.parse_known_args

    def parse_only(parser, args=None, namespace=None):
        assert parse(parser, args, namespace)[1] == []
        raise Parsed

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse_only)
    with pytest.raises(Parsed):
        importlib.import_module(f"scripts.{script.replace('/', '.')}").main(arguments)


@pytest.mark.slow
def test_the_commands_that_need_nothing_but_the_demo_run(after_demo, monkeypatch):
    monkeypatch.setattr("scripts.common.command_line.FEATURE_CACHE", str(after_demo / "features"))
    done = 0
    for command in commands():
        script, arguments = command.values
        others = [name for name in arguments if name.startswith(("my_", "movies", "runs/", "MODEL", "A poster"))]
        if others or script == "train" or (script == "app" and "--space" not in arguments):
            continue
        importlib.import_module(f"scripts.{script.replace('/', '.')}").main(arguments)
        done += 1
    assert done >= 10


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_those_of_the_results(name):
    assert fill(PAGES[name]) == PAGES[name]


def test_the_card_is_what_its_results_fill():
    ablations = read_evaluations(result_files(RESULTS / "ablations"))
    titles = read_evaluation(RESULTS / "ablations" / "titles.json")
    assert fill_card(titles, "runs/posterclip", ablations) == PAGES["model_card.md"]


@pytest.mark.parametrize("name", PAGES)
def test_the_local_links_of_a_page_lead_somewhere(name):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", PAGES[name]):
        assert ((ROOT / name).parent / target).exists(), target


def test_a_user_finishes_the_readme():
    assert PAGES["README.md"].count("\n") <= 220


def test_published_results_were_measured_with_the_pinned_pillow():
    pinned = re.search(r"^pillow==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    for file in [RESULTS / "demo.json", *RESULTS.glob("ablations/*.json")]:
        assert json.loads(file.read_text())["versions"]["pillow"] == pinned, file.name


def ways_to_write(value: Any) -> Iterator[str]:
    """How a table may write a number of a results file."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from ways_to_write(each)
    elif isinstance(value, int | float):
        yield from (f"{value:,}", f"{value:,.1f}", f"{value:.4f}", f"{100 * value:.1f}", f"{100 * value:.2f}")
        yield cell(value)
    elif isinstance(value, str):
        yield from NUMBER.findall(value)


NUMBER = re.compile(r"(?<![\w.,])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w,]*\d)")
WRITTEN = set(chain.from_iterable(ways_to_write(json.loads(file.read_text())) for file in RESULTS.rglob("*.json")))


def unknown_numbers(page: str) -> list[str]:
    """Numbers in a page's tables, beyond their headings and first columns, that no results file holds."""
    rows = re.findall(r"^\|[^|]*\|(.*)\|$", re.sub(r"^\|.*\n(?=\| ?:?-)", "", page, flags=re.MULTILINE), re.MULTILINE)
    # "10.42-31.25%" is an interval, not a negative number.
    numbers = [number for row in rows for number in NUMBER.findall(re.sub(r"(?<=\d)-(?=\d)", " ", row))]
    return [number for number in numbers if number not in WRITTEN]


@pytest.mark.parametrize("name", PAGES)
def test_every_number_in_a_table_of_results_stands_in_a_results_file(name):
    page = PAGES[name]
    tables = page if name == "model_card.md" else "".join(re.findall(r"<!-- table.*?<!-- end -->", page, re.DOTALL))
    assert unknown_numbers(tables) == []


def test_a_number_that_no_results_file_holds_is_found():
    table = format_table([["pool", "R@1"], ["48 plots", "20.834917%"], ["interval", "31.257703%"]])
    assert unknown_numbers(table) == ["20.834917", "31.257703"]
