from pathlib import Path

import evaluate
import numpy as np
import pytest
import yaml

from processing.evaluation.intervals import bootstrap_intervals, paired_differences
from processing.evaluation.retrieval import evaluate_pool
from tests.processing.evaluation.test_retrieval import unit

FOLDER = Path(__file__).parents[3] / "processing" / "pair_retrieval"


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    """Loaded as users do, from a copy that imports nothing of the clone."""
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


@pytest.fixture(scope="module")
def given():
    """Two models' embeddings of 12 movies with two posters each and 15 plots."""
    rng = np.random.default_rng(0)
    ids = [f"tt{number}" for number in (*range(12), *range(12))], [f"tt{number}" for number in (*range(12), 0, 0, 1)]
    return [(unit(rng, 24, 4), unit(rng, 15, 4)) for _ in range(2)], ids


def test_from_embeddings_it_says_what_the_project_says(metric, given):
    (before, after), ids = given
    found = metric.compute(
        image_embeds=after[0], text_embeds=after[1], image_ids=ids[0], text_ids=ids[1], baseline=before
    )
    pools = [evaluate_pool(*embeds, *ids) for embeds in (before, after)]
    assert found.pop("intervals") == bootstrap_intervals(pools[1])
    assert found.pop("differences") == paired_differences(*pools)
    assert found == pools[1].summary()


def test_from_ranks_it_says_the_same_one_way(metric, given):
    (before, after), ids = given
    whole = metric.compute(
        image_embeds=after[0], text_embeds=after[1], image_ids=ids[0], text_ids=ids[1], baseline=before
    )
    lists = []
    for embeds in (before, after):
        ranks = evaluate_pool(*embeds, *ids).right_ranks()["text_to_image"]
        lists.append([[best, *ranks.further[ranks.queries == row]] for row, best in enumerate(ranks.best)])
    for start in range(0, 15, 4):
        metric.add_batch(predictions=lists[1][start : start + 4], references=ids[1][start : start + 4])
    found = metric.compute(pool_size=24, baseline=lists[0])
    for key in ("pool", "chance", "intervals", "differences"):
        assert found.pop(key) == whole[key]["text_to_image"]
    assert found == whole["text_to_image"]


def test_ids_of_ranks_are_integers_too(metric):
    found = metric.compute(predictions=[[1], [3]], references=[7, 8], pool_size=3, ks=[2])
    assert found["R@2"] == found["recall@2"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": (1, 5)}, r"ks must be whole numbers in 1\.\.3 \(the pool\), got \(1, 5\)"),
        *(({"ks": ks}, "ks must be whole") for ks in ((0,), (), 1, None, "1", (True,), (1.0,))),
        ({"text_embeds": np.zeros((3, 3))}, "3 of 3 text_embeds are not L2-normalised"),
        ({"text_embeds": np.full((3, 3), np.nan)}, "3 of 3 text_embeds are not L2-normalised"),
        ({"text_embeds": np.eye(3) * 1j}, "text_embeds must be .* real numbers .* of complex128"),
        ({"text_embeds": [[1, 0, 0], [0, 1], [0, 0, 1]]}, "text_embeds must be .* of numbers"),
        ({"text_embeds": None}, "need text_embeds and text_ids"),
        ({"text_ids": [1, 2, 9]}, "1 of 3 image_ids have no text of that id"),
        ({"text_ids": [1, "2", 3]}, "ids must be of one kind, integers or strings, got int and str"),
        ({"text_ids": [1.0, 2.0, 3.0]}, "ids must be two lists of integers or two lists of strings"),
        ({"image_embeds": np.empty((0, 3)), "image_ids": []}, "0 image_embeds with 0 image_ids"),
        ({"baseline": (np.eye(3), np.eye(3)[:2])}, "baseline: 2 text_embeds with 3 text_ids"),
        ({"baseline": np.eye(3)}, "baseline must be a pair"),
        ({"pool_size": 3}, "no argument pool_size"),
    ],
)
def test_bad_embeddings(metric, change, message):
    good = {"image_embeds": np.eye(3), "text_embeds": np.eye(3), "image_ids": [1, 2, 3], "text_ids": [1, 2, 3]}
    with pytest.raises(ValueError, match=message):
        metric.compute(**{**good, "ks": (1,), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool_size": 2}, r"query 1 has the ranks \[3\]: need .* in 1\.\.2 \(the pool\)"),
        *(({"pool_size": size}, "pool_size must be a whole number") for size in (None, "3", 3.5, 0)),
        ({"predictions": [[1], []]}, "query 1 has the ranks"),
        ({"predictions": [[1], [1.9]]}, "query 1 has the ranks"),
        ({"predictions": []}, "0 predictions with 2 references"),
        ({"references": ["a", 1]}, "ids must be of one kind"),
        ({"references": ["a", None]}, "ids must be of one kind"),
        ({"baseline": [[1]]}, "baseline has 1 queries, references 2"),
        ({"baseline": [[1], [0]]}, r"baseline: query 1 has the ranks \[0\]"),
        ({"baseline": [[1], [1, 2]]}, "baseline has another number of right answers than predictions for query 1"),
        ({"ks": (4,)}, r"ks must be whole numbers in 1\.\.3"),
        ({"image_ids": [1]}, "no argument image_ids"),
    ],
)
def test_bad_ranks(metric, change, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(**{"predictions": [[1], [3]], "references": ["a", "b"], "pool_size": 3, "ks": (1,), **change})


def test_batches_outlive_arguments_that_are_refused(metric):
    metric.add_batch(predictions=[[1], [3]], references=["a", "b"])
    with pytest.raises(ValueError, match="query 0 has the ranks"):
        metric.add_batch(predictions=[[0]], references=["c"])
    with pytest.raises(ValueError, match="ks must be whole"):
        metric.compute(pool_size=3)
    assert metric.compute(pool_size=3, ks=(k for k in (1, 2)))["R@1"] == 0.5


def test_the_folder_is_a_space():
    _, header, text = (FOLDER / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    settings = yaml.safe_load(header)
    assert settings["sdk"] == "gradio" and (FOLDER / settings["app_file"]).is_file()
    assert {"evaluate", "metric"} <= set(settings["tags"])
    example = text.split("```python\n")[1].split("```")[0].replace("someone/pair_retrieval", str(FOLDER))
    exec(example, {})
