import numpy as np
import pytest
from PIL import Image

from scripts.common.onnx_pixels import pixel_values, unsupported
from tests.tiny import tiny_processor


def test_pixels_are_those_of_the_processor():
    processor, poster = tiny_processor().image_processor, Image.effect_noise((40, 60), 90).convert("RGB")
    expected = processor(poster, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(pixel_values(poster, processor.to_dict()), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["do_center_crop", "do_pad", "rescale_offset"])
def test_a_setting_that_is_not_followed_is_named(name):
    settings = tiny_processor().image_processor.to_dict()
    assert unsupported(settings) == []
    with pytest.raises(ValueError, match=f"{name}=True"):
        pixel_values(Image.new("RGB", (4, 4)), {**settings, name: True})
