import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from processing import PosterCLIPProcessor
from processing.processing_posterclip import to_rgb
from tests.tiny import tiny_processor


def test_posters_and_plots_may_differ_in_number():
    posters = [Image.new(mode, (30, 40)) for mode in ("RGB", "L", "CMYK", "RGBA", "P", "1", "I;16", "F", "LA")]
    inputs = tiny_processor()(images=posters, text=["abc", "a"], return_tensors="pt")
    assert inputs["pixel_values"].shape == (9, 3, 32, 32)
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_a_long_plot_is_cut_at_the_models_length():
    assert tiny_processor(max_length=9)(text="x" * 1000, return_tensors="pt")["input_ids"].shape == (1, 9)


def test_a_processor_survives_its_folder(tmp_path):
    before = tiny_processor(max_length=9)
    before.save_pretrained(tmp_path)
    after = AutoProcessor.from_pretrained(tmp_path, trust_remote_code=True)
    poster, plot = Image.effect_noise((50, 70), 60), "A long plot, longer than nine letters."
    for name, value in before(images=poster, text=plot, return_tensors="pt").items():
        assert torch.equal(value, after(images=poster, text=plot, return_tensors="pt")[name]), name


def test_a_processor_is_made_of_those_of_two_encoders(tmp_path):
    parts = tiny_processor()
    parts.image_processor.save_pretrained(tmp_path / "vision")
    parts.tokenizer.save_pretrained(tmp_path / "text")
    processor = PosterCLIPProcessor.from_vision_text_pretrained(str(tmp_path / "vision"), str(tmp_path / "text"), 5)
    assert processor(text="abcdefgh", return_tensors="pt")["input_ids"].shape == (1, 5)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_greys_are_scaled_and_not_clipped(mode):
    ramp = np.linspace(0, 65535, 256).reshape(1, 256)
    image = Image.fromarray(ramp.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    reds = np.asarray(to_rgb(image))[0, :, 0].astype(int)
    assert reds[0] == 0 and reds[-1] == 255 and abs(reds[128] - 128) <= 1 and (np.diff(reds) >= 0).all()


def test_transparency_lies_on_white():
    half = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert to_rgb(half).getpixel((0, 0)) == (127, 127, 127)


def test_an_exif_rotation_is_applied():
    image = Image.new("RGB", (20, 30))
    image.getexif()[0x0112] = 6
    assert to_rgb(image).size == (30, 20)
