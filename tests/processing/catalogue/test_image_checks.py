import io

import pytest
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from processing.catalogue.image_checks import check_posters


def png(width=40, height=60):
    stream = io.BytesIO()
    Image.effect_noise((width, height), 60).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.slow
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_whole_column_is_checked_and_only_bad_rows_are_named(tmp_path):
    (tmp_path / "good.png").write_bytes(png())
    cells = [
        {"path": str(tmp_path / "good.png"), "bytes": None},
        {"path": "45.jpg", "bytes": b"<html>"},
        {"path": None, "bytes": png()},
        None,
        {"path": "46.jpg", "bytes": b""},
        {"path": "47.jpg", "bytes": png(11_000, 9_000)},
        {"path": "not looked at", "bytes": None},
    ]
    images = Dataset.from_dict({"image": cells}, Features(image=ImageFeature(decode=False)))
    reasons, thumbnails = check_posters(images, range(6))
    assert list(reasons) == [1, 3, 4, 5]
    assert {row: picture.shape for row, picture in thumbnails.items()} == dict.fromkeys([0, 2], (32, 32))
    assert reasons[1] == "not an image: starts with <html>"
    assert reasons[3] == "no poster"
