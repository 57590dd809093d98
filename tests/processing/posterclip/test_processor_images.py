import io
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from processing.posterclip import rgb
from processing.posterclip.rgb import to_rgb
from tests.tiny import tiny_processor

WORDS = ("poster_input_ids", "poster_attention_mask")
NOISE = Image.effect_noise((20, 30), 90).convert("RGB")
PIXELS = np.asarray(NOISE)


def file_content():
    stream = io.BytesIO()
    NOISE.save(stream, "PNG")
    return stream.getvalue()


# The same poster in every form that a processor takes.
FORMS = {
    "PIL": NOISE,
    "bytes": file_content(),
    "data URI": f"data:image/png;base64,{b64encode(file_content()).decode()}",
    "array": PIXELS,
    "array, channels first": PIXELS.transpose(2, 0, 1),
    "float array from 0 to 1": PIXELS / 255,
    "float array from 0 to 255": PIXELS.astype(np.float32),
    "int32 array": PIXELS.astype(np.int32),
    "16-bit array": PIXELS.astype(np.uint16) * 257,
    "tensor": torch.tensor(PIXELS),
    "float tensor": torch.tensor(PIXELS.transpose(2, 0, 1)) / 255,
    "bfloat16 tensor": torch.tensor(PIXELS).bfloat16(),
    "tensor that needs a gradient": torch.tensor(PIXELS / 255, requires_grad=True),
    "nested list": PIXELS.tolist(),
    "batch of arrays": PIXELS[None],
    "batch of tensors": torch.tensor(PIXELS)[None],
    "list": [NOISE],
    "list of lists": [[NOISE]],
    "list of nested lists": [PIXELS.tolist()],
}


class TestEveryFormOfAnImage:
    def check(self, reader, form, fake_ocr):
        expected = reader(images=NOISE, text="a plot", return_tensors="pt")
        found = reader(images=form, text="a plot", return_tensors="pt")
        assert found.keys() == expected.keys() and set(WORDS) <= expected.keys()
        for name, value in expected.items():
            assert torch.equal(found[name], value), name
        assert fake_ocr == [NOISE, NOISE]

    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
    def test_is_read_as_a_pil_image_is(self, reader, form, fake_ocr):
        self.check(reader, form, fake_ocr)

    @pytest.mark.parametrize("kind", [str, Path])
    def test_path(self, reader, kind, fake_ocr, tmp_path):
        (tmp_path / "poster.jpg").write_bytes(file_content())
        self.check(reader, kind(tmp_path / "poster.jpg"), fake_ocr)

    def test_url(self, reader, fake_ocr, monkeypatch):
        monkeypatch.setattr(rgb, "urlopen", lambda request, timeout: io.BytesIO(file_content()))
        self.check(reader, "https://example.org/poster", fake_ocr)

    def test_in_one_list(self, reader, fake_ocr):
        batch = reader(images=[*FORMS.values()], return_tensors="pt")
        assert len(batch["pixel_values"]) == len(batch["poster_input_ids"]) == len(fake_ocr) == len(FORMS)
        assert all(torch.equal(values, batch["pixel_values"][0]) for values in batch["pixel_values"])

    def test_of_different_sizes_as_nested_lists(self, reader):
        small, large = np.zeros((4, 5, 3), int).tolist(), np.zeros((6, 7, 3), int).tolist()
        assert reader(images=[small, large], poster_text=["", ""], return_tensors="pt")["pixel_values"].shape[0] == 2

    def test_arrays_that_are_not_to_be_rescaled_stay_as_they_are(self, reader, fake_ocr):
        values = torch.rand(3, 32, 32)
        for options in ({"do_rescale": False}, {"images_kwargs": {"do_rescale": False}}):
            plain = reader(images=values, return_tensors="pt", **options)
            expected = reader.image_processor(values, do_rescale=False, return_tensors="pt")["pixel_values"]
            assert torch.equal(plain["pixel_values"], expected)
        assert fake_ocr == [to_rgb(values.numpy())] * 2

    def test_normalised_tensors_are_passed_on_without_text_and_this_is_said_once(
        self, reader, fake_ocr, warnings_logged
    ):
        values, done = torch.randn(2, 3, 32, 32), {"do_resize": False, "do_rescale": False, "do_normalize": False}
        for _ in range(2):
            batch = reader(images=values, return_tensors="pt", **done)
            assert torch.equal(batch["pixel_values"], values) and not batch["poster_attention_mask"].any()
        (message,) = warnings_logged
        assert "normalised tensors" in message and not fake_ocr

    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            (np.full((4, 4, 3), np.nan), r"images\[1\]: pixel values from nan to nan: they must be finite"),
            (torch.tensor([[0.0, float("inf")]]), r"images\[1\]: pixel values from 0 to inf"),
            (np.full((4, 4), -1), r"images\[1\]: pixel values from -1 to -1"),
            (b"%PDF-1.4", r"images\[1\]: not an image: starts with %PDF"),
            ("no/such/poster.jpg", r"images\[1\] \(no/such/poster.jpg\): no such file"),
            (None, r"images\[1\]: NoneType is no image"),
            ({"path": "a.jpg"}, r"images\[1\]: dict is no image"),
            (np.zeros((5, 6, 7)), r"images\[1\]: an array of shape \(5, 6, 7\) is no image"),
        ],
    )
    def test_that_cannot_be_used_is_named_with_the_reason(self, image, reason):
        with pytest.raises(ValueError, match=reason):
            tiny_processor()(images=[NOISE, image], return_tensors="pt")

    def test_text_is_never_a_path(self, tmp_path):
        (tmp_path / "poster.png").write_bytes(file_content())
        batch = tiny_processor(40)(text=str(tmp_path / "poster.png"), return_tensors="pt")
        assert batch.keys() == {"input_ids", "attention_mask"}
