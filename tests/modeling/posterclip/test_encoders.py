import pytest
import torch
from transformers import AutoModel, PreTrainedConfig

from modeling.posterclip.encoders import feature_size, layer_groups, pool
from tests.tiny import TEXT, VISION

ENCODERS = {**VISION, **TEXT}


@pytest.mark.parametrize("family", ENCODERS)
def test_layer_groups_hold_every_weight_once(family):
    encoder = AutoModel.from_config(ENCODERS[family])
    grouped = [id(parameter) for group in layer_groups(encoder) for parameter in group]
    assert sorted(grouped) == sorted(map(id, encoder.parameters()))
    assert len(layer_groups(encoder)) == 3  # two blocks and what comes before them
    assert all(layer_groups(encoder))


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
