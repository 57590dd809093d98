import pytest
import torch
from PIL import Image
from transformers import (
    BitImageProcessor,
    CLIPImageProcessor,
    ConvNextImageProcessor,
    EfficientNetImageProcessor,
    SiglipImageProcessor,
    ViTImageProcessor,
)
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from processing.data.pixels import PosterPixels

PROCESSORS = {
    "vit": ViTImageProcessor(),
    "clip": CLIPImageProcessor(),
    "siglip": SiglipImageProcessor(),
    "convnext": ConvNextImageProcessor(size={"shortest_edge": 224}),
    "resnet": BitImageProcessor(),
    "efficientnet": EfficientNetImageProcessor(rescale_offset=True, include_top=False),
    "not normalised": ViTImageProcessor(do_normalize=False),
    "one mean for each channel": ViTImageProcessor(image_mean=[0.1, 0.4, 0.8], image_std=[0.3, 0.2, 0.1]),
}
POSTERS = [
    Image.effect_noise((182, 268), 90).convert("RGB"),
    Image.radial_gradient("L").resize((300, 200)),
    Image.effect_mandelbrot((90, 500), (-2, -1, 1, 1), 50).convert("P"),
    Image.new("RGBA", (3, 2), (200, 10, 30, 90)),
]


@pytest.mark.parametrize("name", PROCESSORS)
def test_both_halves_together_are_the_processor_to_the_bit(name):
    processor, pixels = PROCESSORS[name], PosterPixels(PROCESSORS[name])
    resized = [pixels(poster) for poster in POSTERS]
    assert all(poster["pixels"].dtype == torch.uint8 for poster in resized)
    expected = processor([pixels_of(poster) for poster in POSTERS], return_tensors="pt")
    assert torch.equal(pixels.model_inputs(resized)["pixel_values"], expected["pixel_values"])


def pixels_of(poster: Image.Image) -> Image.Image:
    if poster.mode != "RGBA":
        return poster.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", poster.size, "white"), poster).convert("RGB")


@pytest.mark.parametrize(
    "processor",
    [EfficientNetImageProcessor(include_top=True), Siglip2ImageProcessorPil(max_num_patches=32)],
    ids=["normalises twice", "patches"],
)
def test_a_processor_that_cannot_be_cut_in_two_does_its_work_at_once(processor):
    pixels = PosterPixels(processor)
    found = pixels.model_inputs([pixels(poster) for poster in POSTERS])
    expected = processor([pixels_of(poster) for poster in POSTERS], return_tensors="pt")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(found[name], values), name
