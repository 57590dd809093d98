import numpy as np

from processing.report import format_table, pool_rows, seed_rows
from processing.retrieval import evaluate_pool, seed_protocol
from tests.processing.test_retrieval import unit


def test_tables_are_aligned_and_show_pool_and_chance():
    rng = np.random.default_rng(7)
    images, ids = unit(rng, 2000, 8), np.arange(2000)
    table = format_table(pool_rows(evaluate_pool(images, images, ids, ids).summary()))
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "image-to-text (2,000 plots)",
        "chance",
        "text-to-image (2,000 posters)",
        "chance",
    ]
    assert (
        lines[2].split() == "| image-to-text (2,000 plots) | 100.00% | 100.00% | 100.00% | 1.0 | 1.0 | 1.0000 |".split()
    )
    assert "0.05%" in lines[3] and "1,000.5" in lines[3]
    protocol = seed_protocol(images, images, ids, ids < 500)
    assert "| trained                        |   500 |       100.00% |" in format_table(seed_rows(protocol))
