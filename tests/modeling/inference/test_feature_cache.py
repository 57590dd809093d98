import logging
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modeling import PosterCLIPModel
from modeling.inference.feature_cache import FeatureCache
from tests.tiny import TEXT, VISION, tiny_model

ROOT = Path(__file__).parents[3]
KEYS = [f"movie {i}" for i in range(3000)]


def encode(rows: list[int]) -> torch.Tensor:
    return torch.tensor([[row, row / 7, 1e-30 * row] for row in rows])


EXPECTED = encode(list(range(len(KEYS))))


def no_encoding(rows: list[int]) -> torch.Tensor:
    raise AssertionError(f"{len(rows)} rows were encoded again")


def cache_of(folder, encoder=None, settings=("mean",), dtype=torch.float32) -> FeatureCache:
    encoder = encoder or tiny_model().eval().requires_grad_(False).vision_model
    return FeatureCache(folder, encoder, list(settings), dtype)


def test_what_is_there_is_not_encoded_again(tmp_path):
    encoded: list[int] = []

    def counted(rows: list[int]) -> torch.Tensor:
        encoded.extend(rows)
        return encode(rows)

    assert torch.equal(cache_of(tmp_path).features(KEYS[:2000], counted), EXPECTED[:2000])
    assert torch.equal(cache_of(tmp_path).features(KEYS, counted), EXPECTED)
    assert sorted(encoded) == list(range(3000))
    back_to_front = cache_of(tmp_path).features([*KEYS[::-1], KEYS[7]], no_encoding)
    assert torch.equal(back_to_front, torch.cat([EXPECTED.flip(0), EXPECTED[7:8]]))


def test_the_same_poster_twice_is_encoded_once(tmp_path):
    encoded: list[int] = []
    features = cache_of(tmp_path).features(["a", "b", "a"], lambda rows: (encoded.extend(rows), encode(rows))[1])
    assert encoded == [0, 1] and torch.equal(features, encode([0, 1, 0]))


def test_features_of_anything_else_are_not_found(tmp_path):
    model = tiny_model().eval().requires_grad_(False)
    there = cache_of(tmp_path, model.vision_model)
    there.features(KEYS[:5], encode)

    other = tiny_model().eval().requires_grad_(False).vision_model
    with torch.no_grad():
        other.get_parameter("layernorm.bias")[3] += 1e-6
    other_config = tiny_model().eval().requires_grad_(False).vision_model
    other_config.config.layer_norm_eps *= 2
    for cache in (
        cache_of(tmp_path, other),
        cache_of(tmp_path, other_config),
        cache_of(tmp_path, model.text_model),
        cache_of(tmp_path, settings=("cls",)),
        cache_of(tmp_path, dtype=torch.bfloat16),
    ):
        assert cache.file != there.file
        assert torch.equal(cache.features(KEYS[:1], lambda rows: torch.ones(1, 3)), torch.ones(1, 3))
    assert torch.equal(there.features(KEYS[:5], no_encoding), EXPECTED[:5])


@pytest.mark.parametrize(("vision", "text"), [(vision, list(TEXT)[i % len(TEXT)]) for i, vision in enumerate(VISION)])
def test_an_encoder_finds_its_features_after_it_was_saved_and_loaded(vision, text, tmp_path):
    model = tiny_model(vision, text)
    model.save_pretrained(tmp_path)
    loaded = PosterCLIPModel.from_pretrained(tmp_path)
    for one, two in ((model.vision_model, loaded.vision_model), (model.text_model, loaded.text_model)):
        files = [cache_of(tmp_path, encoder.eval().requires_grad_(False)).file for encoder in (one, two)]
        assert files[0] == files[1]


