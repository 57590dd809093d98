import io
import struct
import subprocess
import zlib
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from processing.posterclip import rgb
from processing.posterclip.rgb import open_image, to_rgb


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

# What a poster holds, and the colours of the RGB image at its left and right edge.
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
    "avif": (encode(half(RED, BLUE, (64, 64)), "AVIF", quality=100), RED, BLUE),
}


@pytest.mark.parametrize(("file", "left", "right"), GOOD.values(), ids=GOOD)
def test_unusual_posters_are_good_and_displayed_as_a_viewer_does(file, left, right):
    image = open_image(file)
    assert image == to_rgb(Image.open(io.BytesIO(file)))
    assert image.mode == "RGB"
    corners = [image.getpixel((0, 0)), image.getpixel((image.width - 1, image.height - 1))]
    np.testing.assert_allclose(corners, [left, right], atol=4)


def test_an_exif_rotation_is_applied():
    file = rotated(half(RED, BLUE, (16, 8)))
    image = open_image(file)
    assert image.size == (8, 16)
    np.testing.assert_allclose([image.getpixel((4, 1)), image.getpixel((4, 14))], [RED, BLUE], atol=12)


BAD = {
    "empty": (b"", r"image is empty \(0 bytes\)"),
    "truncated jpeg": (encode(noise(), "JPEG")[:1500], "image is truncated"),
    "truncated png": (encode(noise())[:1500], "image is truncated"),
    "truncated gif": (encode(noise("L"), "GIF")[:1500], "image is truncated"),
    "truncated webp": (encode(noise(), "WEBP")[:500], "image is (broken|truncated)|not an image: no"),
    "only a jpeg's first bytes": (encode(noise(), "JPEG")[:10], "image is truncated"),
    "html": (b"<!DOCTYPE html><html><title>404</title></html>", "not an image: starts with <!DOCTYPE"),
    "pdf": (encode(noise(), "PDF"), "not an image: starts with %PDF"),
    "icon": (encode(noise(), "ICO"), "not an image: no JPEG, PNG,"),
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
            open_image(poster)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        open_image(tmp_path / "45.jpg")
    with pytest.raises(ValueError, match="directory"):
        open_image(tmp_path)


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "JPEG2000", "TIFF", "BMP", "GIF"])
def test_the_content_decides_and_not_the_name(format, tmp_path):
    (tmp_path / "poster.eps").write_bytes(encode(noise(), format))
    assert open_image(tmp_path / "poster.eps").size == (40, 60)
    assert open_image(str(tmp_path / "poster.eps")) == open_image(tmp_path / "poster.eps")


def test_no_other_program_is_run(monkeypatch, tmp_path):
    """Pillow runs Ghostscript for EPS, whatever the file is called."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / "poster.jpg").write_bytes(encode(noise(), "EPS"))
    with pytest.raises(ValueError, match="not an image: starts with %!PS"):
        open_image(tmp_path / "poster.jpg")


def test_a_limit_of_pixels_holds_before_decoding():
    assert open_image(encode(noise()), max_pixels=2400).size == (40, 60)
    with pytest.raises(ValueError, match="too large: 40 x 60 = 2400 pixels, limit 2399"):
        open_image(encode(noise()), max_pixels=2399)


@pytest.mark.parametrize("uri", ["data:image/png;base64,{}", "data:;base64,{}"])
def test_a_data_uri_is_decoded(uri):
    assert open_image(uri.format(b64encode(encode(noise())).decode())) == noise()


@pytest.mark.parametrize("uri", ["data:image/png;base64,?", "data:image/png;base64,", "data:text/plain,hello", "data:"])
def test_a_data_uri_that_holds_no_image_is_refused(uri):
    with pytest.raises(ValueError, match=r"not an image|empty"):
        open_image(uri)


class Site(BaseHTTPRequestHandler):
    """Serves an image, and pages that are none."""

    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/poster")
            return self.end_headers()
        self.send_response(200 if self.path != "/gone" else 404)
        self.end_headers()
        self.wfile.write({"/poster": encode(noise()), "/large": bytes(3000)}.get(self.path, b"<html>"))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class TestURLs:
    @pytest.mark.parametrize("path", ["/poster", "/moved"])
    def test_are_fetched(self, site, path):
        assert open_image(site + path) == noise()

    @pytest.mark.parametrize(("path", "reason"), [("/gone", "404"), ("/page", "not an image: starts with <html>")])
    def test_that_hold_no_image_say_why(self, site, path, reason):
        with pytest.raises(ValueError, match=reason):
            open_image(site + path)

    def test_may_not_send_without_end(self, site, monkeypatch):
        monkeypatch.setattr(rgb, "URL_MAX_BYTES", 2999)
        with pytest.raises(ValueError, match="too large: more than 2999 bytes"):
            open_image(f"{site}/large")

    @pytest.mark.parametrize("url", ["ftp://localhost/a.png", "file:///etc/hostname", "http://127.0.0.1:1/a.png"])
    def test_of_other_protocols_or_without_an_answer_are_refused(self, url):
        with pytest.raises(ValueError, match=r"no such file|refused"):
            open_image(url)


RAMP = np.linspace(0, 1, 256).reshape(1, 256)


class TestValuesThatAreNot8Bit:
    @pytest.mark.parametrize(
        ("dtype", "full"),
        [
            *[(np.float32, 1), (np.float64, 255), (np.float32, 65535), (np.float16, 1)],
            *[(np.int32, 255), (np.int64, 65535), (np.uint16, 65535), (np.uint32, 2**32 - 1), (">u2", 65535)],
        ],
    )
    def test_are_divided_by_their_full_scale(self, dtype, full):
        array = (RAMP * full).round(0 if full > 1 else 9).astype(dtype)
        greys = np.asarray(to_rgb(array))[0, :, 0].astype(int)
        assert np.abs(greys - np.arange(256)).max() <= 1 and greys[0] == 0 and greys[-1] == 255

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
    def test_in_pil_images_are_scaled_as_in_arrays(self, dtype):
        array = (RAMP * 65535).astype(dtype)
        assert to_rgb(Image.fromarray(array)) == to_rgb(array)

    def test_of_a_dark_16_bit_image_stay_dark(self):
        assert to_rgb(np.full((2, 2), 200, np.uint16)).getpixel((0, 0)) == (1, 1, 1)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1e12])
    @pytest.mark.parametrize("kind", [np.asarray, Image.fromarray])
    def test_must_be_finite_and_not_negative(self, value, kind):
        with pytest.raises(ValueError, match=r"pixel values from .* they must be finite and not negative"):
            to_rgb(kind(np.array([[0, value]], np.float32)))


class TestArrays:
    @pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
    def test_have_channels_last_or_first(self, mode):
        image = noise(mode)
        array = np.asarray(image)
        assert to_rgb(array) == to_rgb(image)
        assert to_rgb(array if array.ndim == 2 else np.moveaxis(array, -1, 0)) == to_rgb(image)

    def test_of_truth_values_are_black_and_white(self):
        assert to_rgb(np.array([[True, False]])).getpixel((0, 0)) == (255, 255, 255)

    @pytest.mark.parametrize("shape", [(5,), (0, 3), (5, 6, 7), (2, 5, 5, 3)])
    def test_of_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match="is no image"):
            to_rgb(np.zeros(shape))

    def test_of_other_types_are_refused(self):
        with pytest.raises(ValueError, match="complex128 is no image"):
            to_rgb(np.zeros((2, 2), complex))
