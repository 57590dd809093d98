"""A small vector language, and the drawings that are written in it.

`motifs.yaml` and `scenes.yaml` hold one shape a line, in a box 100 wide (motifs 100 high, scenes 150 high; y
grows downwards):

    poly  COLOUR points             straight-edged area
    curve COLOUR points             smooth area through the points; "x,y!" is a sharp corner
    oval  COLOUR centre radii [a]   ellipse, turned by a degrees
    line  COLOUR width points       straight stroke
    arc   COLOUR width points       smooth stroke; a width "9,2" tapers
    fade  COLOUR COLOUR top,bottom  bands from one colour to the other, full width; the last goes on
    use   NAME centre size [a] [COLOUR]   another motif, turned, perhaps as a silhouette

Before a shape may stand `mirror` (a second copy, left-right), `turn N` (N copies around the middle),
`repeat N dx,dy` (N copies in a row) or `scatter N w,h` (N copies strewn over an area).
A colour is a role of the genre's palette (ink, main, accent, light, tint), a name of the colour table or
#rrggbb; each `+` or `-` behind it makes it lighter or darker.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from PIL import ImageColor

Point = tuple[float, float]
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Mark:
    """A filled polygon (width 0) or a stroke with round ends."""

    colour: str
    points: tuple[Point, ...]
    width: float = 0.0

    def moved(self, place: Callable[[Point], Point], scale: float = 1.0) -> Mark:
        """The same mark elsewhere; the scale is for the width of its stroke."""
        return replace(self, points=tuple(map(place, self.points)), width=self.width * scale)


@lru_cache(maxsize=1)
def drawings() -> dict[str, dict[str, Any]]:
    """Both files, merged: colours, genres, motifs, scenes."""
    here = Path(__file__).parent
    texts = [(here / name).read_text("utf-8") for name in ("motifs.yaml", "scenes.yaml")]
    return {key: value for text in texts for key, value in yaml.safe_load(text).items()}


def motif_names() -> list[str]:
    """The motifs that a story may name.

    Example:
        >>> "whale" in motif_names()
        True
    """
    return [name for name in drawings()["motifs"] if not name.startswith("_")]


def scene_names() -> list[str]:
    """The scenes that a story may name.

    Example:
        >>> "sea" in scene_names()
        True
    """
    return list(drawings()["scenes"])


def _numbers(word: str) -> Point:
    first, _, second = word.rstrip("!").partition(",")
    return float(first), float(second or first)


def _smooth(points: list[Point], corners: list[bool], closed: bool, steps: int = 8) -> tuple[Point, ...]:
    """A Hermite curve through the points; a tangent is as long as its segment, so nothing overshoots."""
    n = len(points)
    result: list[Point] = []

    def tangent(i: int, a: Point, b: Point) -> Point:
        at_end = not closed and i in (0, n - 1)
        p, q = (a, b) if corners[i] or at_end else (points[i - 1], points[(i + 1) % n])
        stretch = math.dist(a, b) / (math.dist(p, q) or 1.0)
        return (q[0] - p[0]) * stretch, (q[1] - p[1]) * stretch

    for i in range(n if closed else n - 1):
        j = (i + 1) % n
        a, b = points[i], points[j]
        u, v = tangent(i, a, b), tangent(j, a, b)
        for t in (step / steps for step in range(steps)):
            h = (2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, 3 * t**2 - 2 * t**3, t**3 - t**2)
            x, y = (h[0] * a[k] + h[1] * u[k] + h[2] * b[k] + h[3] * v[k] for k in (0, 1))
            result.append((x, y))
    return tuple(result if closed else [*result, points[-1]])


def _oval(centre: Point, radii: Point, degrees: float = 0.0) -> tuple[Point, ...]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    unit = [(radii[0] * math.cos(k * math.pi / 20), radii[1] * math.sin(k * math.pi / 20)) for k in range(40)]
    return tuple((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in unit)


def _taper(points: tuple[Point, ...], widths: Point) -> tuple[Point, ...]:
    """The outline of a stroke whose width runs from the first to the second, with round ends."""
    left, right = [], []
    for i, (x, y) in enumerate(points):
        a, b = points[max(i - 1, 0)], points[min(i + 1, len(points) - 1)]
        norm = math.dist(a, b) or 1.0
        half = (widths[0] + (widths[1] - widths[0]) * i / (len(points) - 1)) / 2
        dx, dy = (b[1] - a[1]) / norm * half, (a[0] - b[0]) / norm * half
        left.append((x + dx, y + dy))
        right.append((x - dx, y - dy))

    def cap(edge: Point, centre: Point) -> list[Point]:
        start, r = math.atan2(edge[1] - centre[1], edge[0] - centre[0]), math.dist(edge, centre)
        turns = [start + k * math.pi / 8 for k in range(1, 8)]
        return [(centre[0] + r * math.cos(t), centre[1] + r * math.sin(t)) for t in turns]

    return (*left, *cap(left[-1], points[-1]), *reversed(right), *cap(right[0], points[0]))


def _turned(angle: float, scale: float = 1.0, to: Point = (50, 50)) -> Callable[[Point], Point]:
    """A turn around the middle of the box, which then comes to lie elsewhere."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return lambda p: (
        to[0] + (p[0] - 50) * cos - (p[1] - 50) * sin,
        to[1] + (p[0] - 50) * sin + (p[1] - 50) * cos,
    )


