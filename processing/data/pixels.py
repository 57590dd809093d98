"""An image processor in two steps, so that resized posters stay bytes: a quarter of the memory, without loss."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from processing.posterclip.rgb import to_rgb


class PosterPixels:
    """An image processor that first resizes and crops each poster, and later rescales and normalises whole batches.

    The first step returns bytes. The second looks each byte up in a table of the processor's results for the 256 values
    of each channel, so the two steps give the processor's `pixel_values` to the bit. A processor that cannot be split
    like this does all its work in the first step.

    Args:
        image_processor: a transformers image processor.

    Example:
        >>> from transformers import ViTImageProcessor
        >>> pixels = PosterPixels(ViTImageProcessor(size={"height": 32, "width": 32}))
        >>> pixels(Image.new("L", (20, 30))).dtype, pixels.values(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).mean()
        (torch.uint8, tensor(-1.))
    """

    def __init__(self, image_processor: Any) -> None:
        self.image_processor = image_processor
        self.table: Tensor | None = self._look_up_table()
        probe = Image.effect_noise((60, 90), 80).convert("RGB").transpose(Image.Transpose.ROTATE_90)
        if self.table is None or not torch.equal(self.values(self(probe)[None]), self._process(probe)[None]):
            self.table = None

    def __call__(self, image: Image.Image) -> Tensor:
        """Returns a resized poster, (3, height, width), uint8."""
        image = to_rgb(image)
        if self.table is None:
            return self._process(image)
        return self._process(image, do_rescale=False, do_normalize=False)

    def values(self, pixels: Tensor) -> Tensor:
        """Returns the `pixel_values` of resized posters, (posters, 3, height, width), float32."""
        if self.table is None:
            return pixels
        channels = [row.to(pixels.device)[pixels[:, channel].int()] for channel, row in enumerate(self.table)]
        return torch.stack(channels, dim=1)

    def _look_up_table(self) -> Tensor | None:
        """Returns the processor's result for each byte by channel, (3, 256); None if step one does not return bytes."""
        levels = torch.arange(256, dtype=torch.uint8).view(16, 16)
        image = Image.fromarray(levels.numpy()).convert("RGB")
        unchanged = {"do_resize": False, "do_center_crop": False}
        if self._process(image, do_rescale=False, do_normalize=False).dtype != torch.uint8:
            return None
        return self._process(image, **unchanged).flatten(1)

    def _process(self, image: Image.Image, **options: bool) -> Tensor:
        return self.image_processor(image, return_tensors="pt", **options)["pixel_values"][0]
