"""Posters for the demo catalogue, drawn from a story's fields and nothing else."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from .vector import RGB, Mark, Point, drawings, marks_of, motif_names, rgb, scene_names, seeded

SIZE = (320, 480)
LABEL = "drawn illustration - not a real poster"
SUPERSAMPLING = 3
LEADING = 1.12
MARGIN = 16  # around a motif's box, for what juts out: flames, smoke, a broom
_SHADE = Image.linear_gradient("L")
_CORNERS = Image.radial_gradient("L").resize(SIZE).point(lambda v: max(0, v - 90) * 2 // 3)


LETTERS = str.maketrans(
    {
        **{"Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Ł": "L", "ł": "l", "ß": "ss"},
        **{"–": "-", "—": "-", "−": "-", "×": "x"},
    }
)


@dataclass(frozen=True)
class Layout:
    """Where things stand: the title's box (top, bottom), the hero and its companions (centre and size)."""

    title: tuple[int, int]
    hero: tuple[int, int, int]
    others: tuple[tuple[int, int, int], ...]
    halo: str  # "disc", "rays", "frame" or "none": what sets the hero off from the scene
    band: bool  # the title stands on a band, or else free in outlined letters


LAYOUTS = (
    Layout((4, 124), (160, 272, 250), ((66, 398, 128), (254, 398, 128), (270, 178, 96)), "disc", False),
    Layout((336, 454), (160, 194, 256), ((64, 284, 124), (258, 284, 124), (262, 62, 100)), "none", True),
    Layout((0, 118), (160, 258, 240), ((254, 394, 132), (70, 396, 128), (50, 172, 90)), "rays", True),
    Layout((334, 450), (160, 194, 244), ((258, 72, 112), (62, 76, 108), (260, 284, 104)), "frame", False),
)


def _paint(
    image: Image.Image,
    marks: tuple[Mark, ...],
    genre: str,
    place: Callable[[Point], Point],
    scale: float,
    outline: float = 0.0,
) -> None:
    """Draw the marks; with an outline, first their common silhouette in ink, that much wider."""
    draw = ImageDraw.Draw(image)
    moved = [m.moved(place, scale) for m in marks]

    def stroke(points: tuple[Point, ...], colour: RGB, width: float) -> None:
        draw.line(points, colour, max(1, round(width)), joint="curve")
        for x, y in (points[0], points[-1]):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), colour)

    for mark in moved if outline else ():
        points = mark.points if mark.width else (*mark.points, mark.points[0])
        stroke(points, rgb("ink", genre), mark.width + 2 * outline * scale)
    for mark in moved:
        if mark.width:
            stroke(mark.points, rgb(mark.colour, genre), mark.width)
        else:
            draw.polygon(mark.points, rgb(mark.colour, genre))