def _shifted(dx: float, dy: float) -> Callable[[Point], Point]:
    return lambda p: (p[0] + dx, p[1] + dy)


def _flipped(p: Point) -> Point:
    return 100 - p[0], p[1]


def _shape(kind: str, words: list[str]) -> list[Mark]:
    if kind == "use":
        name, centre, size = words[0], _numbers(words[1]), float(words[2]) / 100
        degrees = next((float(w) for w in words[3:] if w.lstrip("-").isdigit()), 0.0)
        tint = next((w for w in words[3:] if not w.lstrip("-").isdigit()), None)
        place = _turned(math.radians(degrees), size, centre)
        return [replace(m.moved(place, size), colour=tint or m.colour) for m in marks_of("motifs", name)]
    if kind == "fade":
        (top, bottom), steps = _numbers(words[2]), 64
        ys = [top + (bottom - top) * k / steps for k in range(steps + 1)]
        return [
            Mark(f"{words[0]}~{words[1]}~{k / (steps - 1):.3f}", ((-60, y), (160, y), (160, 160), (-60, 160)))
            for k, y in enumerate(ys[:-1])
        ]
    colour, *rest = words
    if kind == "oval":
        return [Mark(colour, _oval(_numbers(rest[0]), _numbers(rest[1]), *map(float, rest[2:])))]
    widths = _numbers(rest.pop(0)) if kind in ("line", "arc") else (0.0, 0.0)
    points, corners = [_numbers(w) for w in rest], [w.endswith("!") for w in rest]
    if kind in ("curve", "arc"):
        path = _smooth(points, corners, closed=kind == "curve")
    elif kind in ("poly", "line"):
        path = tuple(points)
    else:
        raise ValueError(f"unknown shape {kind!r}")
    return [Mark(colour, path, widths[0]) if widths[0] == widths[1] else Mark(colour, _taper(path, widths))]


def _line(text: str) -> list[Mark]:
    """One line of the language as marks: the copying words first, then the shape."""
    word, *rest = text.split()
    if word == "mirror":
        return [m for mark in _line(" ".join(rest)) for m in (mark, mark.moved(_flipped))]
    if word not in ("turn", "repeat", "scatter"):
        return _shape(word, rest)
    count = int(rest[0])
    if word == "turn":
        marks = _line(" ".join(rest[1:]))
        places = [_turned(2 * math.pi * k / count) for k in range(count)]
    else:
        (w, h), marks, rng = _numbers(rest[1]), _line(" ".join(rest[2:])), seeded(text)
        steps = [(k, k) if word == "repeat" else (rng.random(), rng.random()) for k in range(count)]
        places = [_shifted(w * i, h * j) for i, j in steps]
    return [mark.moved(place) for place in places for mark in marks]


@cache
def marks_of(kind: str, name: str) -> tuple[Mark, ...]:
    """The marks of a drawing; kind is "motifs" or "scenes".

    Example:
        >>> marks_of("motifs", "moon")[0].colour
        'flame+'
    """
    marks: list[Mark] = []
    for number, line in enumerate(drawings()[kind][name].splitlines(), 1):
        try:
            marks += _line(line) if line.strip() else []
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f"{kind} {name!r}, line {number} ({line!r}): {error}") from error
    return tuple(marks)


def seeded(text: str) -> random.Random:
    """A generator that depends on the text alone.

    Example:
        >>> seeded("dracula").random() == seeded("dracula").random()
        True
    """
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def _blend(a: RGB, b: RGB, part: float) -> RGB:
    red, green, blue = (round(x + (y - x) * part) for x, y in zip(a, b, strict=True))
    return red, green, blue


@cache
def rgb(colour: str, genre: str) -> RGB:
    """A colour of the language in a genre's palette.

    Example:
        >>> rgb("ink", "Horror")
        (18, 12, 20)
    """
    if "~" in colour:
        first, second, part = colour.split("~")
        return _blend(rgb(first, genre), rgb(second, genre), float(part))
    name = colour.rstrip("+-")
    palette, table = drawings()["genres"][genre], drawings()["colours"]
    value = ImageColor.getrgb(palette.get(name) or table.get(name) or name)[:3]
    for sign in colour[len(name) :]:
        value = _blend(value, (255, 255, 255) if sign == "+" else (12, 8, 24), 0.28)
    return value