def test_an_encoder_whose_features_change_is_refused(tmp_path):
    encoder = tiny_model().eval().text_model
    with pytest.raises(ValueError, match=r"'bert' that trains \(embeddings.word_embeddings.weight\)"):
        cache_of(tmp_path, encoder)
    encoder.requires_grad_(False).encoder.layer[1].train()
    with pytest.raises(ValueError, match=r"encoder.layer.1\).*dropout"):
        cache_of(tmp_path, encoder)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "text"])
def test_a_damaged_file_is_found_and_made_again(damage, tmp_path, caplog):
    cache = cache_of(tmp_path)
    cache.features(KEYS, encode)
    content = bytearray(cache.file.read_bytes())
    place = content.index(encode([1700]).numpy().tobytes())
    content[place] ^= 1
    half = content[: len(content) // 2]
    cache.file.write_bytes({"flipped": content, "cut": half, "empty": b"", "text": b"no database"}[damage])
    encoded: list[int] = []
    with caplog.at_level(logging.WARNING):
        again = cache.features(KEYS, lambda rows: (encoded.extend(rows), encode(rows))[1])
    assert torch.equal(again, EXPECTED)
    assert encoded == [1700] if damage == "flipped" else 1700 in encoded
    assert damage == "empty" or (str(cache.file) in caplog.text and "damaged" in caplog.text)
    assert torch.equal(cache.features(KEYS, no_encoding), EXPECTED)


def test_a_few_features_are_found_without_reading_the_others(tmp_path):
    cache = cache_of(tmp_path)
    cache.features(KEYS, encode)
    content = bytearray(cache.file.read_bytes())
    content[content.index(encode([1700]).numpy().tobytes())] ^= 1
    cache.file.write_bytes(content)
    assert torch.equal(cache.features(KEYS[:20], no_encoding), EXPECTED[:20])


def test_a_run_that_is_killed_while_it_writes_leaves_what_was_written_before(tmp_path):
    cache = cache_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.features(KEYS, lambda rows: encode(rows) if rows[0] < 2048 else (_ for _ in ()).throw(KeyboardInterrupt))
    encoded: list[int] = []
    assert torch.equal(cache.features(KEYS, lambda rows: (encoded.extend(rows), encode(rows))[1]), EXPECTED)
    assert encoded == list(range(2048, 3000))


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path):
    cache = cache_of(tmp_path)
    cache.features(KEYS[:5], encode)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"The feature cache {cache.file} cannot be written: "):
            cache.features(KEYS, encode)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.equal(cache.features(KEYS[:5], no_encoding), EXPECTED[:5])
    assert torch.equal(cache.features(KEYS, encode), EXPECTED)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=f"The feature cache {tmp_path / 'file'}"):
        cache_of(tmp_path / "file").features(KEYS, encode)


FILL = """
import sys, time
from tests.modeling.inference.test_feature_cache import EXPECTED, KEYS, cache_of

cache = cache_of(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
own = slice(0, 2900, int(sys.argv[2]))
assert cache.features(KEYS[own], lambda rows: EXPECTED[own][rows]).equal(EXPECTED[own])
"""


@pytest.mark.slow
def test_runs_may_fill_one_cache_at_the_same_time(tmp_path):
    command = [sys.executable, "-c", FILL, str(tmp_path)]
    runs = [
        subprocess.Popen([*command, step], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for step in ("1", "2", "3")
    ]
    for run in runs:
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.stdin.write("go\n")
        run.stdin.flush()
    assert [run.wait() for run in runs] == [0, 0, 0]
    cache = cache_of(tmp_path)
    assert torch.equal(cache.features(KEYS[:2900], no_encoding), EXPECTED[:2900])


def test_processes_share_what_is_missing(tmp_path):
    shares: list[list[int]] = [[], []]
    for process, share in enumerate(shares):
        # Both have looked before either writes.
        cache_of(tmp_path / str(process)).fill(
            KEYS[10:20], lambda rows, share=share: (share.extend(rows), encode(rows))[1], process, 2
        )
    assert sorted(shares[0] + shares[1]) == list(range(10)) and len(shares[0]) == len(shares[1]) == 5
