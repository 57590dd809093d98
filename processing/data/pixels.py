"""An image processor in two steps, so that resized posters stay bytes: a quarter of the memory, without loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from processing.posterclip.rgb import to_rgb

# What a poster becomes for an image encoder: pixels, or patches (SigLIP 2 NaFlex) with their mask and their grid.
POSTER_INPUTS = ("pixel_values", "pixel_attention_mask", "spatial_shapes")


class PosterPixels:
    """An image processor that first resizes and crops each poster, and later rescales and normalises whole batches.

    The first step returns bytes. The second looks each byte up in a table of the processor's results for the 256 values
    of each channel, so the two steps give the processor's `pixel_values` to the bit. A processor that cannot be split
    like this, or that gives patches, does all its work in the first step.

    Args:
        image_processor: a transformers image processor.

    Example:
        >>> from transformers import ViTImageProcessor
        >>> pixels = PosterPixels(ViTImageProcessor(size={"height": 32, "width": 32}))
        >>> poster = pixels(Image.new("L", (20, 30)))
        >>> poster["pixels"].dtype, pixels.model_inputs([poster])["pixel_values"].mean()
        (torch.uint8, tensor(-1.))
    """

    def __init__(self, image_processor: Any) -> None:
        self.image_processor = image_processor
        self.table: Tensor | None = self._look_up_table()
        probe = Image.effect_noise((60, 90), 80).convert("RGB").transpose(Image.Transpose.ROTATE_90)
        if self.table is None or not torch.equal(
            self.model_inputs([self(probe)])["pixel_values"][0], self._process(probe)["pixel_values"]
        ):
            self.table = None

    def __call__(self, image: Image.Image) -> dict[str, Tensor]:
        """Returns a resized poster, `pixels`, (3, height, width), uint8; or the model inputs of one poster."""
        image = to_rgb(image)
        if self.table is None:
            return self._process(image)
        return {"pixels": self._process(image, do_rescale=False, do_normalize=False)["pixel_values"]}

    def model_inputs(self, posters: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Returns the model inputs of posters, of each what the first step returned."""
        stacked = {name: torch.stack([poster[name] for poster in posters]) for name in posters[0]}
        return {"pixel_values": self.values(stacked["pixels"])} if "pixels" in stacked else stacked

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
        bare = self._process(image, do_rescale=False, do_normalize=False)
        if len(bare) > 1 or bare["pixel_values"].dtype != torch.uint8:
            return None
        return self._process(image, **unchanged)["pixel_values"].flatten(1)

    def _process(self, image: Image.Image, **options: bool) -> dict[str, Tensor]:
        outputs = self.image_processor(image, return_tensors="pt", **options)
        return {name: outputs[name][0] for name in POSTER_INPUTS if name in outputs}
