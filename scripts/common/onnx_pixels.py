"""A poster's pixels for an exported model, by numpy and pillow alone; the export puts this file beside the model."""

from typing import Any

import numpy as np
from PIL import Image


def unsupported(settings: dict[str, Any]) -> list[str]:
    """Returns the settings of an image processor that `pixel_values` does not follow; none if it does all.

    Args:
        settings: `image_processor` of processor_config.json.

    Example:
        >>> unsupported({"size": {"shortest_edge": 224}, "do_center_crop": True})
        ['do_center_crop=True', "size={'shortest_edge': 224}"]
    """
    found = [f"{name}=True" for name in ("do_center_crop", "do_pad", "rescale_offset") if settings.get(name)]
    found += [f"{name}=False" for name in ("do_resize", "do_rescale", "do_normalize") if settings.get(name) is False]
    size = settings["size"]
    return found + ([] if size.keys() == {"height", "width"} else [f"size={dict(size)}"])


def pixel_values(poster: Image.Image, settings: dict[str, Any]) -> np.ndarray:
    """Returns an RGB poster as the processor gives it, (1, 3, height, width), float32.

    Args:
        poster: of any size.
        settings: `image_processor` of processor_config.json.

    Raises:
        ValueError: the processor does something else as well, which is named.
    """
    if others := unsupported(settings):
        raise ValueError(f"the image processor has {', '.join(others)}, which is not done here")
    size = settings["size"]
    image = poster.resize((size["width"], size["height"]), settings["resample"])
    pixels = np.asarray(image, np.float32) * settings["rescale_factor"]
    pixels = (pixels - settings["image_mean"]) / settings["image_std"]
    return pixels.astype(np.float32).transpose(2, 0, 1)[None]