@lru_cache(maxsize=64)
def _motif(name: str, genre: str, size: int, flip: bool) -> Image.Image:
    """The motif on transparent ground, with light from the upper left."""
    big, scale = size * SUPERSAMPLING, size * SUPERSAMPLING / (100 + 2 * MARGIN)
    image = Image.new("RGBA", (big, big))

    def place(p: Point) -> Point:
        return (p[0] + MARGIN) * scale, (p[1] + MARGIN) * scale

    _paint(image, marks_of("motifs", name), genre, place, scale, outline=1.0)
    if flip:
        image = ImageOps.mirror(image)
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    alpha, edge = image.getchannel("A"), max(1, size // 70)
    body = image.convert("RGB")
    for offset, colour, strength in ((edge, (255, 250, 230), 0.45), (-2 * edge, (10, 6, 30), 0.55)):
        rim = ImageChops.subtract(alpha, ImageChops.offset(alpha, offset, offset))
        rim = rim.filter(ImageFilter.GaussianBlur(edge)).point(lambda v, s=strength: round(v * s))
        body.paste(colour, mask=rim)
    body.paste((10, 6, 30), mask=_SHADE.resize((size, size)).point(lambda v: v // 6))
    body.putalpha(alpha)
    return body


def _background(scene: str, genre: str, rng: Random) -> Image.Image:
    """The scene, a little zoomed, shifted and perhaps mirrored, then graded towards the genre's palette."""
    width, height = (side * SUPERSAMPLING for side in SIZE)
    zoom = 1 + 0.12 * rng.random()
    scale, left = width / 100 * zoom, (zoom - 1) * rng.random() * 100 / zoom
    image = Image.new("RGB", (width, height))

    def place(p: Point) -> Point:
        return (p[0] - left) * scale, (p[1] - 150) * scale + height

    _paint(image, marks_of("scenes", scene), genre, place, scale)
    image = image.resize(SIZE, Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    dark, middle, bright = (rgb(name, genre) for name in ("ink", "tint", "light"))
    duotone = ImageOps.colorize(image.convert("L"), dark, bright, mid=middle)
    image = ImageEnhance.Color(Image.blend(image, duotone, 0.3)).enhance(1.3)
    image.paste(dark, mask=_CORNERS)
    return image


def without_accents(text: str) -> str:
    """Returns a text in plain letters: Pillow's own font has hardly any with an accent.

    Example:
        >>> without_accents("Misérables – Œdipe")
        'Miserables - OEdipe'
    """
    letters = unicodedata.normalize("NFKD", text).translate(LETTERS)
    return "".join(letter for letter in letters if unicodedata.category(letter) not in ("Mn", "Cf"))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType: it has no letters for the posters")
    return font


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split() or ["-"]:
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _fitted(text: str, width: float, height: float, sizes: range) -> tuple[ImageFont.FreeTypeFont, list[str]]:
    """The first size in which the text, wrapped, stays within the box; at the last one it is cut off."""
    for size in sizes:
        font = _font(size)
        lines = _wrapped(text, font, width)
        if len(lines) * size * LEADING <= height and max(map(font.getlength, lines)) <= width:
            return font, lines
    while font.getlength(text + "...") > width:
        text = text[:-1]
    return font, [text + "..."]


def _letter(image: Image.Image, story: Mapping[str, Any], genre: str, layout: Layout) -> None:
    """Title and author in the layout's box; at the bottom edge the label that says what this picture is."""
    draw, (width, height) = ImageDraw.Draw(image), image.size
    ink, light, accent, byline = (rgb(name, genre) for name in ("ink", "light", "accent", "accent~light~0.6"))
    top, bottom = layout.title
    if layout.band:
        image.paste(rgb("main--", genre), (0, top, width, bottom), Image.new("L", (width, bottom - top), 235))
        for y in (top + 3, bottom - 6):
            draw.rectangle((0, y, width, y + 2), accent)
    title, author = map(without_accents, (str(story["title"]).upper(), str(story.get("author") or "Traditional")))
    font, lines = _fitted(title, width - 54, bottom - top - 36, range(56, 9, -2))
    middle = (top + bottom - 22) / 2
    for stroke, colour in ((1 if layout.band else 4, ink), (1, light)):
        for k, line in enumerate(lines):
            line_y = middle + (k - (len(lines) - 1) / 2) * font.size * LEADING
            at = (width / 2, line_y)
            draw.text(at, line, light, font, anchor="mm", stroke_width=stroke, stroke_fill=colour)
    small, (author, *_) = _fitted(author, width - 60, 20, range(17, 9, -1))
    outline = 0 if layout.band else 3
    at = (width / 2, bottom - 18)
    draw.text(at, author, byline, small, anchor="mm", stroke_width=outline, stroke_fill=ink)
    draw.rectangle((0, height - 17, width, height), ink)
    draw.text((width / 2, height - 8), LABEL, light, _font(12), anchor="mm")


def _set_off(image: Image.Image, genre: str, layout: Layout) -> None:
    """Paint what lies between the scene and the hero."""
    x, y, size = layout.hero
    shape = Image.new("L", (SIZE[0] * 2, SIZE[1] * 2))
    draw = ImageDraw.Draw(shape)
    r = 0.86 * size
    if layout.halo == "disc":
        draw.ellipse((2 * x - r, 2 * y - r, 2 * x + r, 2 * y + r), 190)
    elif layout.halo == "rays":
        for start in range(0, 360, 30):
            draw.pieslice((2 * x - 900, 2 * y - 900, 2 * x + 900, 2 * y + 900), start, start + 14, 96)
    image.paste(rgb("light", genre), mask=shape.resize(SIZE, Image.Resampling.LANCZOS))
    if layout.halo == "disc":
        ring = r / 2 + 5
        box = (x - ring, y - ring, x + ring, y + ring)
        ImageDraw.Draw(image).ellipse(box, outline=rgb("accent", genre), width=3)
    elif layout.halo == "frame":
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, SIZE[0] - 1, SIZE[1] - 1), outline=rgb("light", genre), width=10)
        draw.rectangle((10, 10, SIZE[0] - 11, SIZE[1] - 11), outline=rgb("main", genre), width=3)


def _place(image: Image.Image, motif: Image.Image, x: int, y: int, genre: str) -> None:
    """Paste the motif around a centre, with a glow and a shadow that lift it off the scene."""
    corner, alpha = (x - motif.width // 2, y - motif.height // 2), motif.getchannel("A")
    glow = alpha.filter(ImageFilter.GaussianBlur(motif.width / 32)).point(lambda v: min(255, v * 2) * 5 // 8)
    image.paste(rgb("light", genre), corner, glow)
    shadow = alpha.filter(ImageFilter.GaussianBlur(3)).point(lambda v: v // 2)
    image.paste(rgb("ink", genre), (corner[0] + 4, corner[1] + 5), shadow)
    image.paste(motif, corner, motif)


def _check(story: Mapping[str, Any]) -> None:
    fields = (
        ("genre", story["genres"][:1], drawings()["genres"]),
        ("scene", [story["scene"]], scene_names()),
        ("motif", story["motifs"], motif_names()),
    )
    for kind, names, known in fields:
        if not names:
            raise ValueError(f"story {story['id']!r} has no {kind}")
        for name in names:
            if name not in known:
                raise ValueError(f"story {story['id']!r}: unknown {kind} {name!r}")


def draw_poster(story: Mapping[str, Any]) -> Image.Image:
    """Draw the poster of a story: the same picture, to the bit, for the same fields.

    Example:
        >>> story = {"id": "moby-dick", "title": "Moby-Dick", "author": "Herman Melville",
        ...          "genres": ["Adventure"], "scene": "sea", "motifs": ["whale", "ship"]}
        >>> draw_poster(story).size
        (320, 480)
    """
    _check(story)
    genre, rng = story["genres"][0], seeded(str(story["id"]))
    layout = LAYOUTS[int(rng.random() * len(LAYOUTS))]
    image = _background(story["scene"], genre, rng)
    _set_off(image, genre, layout)
    hero, *others = dict.fromkeys(story["motifs"])
    for name, (x, y, size) in ((hero, layout.hero), *zip(others, layout.others, strict=False)):
        dx, dy = round(rng.random() * 8 - 4), round(rng.random() * 8 - 4)
        _place(image, _motif(name, genre, size, rng.random() < 0.5), x + dx, y + dy, genre)
    _letter(image, story, genre, layout)
    return image
