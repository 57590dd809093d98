"""Image encoders of other families: what their feature is, and that they are saved whole."""

import pytest
import torch
import transformers
from transformers import AutoModel

from modeling import PosterCLIPConfig, PosterCLIPModel
from tests.tiny import IMAGE_SIZE, TEXT, tiny_batch, train_on_one_batch

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {**SIZES, "image_size": IMAGE_SIZE, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1]}
FAMILIES = {
    "dinov3_vit": transformers.DINOv3ViTConfig(**PATCHES, num_register_tokens=4),
    "dinov3_convnext": transformers.DINOv3ConvNextConfig(**STAGES),
    "dinov2_with_registers": transformers.Dinov2WithRegistersConfig(**PATCHES, num_register_tokens=3),
    "metaclip_2_vision_model": transformers.MetaClip2VisionConfig(**PATCHES),
    "siglip2_vision_model": transformers.Siglip2VisionConfig(**SIZES, patch_size=8, num_patches=16),
    "mobilenet_v2": transformers.MobileNetV2Config(image_size=IMAGE_SIZE, depth_multiplier=0.25),
    "mobilevit": transformers.MobileViTConfig(
        image_size=IMAGE_SIZE, hidden_sizes=[16] * 3, neck_hidden_sizes=[8] * 6 + [24]
    ),
    "deit": transformers.DeiTConfig(**PATCHES),
    "beit": transformers.BeitConfig(**PATCHES),
    "convnextv2": transformers.ConvNextV2Config(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
}


def model_of(family: str, **fields) -> tuple[PosterCLIPModel, dict[str, torch.Tensor]]:
    """A model with random weights, and its inputs of four movies."""
    torch.manual_seed(0)
    config = PosterCLIPConfig(vision_config=FAMILIES[family], text_config=TEXT["bert"], projection_dim=8, **fields)
    batch = tiny_batch()
    if family == "siglip2_vision_model":
        batch["pixel_values"] = torch.randn(4, 16, 8 * 8 * 3)
        batch["spatial_shapes"] = torch.tensor([[4, 4], [4, 3], [2, 3], [5, 3]])
        batch["pixel_attention_mask"] = (torch.arange(16) < batch["spatial_shapes"].prod(1, keepdim=True)).long()
    return PosterCLIPModel(config).eval(), batch


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_trains_and_is_saved_to_the_bit(family, tmp_path):
    model, batch = model_of(family)
    losses = train_on_one_batch(model.train(), batch)
    assert losses[-1] < losses[0]
    untouched = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert untouched <= {f"vision_model.embeddings.{name}" for name in ("mask_token", "register_tokens")}
    model.eval().save_pretrained(tmp_path)
    with torch.no_grad():
        again = PosterCLIPModel.from_pretrained(tmp_path).eval()(**batch)
        for name, value in model(**batch).items():
            assert value.isfinite().all() and torch.equal(value, again[name]), name


@pytest.mark.parametrize(("family", "registers"), [("dinov3_vit", 4), ("dinov2_with_registers", 3)])
def test_register_tokens_are_no_part_of_the_feature(family, registers):
    pixels = tiny_batch()["pixel_values"]
    for pooling, part in (("auto", slice(0, 1)), ("mean", slice(1 + registers, None))):
        model, _ = model_of(family, vision_pooling=pooling)
        with torch.no_grad():
            tokens = model.vision_model(pixels).last_hidden_state
            torch.testing.assert_close(model.vision_features(pixels), tokens[:, part].mean(1))


@torch.no_grad()
def test_patches_that_are_padding_count_for_nothing():
    for pooling in ("pooler", "mean"):
        model, batch = model_of("siglip2_vision_model", vision_pooling=pooling)
        patches = {name: value for name, value in batch.items() if name not in ("input_ids", "attention_mask")}
        found = model.vision_features(**patches)
        hidden = model.vision_model(**patches)
        expected = hidden.pooler_output
        if pooling == "mean":
            mask = patches["pixel_attention_mask"].unsqueeze(-1)
            expected = (hidden.last_hidden_state * mask).sum(1) / mask.sum(1)
        torch.testing.assert_close(found, expected)
        patches["pixel_values"][patches["pixel_attention_mask"] == 0] = 9.0
        torch.testing.assert_close(model.vision_features(**patches), found)


def test_the_size_of_a_feature_is_found_where_the_configuration_does_not_say():
    model, batch = model_of("mobilenet_v2")
    plain = AutoModel.from_config(FAMILIES["mobilenet_v2"]).eval()
    assert model.visual_projection.in_features == plain(batch["pixel_values"]).pooler_output.shape[1]
