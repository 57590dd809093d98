"""One picture of what a model answers: posters, each with its best plots, the right one marked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from processing.posterclip.rgb import to_rgb

PAGE_WIDTH = 1600
MARGIN = 48  # around the page
GAP = 24  # between cards, and between a card's edge and what it holds
COLUMNS = 2
CARD_WIDTH = (PAGE_WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS
CARD_HEIGHT = 446
POSTER_SIZE = (220, 330)
ANSWERS = 3
ANSWER_HEIGHT = 118
PADDING = 12  # inside an answer's box

PAPER, CARD, LINE = "#f4f2ee", "#ffffff", "#dedad2"
INK, SOFT = "#26241f", "#7a756b"
RIGHT, RIGHT_PAPER = "#1f7a4d", "#e6f3ea"
MISSED = "#a6502a"

LOOKALIKES = str.maketrans(
    {
        **{"Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Ł": "L", "ł": "l", "ß": "ss"},
        **{"–": "-", "—": "-", "−": "-", "×": "x"},
    }
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Corner = tuple[int, int]


@dataclass(frozen=True)
class Answer:
    """One plot that the model gave for a poster."""

    title: str
    plot: str
    score: float
    right: bool


def contact_sheet(
    posters: Sequence[Image.Image],
    titles: Sequence[str],
    answers: Sequence[Sequence[Answer]],
    ranks: Sequence[int],
    *,
    heading: str,
    footer: str,
) -> Image.Image:
    """Draw a page of cards: a poster with its title, and beside it its best plots with their scores.

    The right plot is boxed in green, ticked and called right; where it is not shown, its rank is stated.

    Args:
        posters: n images of any size and mode.
        titles: the posters' own movie titles.
        answers: for each poster its best plots, best first, at most three.
        ranks: for each poster the rank of its right plot.
        heading: one line above the cards.
        footer: one line below them.

    Returns:
        An RGB image, 1600 pixels wide. Text that does not fit, or that Pillow's own font cannot draw, becomes
        an ellipsis.

    Raises:
        ValueError: no posters, lists of different lengths, more than three answers for a poster.

    Example:
        >>> answer = Answer("Dracula", "A count leaves his castle for London.", score=0.81, right=True)
        >>> poster = Image.new("RGB", (200, 300), "black")
        >>> contact_sheet([poster], ["Dracula"], [[answer]], [1], heading="Held-out", footer="drawn").width
        1600
    """
    counts = [len(posters), len(titles), len(answers), len(ranks)]
    if min(counts) == 0 or len(set(counts)) > 1:
        raise ValueError(f"need as many posters, titles, answers and ranks, at least one; got {counts}")
    if max(map(len, answers)) > ANSWERS:
        raise ValueError(f"a card shows at most {ANSWERS} answers, got {max(map(len, answers))}")
    top, bottom = MARGIN + 64, 72
    n_rows = -(-len(posters) // COLUMNS)
    page = Image.new("RGB", (PAGE_WIDTH, top + n_rows * (CARD_HEIGHT + GAP) - GAP + bottom), PAPER)
    draw = ImageDraw.Draw(page)
    width = PAGE_WIDTH - 2 * MARGIN
    _write(draw, (MARGIN, MARGIN - 8), heading, _font(32), INK, width)
    _write(draw, (MARGIN, page.height - 46), footer, _font(17), SOFT, width)
    for index, card in enumerate(zip(posters, titles, answers, ranks, strict=True)):
        row, column = divmod(index, COLUMNS)
        corner = (MARGIN + column * (CARD_WIDTH + GAP), top + row * (CARD_HEIGHT + GAP))
        _draw_card(page, draw, corner, *card)
    return page


def without_accents(text: str) -> str:
    """The text in plainer letters: Pillow's own font has hardly any that bears an accent.

    Example:
        >>> without_accents("Misérables – Œdipe")
        'Miserables - OEdipe'
    """
    letters = unicodedata.normalize("NFKD", text).translate(LOOKALIKES)
    return "".join(letter for letter in letters if unicodedata.category(letter) not in ("Mn", "Cf"))


def wrap(text: str, font: Font, width: int, max_lines: int) -> list[str]:
    """Break text into at most max_lines lines no wider than width; an ellipsis stands for what is left out.

    A word wider than a line is cut. Accents go, and letters that the font lacks become an ellipsis.

    Example:
        >>> wrap("A café, a captain and the sea", ImageFont.load_default(16), width=120, max_lines=2)
        ['A cafe, a', 'captain and…']
    """
    # No line holds more letters than pixels: a plot of a megabyte is cut before it is measured.
    words = _drawable(text[: width * max_lines]).split()
    lines = [""]
    while words and len(lines) <= max_lines:
        longer = f"{lines[-1]} {words[0]}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            words.pop(0)
        elif lines[-1]:
            lines.append("")
        else:
            head = _fitting(words[0], font, width)
            lines[-1], words[0] = head, words[0][len(head) :]
    if len(lines) > max_lines:
        line = lines[max_lines - 1]
        last = _fitting(line, font, width - font.getlength("…"))
        if last != line:
            last = last.rpartition(" ")[0] or last  # whole words, where there are several
        lines[max_lines - 1 :] = [last.rstrip(" .,…") + "…"]
    return lines


def _fitting(text: str, font: Font, width: float) -> str:
    """The longest beginning of text that is no wider than width, one letter at least."""
    end = 1
    while end < len(text) and font.getlength(text[: end + 1]) <= width:
        end += 1
    return text[:end]


def _drawable(text: str) -> str:
    """Text in the letters of Pillow's own font, which has few beyond ASCII: other ones become an ellipsis."""
    return re.sub("…+", "…", "".join(letter if _has_glyph(letter) else "…" for letter in without_accents(text)))


