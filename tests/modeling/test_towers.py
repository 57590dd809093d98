import pytest
import torch
from transformers import AutoModel, PreTrainedConfig

from modeling.towers import feature_size, is_frozen, layer_groups, pool, set_mode
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model

TOWERS = {**VISION, **TEXT}


def trained(tower) -> set[str]:
    return {name for name, parameter in tower.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("family", TOWERS)
def test_layer_groups_hold_every_weight_once(family):
    tower = AutoModel.from_config(TOWERS[family])
    grouped = [id(parameter) for group in layer_groups(tower) for parameter in group]
    assert sorted(grouped) == sorted(map(id, tower.parameters()))
    assert len(layer_groups(tower)) == 3  # two blocks and what comes before them
    assert all(layer_groups(tower))


@pytest.mark.parametrize("family", TOWERS)
def test_modes_open_a_tower_from_the_top(family):
    tower = AutoModel.from_config(TOWERS[family])
    opened = []
    for mode in ("frozen", "last-1", "last-2", "last-3", "full"):
        set_mode(tower, mode)
        opened.append(trained(tower))
    assert opened[0] == set()
    assert opened[0] < opened[1] < opened[2] < opened[3] == opened[4]
    assert not any("embed" in name for name in opened[2])


@pytest.mark.parametrize("family", TOWERS)
def test_below_the_opened_layers_nothing_moves_and_nothing_drops(family):
    vision, text = (family, "bert") if family in VISION else ("vit", family)
    model = tiny_model(vision, text)
    tower = model.vision_model if family in VISION else model.text_model
    set_mode(tower, "last-1")
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()(**tiny_batch(), return_loss=True).loss.backward()
    optimizer.step()
    moved = {name for name, value in tower.state_dict().items() if not torch.equal(value, before[name])}
    opened = trained(tower)
    buffers = {name for name, _ in tower.named_buffers()}
    assert moved - buffers <= opened and moved & opened
    for name, module in tower.named_modules():
        if is_frozen(module):
            assert not any(part.training for part in module.modules()), name


@pytest.mark.parametrize("mode", ["last", "last-0", "last-x", "lasting", ""])
def test_an_unknown_mode_is_named(mode):
    with pytest.raises(ValueError, match=f"no tower mode {mode!r}"):
        set_mode(tiny_model().vision_model, mode)


def test_more_layers_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"last-9: 'vit' has 3 layer groups"):
        set_mode(tiny_model().vision_model, "last-9")


def test_the_mean_leaves_padding_out():
    hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert pool({"last_hidden_state": hidden}, "mean", torch.tensor([[1, 1, 0]])).item() == 2.0
    assert pool({"last_hidden_state": hidden}, "cls").item() == 1.0


def test_the_mean_of_a_feature_map_is_over_its_positions():
    hidden = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert pool({"last_hidden_state": hidden}, "mean").tolist() == [[1.5, 5.5]]


def test_an_encoder_without_a_known_size_is_named():
    class Sizeless(PreTrainedConfig):
        model_type = "sizeless"

    with pytest.raises(ValueError, match="sizeless"):
        feature_size(Sizeless())
