from random import Random

import numpy as np
import pytest
from PIL import Image

from processing.data.transforms import augment


def ramp(width: int = 200, height: int = 300) -> Image.Image:
    """Redder to the right, greener to the bottom."""
    red, green = np.meshgrid(np.linspace(60, 180, width), np.linspace(60, 180, height))
    return Image.fromarray(np.stack([red, green, np.full_like(red, 120)], axis=2).astype(np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (3, 1000), (1000, 1), (2, 2), (500, 700)])
def test_a_view_of_any_poster_is_a_poster(size):
    for seed in range(30):
        view = augment(Image.new("RGB", size, (10, 200, 30)), Random(seed))
        assert view.mode == "RGB"
        assert 1 <= view.width <= size[0] and 1 <= view.height <= size[1]


def test_a_view_keeps_most_of_the_poster_and_nearly_its_shape():
    views = [augment(ramp(), Random(seed)) for seed in range(200)]
    areas = [view.width * view.height / (200 * 300) for view in views]
    aspects = [view.width / view.height / (200 / 300) for view in views]
    assert 0.59 <= min(areas) < 0.65 and 0.95 < max(areas) <= 1
    assert 0.79 <= min(aspects) < 0.85 and 1.18 < max(aspects) <= 1.26


def test_light_and_colour_change_a_little_and_words_are_never_mirrored():
    plain = np.asarray(ramp()).mean()
    means = []
    for seed in range(50):
        view = np.asarray(augment(ramp(), Random(seed))).astype(int)
        assert (view[:, -1, 0] > view[:, 0, 0]).all() and (view[-1, :, 1] > view[0, :, 1]).all()
        means.append(view.mean() / plain)
    assert 0.7 < min(means) < 0.9 and 1.1 < max(means) < 1.3


def test_a_view_is_a_function_of_the_draw():
    views = [augment(ramp(), Random(seed)).tobytes() for seed in (1, 2, 1)]
    assert views[0] == views[2] != views[1]