@cache
def _has_glyph(letter: str) -> bool:
    """Whether the font draws the letter itself; a missing one gets the same box as this noncharacter."""
    font = _font(20)
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _write(draw: ImageDraw.ImageDraw, at: Corner, text: str, font: Font, ink: str, width: int) -> None:
    draw.text(at, wrap(text, font, width, 1)[0], fill=ink, font=font)


def _draw_card(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: Corner,
    poster: Image.Image,
    title: str,
    answers: Sequence[Answer],
    rank: int,
) -> None:
    left, top = corner
    edge = (left, top, left + CARD_WIDTH - 1, top + CARD_HEIGHT - 1)
    draw.rounded_rectangle(edge, radius=10, fill=CARD, outline=LINE)
    left, top = left + GAP, top + GAP
    draw.rectangle((left, top, left + POSTER_SIZE[0] - 1, top + POSTER_SIZE[1] - 1), fill=PAPER)
    picture = _scaled(poster)
    space = POSTER_SIZE[0] - picture.width, POSTER_SIZE[1] - picture.height
    page.paste(picture, (left + space[0] // 2, top + space[1] // 2))
    for number, line in enumerate(wrap(title, _font(19), POSTER_SIZE[0], 2)):
        draw.text((left, top + POSTER_SIZE[1] + 12 + 25 * number), line, fill=INK, font=_font(19))
    left, width = left + POSTER_SIZE[0] + GAP, CARD_WIDTH - POSTER_SIZE[0] - 3 * GAP
    for answer in answers:
        _draw_answer(draw, (left, top), width, answer)
        top += ANSWER_HEIGHT + 6
    if not any(answer.right for answer in answers):
        _write(draw, (left + PADDING, top + 4), f"The right plot is at rank {rank:,}", _font(17), MISSED, width)


def _draw_answer(draw: ImageDraw.ImageDraw, corner: Corner, width: int, answer: Answer) -> None:
    left, top = corner
    if answer.right:
        box = (left, top, left + width - 1, top + ANSWER_HEIGHT - 1)
        draw.rounded_rectangle(box, radius=8, fill=RIGHT_PAPER, outline=RIGHT, width=2)
    left, top, width = left + PADDING, top + PADDING, width - 2 * PADDING
    note = f"{answer.score:.2f}"
    room = int(_font(16).getlength(note))
    draw.text((left + width, top + 2), note, fill=SOFT, font=_font(16), anchor="ra")
    if answer.right:
        end = left + width - room - 14
        draw.text((end, top + 2), "right", fill=RIGHT, font=_font(16), anchor="ra")
        start = end - int(_font(16).getlength("right")) - 22
        draw.line([(start, top + 11), (start + 5, top + 16), (start + 15, top + 4)], fill=RIGHT, width=3)
        room = left + width - start
    _write(draw, (left, top), answer.title, _font(19), RIGHT if answer.right else INK, width - room - 16)
    for number, line in enumerate(wrap(answer.plot, _font(15), width, 3)):
        draw.text((left, top + 30 + 21 * number), line, fill=SOFT, font=_font(15))


def _scaled(poster: Image.Image) -> Image.Image:
    """The poster as large as its place allows, in its own proportions."""
    poster = to_rgb(poster)
    scale = min(POSTER_SIZE[0] / poster.width, POSTER_SIZE[1] / poster.height)
    size = max(1, round(poster.width * scale)), max(1, round(poster.height * scale))
    return poster.resize(size, Image.Resampling.LANCZOS)
