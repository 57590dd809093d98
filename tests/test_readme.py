"""The examples of the README and the model card run as they stand, in a folder where `make demo` has been."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from processing.reporting.model_card import fill_card
from processing.reporting.results import read_evaluations
from processing.reporting.tables import (
    ablation_rows,
    format_table,
    leak_rows,
    legacy_protocol_rows,
    one_to_one_rows,
    pool_rows,
    pool_size_rows,
)
from processing.stories import read_stories
from scripts.benchmarks.measure import cell, tables
from scripts.experiments.ablations import result_files
from tests.elsewhere import run_without_clone
from tests.tiny import tiny_model, tiny_processor

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
README, CARD, TABLES = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "model_card.md", "results/README.md")
)
ABLATIONS = read_evaluations(result_files(RESULTS / "ablations"))
EXAMPLES = re.findall(r"```python\n(.*?)```", README + CARD, re.DOTALL)


@pytest.fixture
def after_demo(tmp_path):
    """What `make demo` leaves, with a tiny model and eight stories."""
    demo = tmp_path / "build" / "demo"
    tiny_model().save_pretrained(demo / "model")
    tiny_processor().save_pretrained(demo / "model")
    (demo / "catalogue" / "posters").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "posterclip").symlink_to(demo / "model")  # which the card loads
    (tmp_path / "processing").mkdir()
    (tmp_path / "processing" / "pair_retrieval").symlink_to(ROOT / "processing" / "pair_retrieval")
    rows = []
    for story in [
        story for story in read_stories() if story["id"] in {"dracula", "moby-dick", "macbeth", "puss-in-boots"}
    ]:
        name = f"posters/{story['id']}.png"
        Image.effect_noise((32, 48), 70).save(demo / "catalogue" / name)
        rows.append({"file_name": name, **{key: story[key] for key in ("id", "title", "plot_short", "plot_long")}})
    (demo / "catalogue" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs_where_the_clone_is_not_importable(example, after_demo, tmp_path):
    script = tmp_path / "example.py"
    script.write_text("import no_clone\n" + example)
    run_without_clone(script, cwd=after_demo, cache=tmp_path / "cache")


def test_there_are_examples_of_loading_and_of_training():
    assert any("AutoModel.from_pretrained" in code for code in EXAMPLES)
    assert any("TrainingArguments" in code for code in EXAMPLES)


def load(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_the_tables_of_the_demo_and_of_the_seeds_recipe_are_those_of_their_result_files():
    seed = load("ablations/seed")
    assert format_table(pool_rows(load("demo")["metrics"])) in README
    assert format_table(legacy_protocol_rows(seed["legacy_protocol"])) in README
    assert format_table(pool_rows(seed["metrics"])) in TABLES


@pytest.mark.parametrize("name", ["benchmark", "gradient_cache", "retrieval_benchmark", "search_benchmark"])
def test_the_benchmarks_tables_are_those_of_its_result_files(name):
    assert load(name)["sections"]
    assert tables(load(name)) in TABLES


def test_the_audits_tables_are_those_of_its_result_file():
    assert format_table(leak_rows(load("leaks"))) in README


def test_the_ablations_tables_are_those_of_their_result_files():
    assert format_table(ablation_rows(ABLATIONS)) in README
    best = load("ablations/best")
    assert format_table(pool_size_rows(best["pool_sizes"])) in TABLES
    assert format_table(one_to_one_rows(best["one_to_one"])) in TABLES


def test_the_card_is_what_its_results_fill():
    best = load("ablations/best")
    assert fill_card(best, "runs/posterclip", ABLATIONS) == CARD


def ways_to_write(value: Any) -> Iterator[str]:
    """How a table may tell a number of a results file."""
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


def strange_numbers(page: str) -> list[str]:
    """Numbers in a page's tables, beyond their headings and first columns, that no results file holds."""
    rows = re.findall(r"^\|[^|]*\|(.*)\|$", re.sub(r"^\|.*\n(?=\| ?:?-)", "", page, flags=re.MULTILINE), re.MULTILINE)
    # "10.42-31.25%" is an interval, not a negative number.
    numbers = [number for row in rows for number in NUMBER.findall(re.sub(r"(?<=\d)-(?=\d)", " ", row))]
    return [number for number in numbers if number not in WRITTEN]


@pytest.mark.parametrize("page", [README, CARD, TABLES], ids=["readme", "card", "results"])
def test_every_number_in_a_table_stands_in_a_results_file(page):
    assert strange_numbers(page) == []


def test_a_number_that_no_results_file_holds_is_found():
    table = format_table([["pool", "R@1"], ["48 plots", "20.8349%"], ["interval", "10.42-31.2577%"]])
    assert strange_numbers(table) == ["20.8349", "31.2577"]
