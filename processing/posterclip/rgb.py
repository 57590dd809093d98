"""Posters of any mode to RGB. Needs pillow and numpy alone."""

import numpy as np
from PIL import Image, ImageOps


def to_rgb(image: Image.Image) -> Image.Image:
    """Bring any decodable poster to 8-bit RGB as a viewer would show it.

    The first frame of an animation is taken, an EXIF rotation is applied, 16-bit and floating-point greys are
    scaled (not clipped) to 8 bits, and transparency is laid on white.

    Example:
        >>> to_rgb(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    if image.mode == "I":
        image = image.point(lambda value: value / 257).convert("L")
    elif image.mode == "F":
        low, high = np.asarray(image).min(), np.asarray(image).max()
        image = Image.fromarray(((np.asarray(image) - low) * (255 / ((high - low) or 1))).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
