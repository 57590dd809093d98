import pytest

from processing.posterclip.ocr_text import compose_text


def line(text, top=0.1, height=0.02, score=0.9, box=True):
    return {"text": text, "score": score, "box": [0.1, top, 0.9, top + height] if box else None}


def test_the_tallest_lines_come_first_and_again_in_their_place():
    lines = [line("A voyage"), line("MOBY", 0.5, 0.1), line("DICK", 0.6, 0.07), line("by Melville", 0.9, 0.05)]
    assert compose_text(lines) == "MOBY DICK. A voyage MOBY DICK by Melville"


def test_lines_keep_their_order():
    assert compose_text([line("below", 0.8), line("above", 0.1)]) == "below above. below above"


@pytest.mark.parametrize("nothing", [None, [], "", " \n", [line("")], [line("...")], [line("1851")], [line("A 1 2")]])
def test_a_poster_without_words_has_no_text(nothing):
    assert compose_text(nothing) == ""


def test_a_text_of_ones_own_is_taken_as_it_is():
    assert compose_text(" MOBYdick, 1851 \n") == "MOBYdick, 1851"


def test_lines_that_are_unsure_or_no_words_are_left_out_and_are_no_title():
    lines = [
        line("WHA1E", 0.1, 0.3, score=0.49),
        line("1851", 0.5, 0.3),
        line("a", 0.6, 0.3),
        line("Moby"),
        line("Ahab"),
    ]
    assert compose_text(lines) == "Moby Ahab. Moby Ahab"
    assert compose_text([line("Moby", score=0.5)]) == "Moby. Moby"


def test_there_is_no_title_where_nobody_knows_how_tall_lines_are():
    assert compose_text([line("MOBY", 0.5, 0.1), line("A voyage", box=False)]) == "MOBY A voyage"
    assert compose_text([line("MOBY", 0.5, 0.1), line("7", box=False)]) == "MOBY. MOBY"  # that line is left out


def test_boxes_without_a_height_do_no_harm():
    assert compose_text([line("Moby", height=0), line("Dick", height=0)]) == "Moby Dick. Moby Dick"


def test_200_lines_are_all_there():
    words = [f"line{'abcdefghij'[i // 20]}{'abcdefghijklmnopqrst'[i % 20]}" for i in range(200)]
    lines = [line(word, i / 200, 0.004 if i else 0.1) for i, word in enumerate(words)]
    assert compose_text(lines) == f"{words[0]}. {' '.join(words)}"


@pytest.mark.parametrize("text", ["海底两万里", "موبي ديك", "מובי דיק", "Война и мир", "МОБИдик", "Ünïcode ßtraße"])
def test_other_scripts_pass_as_they_are(text):
    assert compose_text([line(text)]) == f"{text}. {text}"


@pytest.mark.parametrize(
    ("printed", "parted"),
    [
        ("MOBYdick", "MOBY dick"),
        ("mobyDICK", "moby DICK"),
        ("DICKtheWHALE", "DICK the WHALE"),
        ("Moby Dick", "Moby Dick"),
        ("McDonald", "McDonald"),
        ("iPhone", "iPhone"),
        ("MOBY-DICK", "MOBY-DICK"),
    ],
)
def test_words_that_were_run_together_are_parted(printed, parted):
    assert compose_text([line(printed, box=False)]) == parted
