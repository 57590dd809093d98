import numpy as np
import pytest
from PIL import Image, ImageColor, ImageFont

from processing.reporting import contact_sheet as sheet
from processing.reporting.contact_sheet import Answer, contact_sheet, without_accents, wrap

FONT = ImageFont.load_default(15)
ENDLESS = [
    "x" * 100_000,
    "W" * 300,
    "a word " * 200_000,
    "七人の侍 " * 100,
    "Семь самураев " * 100,
    "é\u0301\u200b\ufeff" * 200,
    "🎬" * 300,
    "\x00\t\n" * 300,
    "\ud800" * 300,
]


def answers(right=None, text="A whale and a captain.", title="Moby-Dick"):
    return [Answer(title, text, 0.5 - 0.1 * place, place == right) for place in range(3)]


def page(n=1, right=None, **text):
    posters = [Image.new("RGB", (200, 300), "navy")] * n
    return contact_sheet(
        posters, ["Dracula"] * n, [answers(right, **text)] * n, [57] * n, heading="Held-out", footer="drawn"
    )


def pixels(image, colour):
    """Where a colour stands: (n, 2) of y and x."""
    return np.argwhere((np.asarray(image) == ImageColor.getrgb(colour)).all(axis=-1))


def test_two_cards_a_row():
    heights = [page(n).height for n in (1, 2, 3, 5)]
    assert page().width == 1600
    assert heights[0] == heights[1]
    assert np.diff(heights[1:]).tolist() == [sheet.CARD_HEIGHT + sheet.GAP] * 2


def test_margins_are_even():
    drawn = np.argwhere((np.asarray(page(4)) != ImageColor.getrgb(sheet.PAPER)).any(axis=-1))
    assert drawn[:, 1].min() == sheet.MARGIN
    assert drawn[:, 1].max() == sheet.PAGE_WIDTH - sheet.MARGIN - 1


@pytest.mark.parametrize("right", [0, 1, 2])
def test_the_right_plot_is_boxed_and_ticked_where_it_stands(right):
    image = page(right=right)
    box = pixels(image, sheet.RIGHT_PAPER)
    expected_top = sheet.MARGIN + 64 + sheet.GAP + right * (sheet.ANSWER_HEIGHT + 6)
    assert expected_top <= box[:, 0].min() and box[:, 0].max() < expected_top + sheet.ANSWER_HEIGHT
    assert len(pixels(image, sheet.RIGHT)) > 1000
    assert len(pixels(image, sheet.MISSED)) == 0


def test_a_right_plot_that_is_not_shown_has_its_rank_stated():
    image = page(right=None)
    assert len(pixels(image, sheet.MISSED)) > 100
    assert len(pixels(image, sheet.RIGHT)) == len(pixels(image, sheet.RIGHT_PAPER)) == 0


@pytest.mark.parametrize("text", ENDLESS, ids=lambda text: ascii(text[:6]))
def test_any_text_stays_within_its_card(text):
    poster = Image.new("RGB", (200, 300), "navy")
    image = contact_sheet([poster], [text], [answers(None, text, text)], [10**9], heading=text, footer=text)
    plain = Image.new("RGB", image.size, sheet.PAPER)
    card_top = sheet.MARGIN + 64
    plain.paste(
        image.crop((sheet.MARGIN, card_top, sheet.MARGIN + sheet.CARD_WIDTH, card_top + sheet.CARD_HEIGHT)),
        (sheet.MARGIN, card_top),
    )
    for top, bottom in ((0, card_top), (image.height - 72, image.height)):
        # A letter's soft edge may lean over its advance by a pixel.
        plain.paste(image.crop((sheet.MARGIN - 1, top, 1601 - sheet.MARGIN, bottom)), (sheet.MARGIN - 1, top))
    assert plain.tobytes() == image.tobytes()
    # Within the card, nothing touches its inner margin or the gap between the poster and the answers.
    card = np.asarray(image)[card_top + 12 : card_top + sheet.CARD_HEIGHT - 12]
    poster_end = sheet.MARGIN + sheet.GAP + sheet.POSTER_SIZE[0]
    card_end = sheet.MARGIN + sheet.CARD_WIDTH
    for start, end in ((poster_end + 1, poster_end + sheet.GAP), (card_end - sheet.GAP, card_end - 1)):
        assert (card[:, start:end] == ImageColor.getrgb(sheet.CARD)).all()


@pytest.mark.parametrize("text", ENDLESS, ids=lambda text: ascii(text[:6]))
@pytest.mark.parametrize(("width", "max_lines"), [(440, 3), (90, 1), (220, 2)])
def test_wrapped_lines_fit(text, width, max_lines):
    lines = wrap(text, FONT, width, max_lines)
    assert 1 <= len(lines) <= max_lines
    assert all(FONT.getlength(line) <= width for line in lines)


def test_wrap_keeps_what_fits_and_marks_what_it_leaves_out():
    assert wrap("short  text", FONT, 400, 2) == ["short text"]
    assert wrap("", FONT, 400, 2) == [""]
    assert wrap("one two three four", FONT, 70, 1) == ["one two…"]
    assert wrap("Amélie – “Ødegård”", FONT, 400, 1) == ["Amelie - “Odegard”"]
    assert wrap("七人の侍 (Seven Samurai)", FONT, 400, 1) == ["… (Seven Samurai)"]
    assert wrap("W" * 300, FONT, 100, 1)[0].endswith("W…")


def test_accents_are_dropped_rather_than_drawn_as_empty_boxes():
    assert without_accents("Les Misérables, Māui, Œdipe, Ærø") == "Les Miserables, Maui, OEdipe, AEro"
    assert without_accents("Ω") == "Ω"


@pytest.mark.parametrize(
    ("poster", "colour"),
    [
        (Image.fromarray(np.full((6, 4), 257 * 100, np.uint16)), (100, 100, 100)),
        (Image.new("RGBA", (4, 6), (0, 0, 0, 0)), (255, 255, 255)),
    ],
    ids=["16-bit grey", "transparent"],
)
def test_a_poster_is_shown_as_the_model_sees_it(poster, colour):
    image = contact_sheet([poster], ["A"], [answers(0)], [1], heading="", footer="")
    assert image.getpixel((sheet.MARGIN + sheet.GAP + 110, sheet.MARGIN + 64 + sheet.GAP + 165)) == colour


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "I;16", "1"])
@pytest.mark.parametrize("size", [(200, 300), (1, 2000), (2000, 1), (3, 3)])
def test_any_poster_is_drawn_in_its_place(mode, size):
    image = contact_sheet([Image.new(mode, size)], ["A"], [answers(0)], [1], heading="", footer="")
    assert image.mode == "RGB"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"posters": []}, "at least one"),
        ({"titles": ["A", "B"]}, r"\[1, 2, 1, 1\]"),
        ({"ranks": []}, r"\[1, 1, 1, 0\]"),
        ({"answers": [answers() + answers()]}, "at most 3 answers, got 6"),
    ],
)
def test_bad_input(change, message):
    good = {"posters": [Image.new("RGB", (2, 3))], "titles": ["A"], "answers": [answers()], "ranks": [1]}
    with pytest.raises(ValueError, match=message):
        contact_sheet(**{**good, **change}, heading="", footer="")
