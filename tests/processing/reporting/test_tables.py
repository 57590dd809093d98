import numpy as np

from processing.evaluation.one_to_one import match_one_to_one
from processing.evaluation.pool_sizes import pool_size_metrics
from processing.evaluation.retrieval import PoolResult, evaluate_pool, legacy_protocol
from processing.pair_retrieval.measures import metric_names
from processing.pair_retrieval.ranking import DIRECTIONS
from processing.reporting.tables import (
    format_table,
    legacy_protocol_rows,
    one_to_one_rows,
    pool_rows,
    pool_size_rows,
)
from tests.processing.evaluation.test_retrieval import unit


def test_tables_are_aligned_and_show_pool_and_chance():
    rng = np.random.default_rng(7)
    images, ids = unit(rng, 2000, 8), np.arange(2000)
    table = format_table(pool_rows(evaluate_pool(images, images, ids, ids).summary()))
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "image-to-text (2,000 movies)",
        "chance",
        "text-to-image (2,000 posters)",
        "chance",
    ]
    assert (
        lines[2].split()
        == "| image-to-text (2,000 movies) | 100.00% | 100.00% | 100.00% | 1.0 | 1.0 | 1.0000 |".split()
    )
    assert "0.05%" in lines[3] and "1,000.5" in lines[3]
    protocol = legacy_protocol(evaluate_pool(images, images, ids, ids), ids[:500])
    assert "| trained            |   500 |       100.00% |" in format_table(legacy_protocol_rows(protocol))


def test_an_interval_stands_below_its_metrics_where_there_is_one():
    ids, ranks = np.arange(4), np.array([1, 1, 2, 4])
    summary = PoolResult(ids, ids, ranks, ranks).summary()
    intervals = {name: [0.25, 0.75] for name in metric_names()} | {"median_rank": [1, 3], "mean_rank": [1, 2.5]}
    rows = pool_rows({**summary, "intervals": {way: intervals for way in DIRECTIONS}})
    assert [row[0] for row in rows[1:4]] == ["image-to-text (4 movies)", "95% interval", "chance"]
    assert rows[2][1:] == [*["25.00-75.00%"] * 3, "1.0-3.0", "1.0-2.5", "0.2500-0.7500"]
    assert [row for row in rows if row[0] != "95% interval"] == pool_rows(summary)


def test_chance_stands_beside_the_recalls_of_each_pool_size():
    sizes = pool_size_metrics(np.array([1, 2]), 2000, [2])
    rows = pool_size_rows({way: sizes for way in DIRECTIONS})
    assert rows[0] == ["direction (pool)", "R@1", "chance", "R@5", "chance", "R@10", "chance"]
    assert rows[2] == ["image-to-text (2,000)", "50.00%", "0.05%", "100.00%", "0.25%", "100.00%", "0.50%"]


def test_an_assignment_has_a_share_of_right_pairs_and_no_ranks():
    found = match_one_to_one(np.eye(4), np.eye(4), range(4), range(4), scale=10.0)
    rows = one_to_one_rows(found)
    assert rows[-2:] == [["assignment (4 pairs)", "100.00%", *"-----"], ["chance", "25.00%", *"-----"]]
    assert {len(row) for row in rows} == {7}
