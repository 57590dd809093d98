"""The examples of the README and the model card run as they stand, in a folder where `make demo` has been."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from processing.report import ablation_rows, format_table, matching_rows, pool_rows, pool_size_rows, seed_rows
from processing.stories import read_stories
from scripts.ablations import table
from scripts.benchmark import tables
from tests.elsewhere import run_without_clone
from tests.tiny import tiny_model, tiny_processor

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CARD = (ROOT / "model_card.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README + CARD, re.DOTALL)


@pytest.fixture
def after_demo(tmp_path):
    """What `make demo` leaves, with a tiny model and eight stories."""
    demo = tmp_path / "build" / "demo"
    tiny_model().save_pretrained(demo / "model")
    tiny_processor().save_pretrained(demo / "model")
    (demo / "catalogue" / "posters").mkdir(parents=True)
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


@pytest.mark.parametrize("name", ["demo", "seed"])
def test_the_tables_are_those_of_the_result_files(name):
    results = json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert format_table(pool_rows(results["metrics"])) in README
    if "seed_protocol" in results:
        assert format_table(seed_rows(results["seed_protocol"])) in README


@pytest.mark.parametrize("name", ["benchmark", "gradient_cache"])
def test_the_benchmarks_tables_are_those_of_its_result_files(name):
    assert tables(json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))) in README


def test_the_ablations_tables_are_those_of_their_result_files():
    folder = ROOT / "results" / "ablations"
    rows = format_table(ablation_rows(table(folder)))
    assert rows in README and rows in CARD
    best = json.loads((folder / "best.json").read_text(encoding="utf-8"))
    assert format_table(pool_size_rows(best["pool_sizes"])) in README
    assert format_table(matching_rows(best["one_to_one"])) in README
