import io
import struct
import zlib

import numpy as np
import pytest
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from processing.catalogue.image_checks import check_posters, read_poster
from processing.posterclip.rgb import to_rgb


def encode(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def noise(mode="RGB", size=(40, 60)):
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(values.squeeze(), mode)


def png_header(width, height):
    """A PNG that promises this size and holds a few bytes."""
    chunks = b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def rotated(image):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return encode(image, "JPEG", quality=95, exif=exif)


def half(color, other, size=(8, 8), mode="RGB"):
    """The left half in one colour, the right half in the other."""
    image = Image.new(mode, size, color)
    image.paste(other, (size[0] // 2, 0, *size))
    return image


def grey16(value):
    return Image.fromarray(np.full((4, 4), value, dtype=np.uint16))


def palette_with_transparency():
    image = half((255, 0, 0), (0, 0, 255)).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    return encode(image, transparency=image.getpixel((0, 0)))


BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)

# What a poster holds, and the colours that training sees at its left and right edge.
GOOD = {
    "rgb": (encode(half(RED, BLUE)), RED, BLUE),
    "grey": (encode(half(0, 255, mode="L")), BLACK, WHITE),
    "one bit": (encode(half(0, 1, mode="1")), BLACK, WHITE),
    "cmyk jpeg": (
        encode(half((0, 255, 255, 0), (255, 255, 0, 0), mode="CMYK"), "JPEG", quality=95),
        RED,
        BLUE,
    ),
    "palette": (encode(half(RED, BLUE).convert("P", palette=Image.Palette.ADAPTIVE)), RED, BLUE),
    "palette with a transparent red": (palette_with_transparency(), WHITE, BLUE),
    "alpha: black, fully transparent": (encode(half((0, 0, 0, 0), (*BLUE, 255), mode="RGBA")), WHITE, BLUE),
    "alpha: red, half transparent": (
        encode(half((*RED, 128), (*BLUE, 255), mode="RGBA")),
        (255, 127, 127),
        BLUE,
    ),
    "grey and alpha": (encode(half((0, 0), (0, 255), mode="LA")), WHITE, BLACK),
    "16-bit mid-grey": (encode(grey16(32768)), (128,) * 3, (128,) * 3),
    "16-bit dark grey": (encode(grey16(2570)), (10,) * 3, (10,) * 3),
    "16-bit grey, tiff": (encode(grey16(32768), "TIFF"), (128,) * 3, (128,) * 3),
    "animated gif": (
        encode(
            Image.new("RGB", (8, 8), RED),
            "GIF",
            save_all=True,
            append_images=[Image.new("RGB", (8, 8), BLUE)],
        ),
        *(RED, RED),
    ),
    "webp": (encode(half(RED, BLUE), "WEBP", lossless=True), RED, BLUE),
}


@pytest.mark.parametrize(("file", "left", "right"), GOOD.values(), ids=GOOD)
def test_unusual_posters_are_good_and_look_right(file, left, right):
    rgb = to_rgb(Image.open(io.BytesIO(file)))
    assert read_poster(file) == rgb
    assert rgb.mode == "RGB"
    corners = [rgb.getpixel((0, 0)), rgb.getpixel((rgb.width - 1, rgb.height - 1))]
    np.testing.assert_allclose(corners, [left, right], atol=4)


def test_an_exif_rotation_is_applied():
    file = rotated(half(RED, BLUE, (16, 8)))
    rgb = read_poster(file)
    assert rgb.size == (8, 16)
    np.testing.assert_allclose([rgb.getpixel((4, 1)), rgb.getpixel((4, 14))], [RED, BLUE], atol=12)


BAD = {
    "empty": (b"", r"image is empty \(0 bytes\)"),
    "truncated jpeg": (encode(noise(), "JPEG")[:1500], "image is truncated"),
    "truncated png": (encode(noise())[:1500], "image is truncated"),
    "truncated gif": (encode(noise("L"), "GIF")[:1500], "image is truncated"),
    "truncated webp": (encode(noise(), "WEBP")[:500], "image is (broken|truncated)|not an image: no"),
    "only a jpeg's first bytes": (encode(noise(), "JPEG")[:10], "image is truncated"),
    "html": (b"<!DOCTYPE html><html><title>404</title></html>", "not an image: starts with <!DOCTYPE"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image: starts with <svg"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image: starts with %!PS"),
    "zeros": (bytes(500), "not an image: no JPEG, PNG,"),
    "bomb": (png_header(10_000, 9_000), "10000 x 9000 = 90000000 pixels, limit 89478485"),
    "larger bomb": (png_header(50_000, 50_000), "2500000000 pixels"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("file", "reason"), BAD.values(), ids=BAD)
def test_bad_posters_say_why(file, reason, tmp_path):
    (tmp_path / "45.jpg").write_bytes(file)
    for poster in (file, tmp_path / "45.jpg"):
        with pytest.raises(ValueError, match=reason):
            read_poster(poster)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_poster(tmp_path / "45.jpg")
    with pytest.raises(ValueError, match="directory"):
        read_poster(tmp_path)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_whole_column_is_checked_and_only_bad_rows_are_named(tmp_path):
    (tmp_path / "good.png").write_bytes(encode(noise()))
    cells = [
        {"path": str(tmp_path / "good.png"), "bytes": None},
        {"path": "45.jpg", "bytes": b"<html>"},
        {"path": None, "bytes": encode(noise())},
        None,
        {"path": "46.jpg", "bytes": b""},
        {"path": "47.jpg", "bytes": png_header(10_000, 9_000)},
        {"path": "not looked at", "bytes": None},
    ]
    images = Dataset.from_dict({"image": cells}, Features(image=ImageFeature(decode=False)))
    reasons, thumbnails = check_posters(images, range(6))
    assert list(reasons) == [1, 3, 4, 5]
    assert {row: picture.shape for row, picture in thumbnails.items()} == dict.fromkeys([0, 2], (32, 32))
    assert reasons[1] == "not an image: starts with <html>"
    assert reasons[3] == "no poster"
