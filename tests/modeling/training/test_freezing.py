import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from modeling.posterclip.encoders import is_frozen
from modeling.training.freezing import check_modes, set_mode
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model

ENCODERS = {**VISION, **TEXT}


def trained(encoder) -> set[str]:
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("family", ENCODERS)
def test_modes_open_a_tower_from_the_top(family):
    encoder = AutoModel.from_config(ENCODERS[family])
    opened = []
    for mode in ("frozen", "last-1", "last-2", "last-3", "full"):
        set_mode(encoder, mode)
        opened.append(trained(encoder))
    assert opened[0] == set()
    assert opened[0] < opened[1] < opened[2] < opened[3] == opened[4]
    assert not any("embed" in name for name in opened[2])


@pytest.mark.parametrize("family", ENCODERS)
def test_below_the_opened_layers_nothing_moves_and_nothing_drops(family):
    vision, text = (family, "bert") if family in VISION else ("vit", family)
    model = tiny_model(vision, text)
    encoder = model.vision_model if family in VISION else model.text_model
    set_mode(encoder, "last-1")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()(**tiny_batch(), return_loss=True).loss.backward()
    optimizer.step()
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    opened = trained(encoder)
    buffers = {name for name, _ in encoder.named_buffers()}
    assert moved - buffers <= opened and moved & opened
    for name, module in encoder.named_modules():
        if is_frozen(module):
            assert not any(part.training for part in module.modules()), name


@pytest.mark.parametrize("mode", ["last", "last-0", "last-x", "lasting", "LoRA", ""])
def test_an_unknown_mode_is_named(mode):
    with pytest.raises(ValueError, match=f"no encoder mode {mode!r}: use frozen, last-K .*, lora or full"):
        set_mode(tiny_model().vision_model, mode)


def test_more_layers_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"last-9: 'vit' has 3 layer groups"):
        set_mode(tiny_model().vision_model, "last-9")


@pytest.mark.parametrize("modes", [("frozen", "lora"), ("lora", "last-2"), ("lora", "lora")])
def test_lora_has_the_rank_that_is_named_or_16(modes):
    assert check_modes(*modes) == 16
    assert check_modes(*modes, lora_rank=4) == 4


@pytest.mark.parametrize(
    ("modes", "rank", "words"),
    [
        (("lora", "full"), 0, "lora_rank must be at least 1, not 0"),
        (("frozen", "full"), 4, "lora_rank is 4, but no encoder has the mode lora"),
        (("lora", "lots"), None, "no encoder mode 'lots'"),
    ],
)
def test_modes_are_refused_before_there_is_a_tower(modes, rank, words):
    with pytest.raises(ValueError, match=words):
        check_modes(*modes, lora_rank=rank)


def test_without_peft_lora_alone_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert check_modes("frozen", "last-1") is None
    with pytest.raises(ImportError, match="pip install peft"):
        check_modes("frozen", "lora")


@pytest.mark.slow
def test_training_without_lora_needs_no_peft(tmp_path):
    program = (
        "import sys; from pathlib import Path; sys.modules['peft'] = None;"
        "from tests.modeling.runs import resumable_run; resumable_run('vit', 'bert', 'frozen,full', Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
