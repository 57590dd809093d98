"""Random augmentation of posters, so that training does not memorise their pixels."""

import math
from random import Random

from PIL import Image, ImageEnhance

AREA = (0.6, 1.0)  # of the poster that a crop keeps
ASPECT = 5 / 4  # by which a crop may be wider or narrower than the poster
JITTER = (0.8, 1.2)  # factor of brightness, of contrast and of colour


def augment(image: Image.Image, draw: Random) -> Image.Image:
    """Returns a random crop of a poster with slightly changed brightness, contrast and colour.

    This is the random resized crop of Szegedy et al. 2015 (arXiv:1409.4842, section 6) with milder ranges, so that
    titles and faces stay in view. The image processor does the resizing. Posters are never mirrored, because of their
    text.

    Args:
        image: RGB, of any size.
        draw: the source of all randomness.

    Returns:
        RGB, at most as wide and as high, and at least one pixel.

    Example:
        >>> view = augment(Image.new("RGB", (200, 300), "red"), Random(0))
        >>> view.mode, view.width <= 200, view.height <= 300
        ('RGB', True, True)
    """
    area, aspect = draw.uniform(*AREA), math.exp(draw.uniform(-1, 1) * math.log(ASPECT))
    width = max(1, min(image.width, round(image.width * math.sqrt(area * aspect))))
    height = max(1, min(image.height, round(image.height * math.sqrt(area / aspect))))
    left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
    image = image.crop((left, top, left + width, top + height))
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancer(image).enhance(draw.uniform(*JITTER))
    return image
