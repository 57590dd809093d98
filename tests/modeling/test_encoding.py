import pytest
import torch

from modeling.encoding import encode_plots, encode_posters, plot_features, poster_features
from tests.tiny import TEXT, VISION, tiny_batch, tiny_model

PAIRS = 19


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    batch = tiny_batch(PAIRS, tokens=12)
    lengths = torch.arange(PAIRS) % 9 + 3
    batch["attention_mask"] = (torch.arange(12) < lengths[:, None]).long()
    batch["input_ids"] *= batch["attention_mask"]
    return batch


@pytest.mark.parametrize("vision", VISION)
def test_on_the_cpu_the_feature_of_a_poster_does_not_depend_on_its_batch(vision, batch):
    model = tiny_model(vision).eval()
    posters = batch["pixel_values"]
    expected = poster_features(model, posters)
    torch.testing.assert_close(expected, model.vision_features(posters).detach())
    for size in (1, 3, 10):
        assert torch.equal(torch.cat([poster_features(model, rows) for rows in posters.split(size)]), expected)
    order = torch.randperm(PAIRS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(poster_features(model, posters[order]), expected[order])


@pytest.mark.parametrize("text", TEXT)
def test_on_the_cpu_the_feature_of_a_plot_does_not_depend_on_its_batch(text, batch):
    model = tiny_model(text=text).eval()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    expected = plot_features(model, ids, mask)
    torch.testing.assert_close(expected, model.text_features(ids, mask).detach(), atol=1e-5, rtol=1e-4)
    order = torch.randperm(PAIRS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plot_features(model, ids[order], mask[order]), expected[order])
    for row, length in enumerate(mask.sum(1)):  # without the padding that others ask for
        assert torch.equal(
            plot_features(model, ids[row : row + 1, :length], mask[row : row + 1, :length])[0], expected[row]
        )


def test_encoding_is_without_dropout_and_leaves_the_mode_as_it_was(batch):
    model = tiny_model().train()
    posters = encode_posters(model, [{"pixel_values": rows} for rows in batch["pixel_values"].split(4)])
    names = ("input_ids", "attention_mask")
    plots = encode_plots(model, [{name: batch[name] for name in names}])
    assert model.training and model.text_model.training
    model.eval()
    assert torch.equal(posters, poster_features(model, batch["pixel_values"]))
    assert torch.equal(plots, plot_features(model, *(batch[name] for name in names)))
    assert not posters.requires_grad
