"""Another view of a poster for each epoch, so that training does not learn its pixels by heart."""

import math
from random import Random

from PIL import Image, ImageEnhance

AREA = (0.6, 1.0)  # of the poster that a crop keeps
ASPECT = 5 / 4  # by which a crop may be wider or narrower than the poster
JITTER = (0.8, 1.2)  # factor of brightness, of contrast and of colour


def augment(image: Image.Image, draw: Random) -> Image.Image:
    """A random crop of a poster, its brightness, contrast and colour changed a little.

    It is the random resized crop of Szegedy et al. 2015 (arXiv:1409.4842, section 6) with milder ranges, so that
    titles and faces stay in view; the resizing is left to the image processor. Posters are never mirrored: they
    carry words.

    Args:
        image: RGB, of any size.
        draw: where all randomness comes from.

    Returns:
        RGB, at most as wide and high, at least one pixel.

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
