"""Encoders that are used in their own way are trained, saved and evaluated in that way."""

import json

import pytest
import torch
from transformers import AutoModel, Siglip2VisionConfig, Siglip2VisionModel
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from modeling import PosterCLIPModel
from processing import PosterCLIPProcessor
from processing.catalogue.catalogue import load_catalogue
from processing.posterclip.ocr_text import compose_text
from scripts import train
from scripts.common.features import FeatureEncoder
from tests.scripts.train_runs import BEST, OCR_TEXT, QUICK
from tests.sentence_encoders import MADE, SIZES, make_encoder


def trained(catalogue, encoders, out, *flags) -> tuple[PosterCLIPModel, PosterCLIPProcessor]:
    train.main(["--catalogue", str(catalogue), *encoders, *QUICK, *BEST, "--output_dir", str(out), *flags])
    model = PosterCLIPModel.from_pretrained(out).eval().requires_grad_(False)
    return model, PosterCLIPProcessor.from_pretrained(out)


@pytest.mark.parametrize(
    "flags",
    [["--vision_mode", "frozen"], ["--vision_mode", "frozen", "--feature_cache", "none"], ["--chunk_size", "2"]],
    ids=["cached", "frozen", "trained in chunks"],
)
def test_an_encoder_of_patches_keeps_the_shape_of_posters(flags, catalogue, encoders, tmp_path):
    torch.manual_seed(0)
    config = Siglip2VisionConfig(**SIZES, patch_size=8, num_patches=16)
    Siglip2VisionModel(config).save_pretrained(tmp_path / "vision")
    Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16).save_pretrained(tmp_path / "vision")
    if "none" not in flags:
        flags = [*flags, "--feature_cache", str(tmp_path / "features")]
    model, processor = trained(catalogue, encoders, tmp_path / "run", *flags)
    movies = load_catalogue(str(catalogue)).movies(["test"])
    batch = processor(images=movies["image"][:], return_tensors="pt")
    assert batch["spatial_shapes"].tolist() == [[4, 3]] * 6 and batch["pixel_attention_mask"].sum() == 6 * 12
    with torch.no_grad():
        expected = model(**batch).image_embeds
    found = FeatureEncoder(model, processor, batch_size=4, cache=str(tmp_path / "features")).embeddings(movies)[0]
    torch.testing.assert_close(torch.from_numpy(found.to_array()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("prompt", [None, "film: "])
def test_prompts_and_dense_layers_are_those_of_the_run(prompt, printed, encoders, tmp_path):
    make_encoder(tmp_path / "text", "gemma3_text", *MADE["gemma3_text"])
    flags = [*OCR_TEXT, "--text_mode", "frozen", "--feature_cache", str(tmp_path / "features")]
    flags += [] if prompt is None else ["--text_prompt", prompt]
    model, processor = trained(printed, encoders, tmp_path / "run", *flags)
    document, query = MADE["gemma3_text"][3:]
    assert (processor.text_prompt, processor.poster_text_prompt) == (document if prompt is None else prompt, query)
    assert [layer["type"] for layer in model.config.text_head] == ["Dense", "Dense", "Normalize"]
    written = json.loads((tmp_path / "run" / "training.json").read_text())["config"]
    assert written["prompt_ids"] == processor.prompt_ids
    movies = load_catalogue(str(printed)).movies(["test"])
    texts = [compose_text(lines) for lines in movies["poster_text"]]
    plots = [plots[0] for plots in movies["plots"]]
    with torch.no_grad():
        batch = processor(images=movies["image"][:], text=plots, poster_text=texts, return_tensors="pt")
        expected = model(**batch)
    encoder = FeatureEncoder(model, processor, batch_size=4, cache=str(tmp_path / "features"))
    for found, side in zip(encoder.embeddings(movies), (expected.image_embeds, expected.text_embeds), strict=True):
        torch.testing.assert_close(torch.from_numpy(found.to_array()), side, atol=1e-5, rtol=0)


def test_a_frozen_encoder_may_keep_the_dtype_of_its_checkpoint(catalogue, encoders, tmp_path):
    make_encoder(tmp_path / "text", "qwen3", *MADE["qwen3"])
    half = AutoModel.from_pretrained(tmp_path / "text").to(torch.bfloat16)
    half.save_pretrained(tmp_path / "text")
    flags = ["--text_mode", "frozen", "--feature_cache", "none", "--frozen_dtype", "auto"]
    model, processor = trained(catalogue, encoders, tmp_path / "run", *flags)
    assert (model.text_model.dtype, model.vision_model.dtype, model.dtype) == (torch.bfloat16, *[torch.float32] * 2)
    assert all(torch.equal(weight, half.state_dict()[name]) for name, weight in model.text_model.state_dict().items())
    embeds = model(**processor(text=["a", "abc"], return_tensors="pt")).text_embeds
    assert embeds.dtype == torch.float32
    saved = ["--model_name_or_path", str(tmp_path / "run"), "--text_mode", "full"]
    further, _ = trained(catalogue, [], tmp_path / "further", *saved)
    assert further.text_model.dtype == torch.float32  # a step in bfloat16 would be rounded away
