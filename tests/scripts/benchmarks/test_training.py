import json
from dataclasses import replace

import pytest
import torch
from transformers import BertConfig

from processing.catalogue.catalogue import load_catalogue
from scripts.benchmarks import frozen_encoders, trained_encoders, training
from scripts.benchmarks.frozen_encoders import fill_at_random, train_frozen
from scripts.benchmarks.measure import Setup, kilobytes, table, tables
from scripts.benchmarks.trained_encoders import Step, expected_peak, one_step, padded_tokens, step_rows
from scripts.benchmarks.training import SECTIONS
from tests.tiny import TEXT, VISION


@pytest.fixture
def setup(catalogue, encoders, tmp_path) -> Setup:
    """Two tiny encoders in place of the large ones, and four movies to measure rates over."""
    tiny = VISION["vit"], BertConfig(**{**TEXT["bert"].to_dict(), "num_hidden_layers": 3})
    movies = load_catalogue(str(catalogue)).splits["train"]
    limits = {"batch": 4, "pairs": [4], "chunk_size": 2, "count": 4, "rounds": 1}
    return Setup(movies, encoders[1], encoders[3], tmp_path, base=tiny, small=tiny, **limits)


@pytest.fixture
def flags(catalogue, encoders, tmp_path) -> list[str]:
    return ["--catalogue", str(catalogue), *encoders[:4], "--output", str(tmp_path / "out.json")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_a_table(name, setup):
    section = SECTIONS[name](setup)
    assert all(row.keys() == section["rows"][0].keys() for row in section["rows"])
    assert section["title"] in table(section) and section["settings"]


@pytest.mark.slow
def test_a_section_says_whether_features_from_the_cache_train_the_same_weights(setup):
    section = frozen_encoders.cache(setup)
    assert ("equal to the bit" if section["same_weights"] else "NOT equal") in section["note"]


@pytest.mark.slow
def test_only_the_named_sections_are_measured_on_as_many_movies_as_are_asked_for(flags, tmp_path, capsys):
    training.main([*flags, "--sections", "cache", "--movies", "3"])
    results = json.loads((tmp_path / "out.json").read_text())
    assert list(results["sections"]) == ["cache"]
    assert results["sections"]["cache"]["settings"]["movies"] == 3
    assert tables(results) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--sections", "cache", "speed"], "sections: there is no speed; there are cache, "),
        (["--pairs", "4", "4096"], "pairs: a batch has 2 to 8 pairs"),
        (["--pairs", "1"], "pairs: a batch has 2 to 8 pairs"),
        (["--movies", "99"], "movies: 99 is none of 2..8"),
        (["--output", "."], r"\. cannot be written"),
        (["--sections", "padding", "--text_model_name_or_path", "nowhere"], "plot|text encoder 'nowhere'"),
    ],
)
def test_a_wrong_argument_stops_before_anything_is_measured(wrong, words, flags, capsys):
    with pytest.raises(SystemExit, match=words) as stopped:
        training.main([*flags, *wrong])
    assert "\n" not in str(stopped.value) and not capsys.readouterr().out


def test_random_features_are_found_in_place_of_those_of_the_encoders(setup, monkeypatch):
    folder = setup.scratch / "random"
    fill_at_random(setup.random(setup.base), setup.movies, folder)
    monkeypatch.setattr("scripts.common.features.encode_images", lambda *_: pytest.fail("a poster was encoded"))
    monkeypatch.setattr("scripts.common.features.encode_texts", lambda *_: pytest.fail("a plot was encoded"))
    seconds, _ = train_frozen(setup.random(setup.base), setup.movies, setup.scratch, folder, epochs=1, batch=4)
    assert seconds > 0


def test_weights_that_differ_are_found():
    first = {"weight": torch.zeros(3), "bias": torch.ones(1)}
    assert frozen_encoders.all_equal([first, {**first, "weight": torch.zeros(3)}])
    assert not frozen_encoders.all_equal([first, first, {**first, "bias": torch.ones(1) + 1e-6}])


def test_the_field_trains_on_the_pixels_and_tokens_of_the_processor(setup):
    _, processor = setup.random(setup.base)
    movie, pair = setup.movies[1], frozen_encoders.FieldPairs(setup.movies, processor)[1]
    own = processor(images=movie["image"], text=movie["plots"][0], return_tensors="pt")
    assert torch.equal(pair["pixel_values"], own["pixel_values"][0])
    assert len(pair["input_ids"]) == 32 and torch.equal(
        pair["input_ids"][: pair["attention_mask"].sum()], own["input_ids"][0]
    )


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(setup):
    """What this process holds does not count."""
    ballast = torch.ones(2**28)
    section = trained_encoders.gradient_cache(replace(setup, pairs=[2]))
    assert 1e6 * section["rows"][0]["peak memory, MB"] < ballast.nbytes + kilobytes("/proc/self/status", "VmRSS") / 2


def test_a_step_has_a_peak_above_what_was_there_before(setup):
    step = one_step(setup, pairs=4, chunk_size=2)
    assert step.peak >= step.before > 0 and step.seconds > 0


def test_a_batch_that_would_not_fit_is_not_tried():
    tried = []

    def step(pairs, chunk_size):
        tried.append((pairs, chunk_size))
        return Step(before=10, peak=10 + pairs, seconds=1.0)

    rows = step_rows([2, 4, 8], 2, step, memory=14)
    assert tried == [(2, None), (4, None), (2, 2), (4, 2), (8, 2)]
    assert rows[2]["how"].startswith("does not fit") and rows[2]["seconds per pair"] == "-"
    assert rows[-1]["times the first row's"] == pytest.approx(18 / 12)


def test_the_peak_is_expected_on_the_line_through_the_last_two():
    assert expected_peak(100, {32: 132}, 64) == 164
    assert expected_peak(0, {32: 100, 128: 292}, 512) == 1060


def test_plots_grouped_by_length_take_less_padding_than_a_random_batch():
    lengths = [3, 30] * 200
    tokens = padded_tokens(lengths, batch=4, max_length=128)
    assert tokens["none"] == 16.5 and tokens["all to 128"] == 128
    assert 16.5 <= tokens["longest of a batch grouped by length"] < 18 < tokens["longest of a random batch"] < 30


def test_frozen_blocks_are_those_below_the_last_two(setup):
    poster, plot = trained_encoders.trunk(setup)["rows"]
    assert poster["seconds of the frozen blocks"] == 0 and poster["times as fast at most"] == 1
    assert plot["seconds of the frozen blocks"] > 0
    assert poster["kB kept of one"] == 17 * 16 * 4 / 1e3 and poster["MB kept of all"] == 8 * 17 * 16 * 4 / 1e6
