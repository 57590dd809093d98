"""The halves of aligned models give the features that transformers gives: each with its own pooling and projection."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, CLIPConfig, MetaClip2Config, Siglip2Config, SiglipConfig

from modeling import PosterCLIPModel
from processing import PosterCLIPProcessor
from tests.tiny import IMAGE_SIZE, tiny_batch, tiny_processor

LENGTH = 40
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = {**SIZES, "vocab_size": 64, "max_position_embeddings": LENGTH}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
PATCHES = {**SIZES, "image_size": IMAGE_SIZE, "patch_size": 8}
BOTH = {
    "clip": CLIPConfig(text_config={**WORDS, **ENDS}, vision_config=PATCHES, projection_dim=12),
    "metaclip_2": MetaClip2Config(text_config={**WORDS, **ENDS}, vision_config=PATCHES, projection_dim=12),
    "siglip": SiglipConfig(text_config={**WORDS, "projection_size": 20}, vision_config=PATCHES),
    "siglip2": Siglip2Config(
        text_config={**WORDS, "projection_size": 16}, vision_config={**SIZES, "patch_size": 8, "num_patches": 16}
    ),
}
PLOTS = ["A whale", "captain hunts the white whale", "b"]


@pytest.fixture(params=BOTH)
def saved(request, tmp_path):
    """An aligned model with random weights, and its folder."""
    torch.manual_seed(0)
    model = AutoModel.from_config(BOTH[request.param]).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(tmp_path)
    tiny_processor(LENGTH).save_pretrained(tmp_path)
    return model, str(tmp_path)


@torch.no_grad()
def test_texts_have_the_features_of_the_whole_model(saved, tmp_path):
    whole, folder = saved
    tokenizer, family = AutoTokenizer.from_pretrained(folder), whole.config.model_type
    if family.startswith("siglip"):  # trained on texts of full length without a mask
        tokens = tokenizer(PLOTS, padding="max_length", return_tensors="pt")
        expected = whole.get_text_features(tokens["input_ids"]).pooler_output
    else:
        expected = whole.get_text_features(**tokenizer(PLOTS, padding=True, return_tensors="pt")).pooler_output
    processor = PosterCLIPProcessor.from_vision_text_pretrained(folder, folder)
    model = PosterCLIPModel.from_vision_text_pretrained(folder, folder, projection_dim=8).eval()
    for side in ("left", "right") if family.startswith("siglip") else ("right",):
        processor.tokenizer.padding_side = side
        found = model.text_features(**processor(text=PLOTS, return_tensors="pt"))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path / "ours")
    again = PosterCLIPModel.from_pretrained(tmp_path / "ours").eval()
    assert torch.equal(again.text_features(**processor(text=PLOTS, return_tensors="pt")), found)


@torch.no_grad()
def test_posters_have_the_pooled_output_of_the_image_encoder(saved):
    whole, folder = saved
    if whole.config.model_type == "siglip2":
        pytest.skip("of patches")
    model = PosterCLIPModel.from_vision_text_pretrained(folder, folder, projection_dim=8).eval()
    pixels = tiny_batch()["pixel_values"]
    expected = whole.vision_model(pixel_values=pixels).pooler_output
    torch.testing.assert_close(model.vision_features(pixels), expected, atol=1e-6, rtol=0)
