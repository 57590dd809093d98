import copy
import re

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from processing.evaluation.intervals import bootstrap_intervals
from processing.evaluation.pool_sizes import pool_size_metrics
from processing.evaluation.retrieval import evaluate_pool
from processing.pair_retrieval.ranking import DIRECTIONS
from processing.reporting.matching_tables import confidence_rows, matched_rows
from processing.reporting.model_card import eval_results, fill_card
from processing.reporting.tables import format_table, known_rows
from tests.processing.evaluations import matching

KNOWN = "titles and one plot, both stages, poster text painted over"


@pytest.fixture(scope="module")
def results() -> dict:
    """As `scripts/evaluate.py` writes them, of random embeddings, and from somebody's disk."""
    embeds = np.random.default_rng(0).standard_normal((2, 40, 4))
    pool = evaluate_pool(*(embeds / np.linalg.norm(embeds, axis=-1, keepdims=True)), range(40), range(40))
    metrics = {**pool.summary(), "intervals": bootstrap_intervals(pool)}
    catalogue = {"source": "/home/somebody/my movies", "rows": {"train": 2235, "test": 40}, "split_by": "given"}
    return {
        "model": "/home/somebody/runs/mine",
        "split": "test",
        "titles": "use",
        "plots": "one",
        "both_stages": True,
        "known": [{"titles": "use", "plots": "one", "both_stages": True, "metrics": metrics}],
        "matching": matching(),
        "mask_titles": False,
        "remove_poster_text": True,
        "catalogue": catalogue,
        "data_fingerprint": {"test": "3f" * 32},
        "training": {
            "catalogue": catalogue,
            "train_splits": ["train"],
            "data_fingerprint": {"train": "a1" * 32},
            "model": {
                **{
                    "vision_model_name_or_path": "/home/somebody/encoders/lite2",
                    "text_model_name_or_path": "google-bert/bert-base-uncased",
                },
                **{"vision_mode": "frozen", "text_mode": "last-2", "use_poster_text": True, "char_ngram_dim": 4096},
            },
            "arguments": {"learning_rate": 3e-4, "num_train_epochs": 20, "seed": 0},
            "seconds": 26.4,
            "machine": {"device": "cpu", "processor": "x86_64", "threads": 2},
            "code": {"commit": "c0ffee", "dirty": True},
            "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
        },
        "metrics": metrics,
        "pool_sizes": {name: pool_size_metrics(getattr(pool, name), 40, [10]) for name in DIRECTIONS},
        "time": "2026-01-01T00:00:00+00:00",
    }


def test_the_model_index_holds_the_metrics_of_both_directions(results):
    card = ModelCard(fill_card(results, "someone/posterclip"))
    found = {of.metric_name: of.metric_value for of in card.data.eval_results}
    for direction in DIRECTIONS:
        for metric in ("R@1", "R@5", "R@10", "MRR"):
            name = f"{direction.replace('_', '-')} {metric}, 40 candidates, {KNOWN}"
            assert found[name] == pytest.approx(results["metrics"][direction][metric], abs=5e-5)
    assert len(found) == 8
    assert card.data.base_model == ["google-bert/bert-base-uncased"] and card.data.license == "apache-2.0"


def test_a_dataset_of_the_hub_gets_the_same_numbers_as_entries(results):
    entries = parse_eval_result_entries(yaml.safe_load(eval_results(results, "someone/movies")))
    assert {entry.dataset_id for entry in entries} == {"someone/movies"} and len(entries) == 8
    values = {entry.task_id: entry.value for entry in entries}
    expected = results["metrics"]["text_to_image"]["R@10"]
    assert values["text_to_image_hit_rate_at_10"] == pytest.approx(expected, abs=5e-5)
    assert entries[0].notes == f"test, 40 candidates, {KNOWN}"


def test_a_card_tells_what_was_evaluated_and_how_it_was_trained(results):
    card = fill_card(results, "someone/posterclip")
    words = [f"40 movies of `my movies` (test) as pool. Known of a movie: {KNOWN}."]
    words += ["3f" * 32, "2,235 (train)", "a1" * 32]
    words += ["lite2, frozen", "bert-base-uncased, last-2", "0.0003", "c0ffee with changes", "torch 2.13.0"]
    words += ["26 seconds on cpu (x86_64, 2 threads)", 'from_pretrained("someone/posterclip"', "tie counts against"]
    assert [word for word in words if word not in card] == []


def test_a_card_shows_what_is_found_by_what_is_known_and_what_is_accepted(results):
    card = fill_card(results, "someone/posterclip")
    tables = known_rows(results["known"]), matched_rows(results["matching"]), confidence_rows(results["matching"])
    assert [rows for rows in tables if format_table(rows) not in card] == []
    plain = {name: of for name, of in results.items() if name != "matching"} | {"known": []}
    assert "known of a movie |" not in (card := fill_card(plain, "someone/posterclip")) and "accepted" not in card


def test_numbers_that_are_memory_are_called_so(results):
    assert "memory, not skill" not in fill_card(results, "someone/posterclip")
    found = {"trained_on": ["7", "9"], "chosen_by": [], "complete": True}
    assert "trained on 2 of the movies evaluated here (7, 9): the numbers show memory, not skill" in fill_card(
        {**results, "trained_movies": found}, "someone/posterclip"
    )


def test_no_path_of_a_disk_is_told(results):
    assert "/home" not in fill_card(results, "someone/posterclip")


def test_what_the_model_does_not_do_is_not_said(results):
    plain = copy.deepcopy(results)
    plain["training"]["model"] |= {"use_poster_text": None, "char_ngram_dim": None}
    card = fill_card(plain, "someone/posterclip")
    assert "4-grams" not in card and "poster_text" not in card and "text on a poster" not in card
    plain["training"] = None
    assert "The training data is not recorded." in fill_card(plain, "someone/posterclip")


def test_others_stand_beside_it_if_they_were_evaluated_on_the_same_data(results):
    card = fill_card(results, "someone/posterclip", {"without its text": results})
    assert re.search(r"\| without its text \|", card)
    other = {**results, "data_fingerprint": {"test": "00"}}
    with pytest.raises(ValueError, match="evaluated on other data"):
        fill_card(results, "someone/posterclip", {"another catalogue": other})
