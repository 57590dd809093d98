import csv
import io
import json
import re

import pytest
from datasets import Dataset
from PIL import Image

from processing.reporting.review import COLUMNS, csv_rows, thumbnail, write_csv, write_review

HARM = '</script><script>document.title = "harm"</script>'
MOVIES = [
    {"id": "7", "title": "Moby Dick", "year": 1956, "plots": ["A captain hunts a white whale. " * 20]},
    {"id": "8", "title": "The Sea, the Sea", "year": None, "plots": []},
    {"id": "9", "title": None, "year": 1931, "plots": ["A count leaves his castle."]},
    {"id": "10", "title": HARM, "year": 2001, "plots": [HARM]},
    {"id": "11", "title": "Café Noir", "year": 2009, "plots": ["Two lovers in Seoul."]},
]


def candidate(number, confidence=0.5, matched=()):
    movie = MOVIES[number]
    about = {name: movie[name] for name in ("id", "title", "year")}
    return {**about, "confidence": confidence, "similarity": 0.25, "matched": list(matched)}


def match(poster, status, candidates, chosen=0, error=None, text=("MOBY", "DICK")):
    """A row of what `Matcher.match` returns; its movie is that of `candidates[chosen]`, none where that is None."""
    nothing = dict.fromkeys(("id", "title", "year", "confidence", "similarity"))
    found = nothing | {"matched": []} if chosen is None else candidates[chosen]
    row = {"poster": poster, "status": status, **found, "poster_text": list(text), "candidates": candidates}
    return row | {"error": error}


MATCHES = [
    match("a.jpg", "accepted", [candidate(0, 0.97, ["moby", "dick"]), candidate(1, 0.02)]),
    match("tree/b, c.jpg", "review", [candidate(1, 0.4), candidate(0, 0.3, ["moby"]), candidate(3, 0.1)], chosen=1),
    match("d.jpg", "review", [candidate(2, 0.2), candidate(3, 0.1)], text=[HARM]),
    match("e.jpg", "not in the table", [candidate(0, 0.01)], chosen=None),
    match("f.jpg", "failed", [], chosen=None, error="image is truncated", text=[]),
]


def written(path, matches=MATCHES, movies=MOVIES):
    """The page of these matches, in a file."""
    picture = thumbnail(Image.effect_noise((400, 600), 80).convert("RGB"))
    pictures = [None if row["error"] else picture for row in matches]
    write_review(path, Dataset.from_list(matches), movies, pictures, "5 posters against 5 movies.")
    return path


def as_dicts(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_has_the_posters_movie_and_then_the_other_candidates_best_first():
    header, *rows = csv_rows(Dataset.from_list(MATCHES))
    assert header == list(COLUMNS) and {len(row) for row in rows} == {len(COLUMNS)}
    accepted, assigned, _, absent, failed = (dict(zip(header, row, strict=True)) for row in rows)
    assert [accepted[name] for name in ("id", "confidence", "matched", "id_2")] == ["7", "0.9700", "moby; dick", "8"]
    assert [assigned[name] for name in ("id", "title", "id_2", "title_2", "id_3")] == [
        *("7", "Moby Dick", "8", "The Sea, the Sea", "10")
    ]
    assert [absent[name] for name in ("id", "title", "confidence", "id_2", "confidence_2")] == [
        "",
        "",
        "",
        "7",
        "0.0100",
    ]
    assert [failed[name] for name in ("status", "id", "error")] == ["failed", "", "image is truncated"]


def test_the_csv_file_is_read_by_excel_and_by_python_as_it_was_written(tmp_path):
    write_csv(tmp_path / "matches.csv", Dataset.from_list(MATCHES))
    content = (tmp_path / "matches.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfposter,") and content.endswith(b"\r\n")
    rows = as_dicts(content.decode("utf-8-sig"))
    assert [row["poster"] for row in rows] == [row["poster"] for row in MATCHES]
    assert rows[2]["poster_text"] == HARM


def test_a_thumbnail_is_small_and_keeps_its_proportions():
    with Image.open(io.BytesIO(thumbnail(Image.new("RGB", (1000, 2000))))) as small:
        assert small.size == (135, 270) and small.format == "WEBP"


def test_the_page_is_one_file_and_what_a_table_says_is_no_markup(tmp_path):
    source = written(tmp_path / "review.html").read_text(encoding="utf-8")
    assert source.count("<script") == 3 and HARM not in source
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", source)
    assert "default-src 'none'" in source


@pytest.fixture
def review(chromium, tmp_path):
    """Opens the page of matches in a browser of a given width; nothing may go wrong in it or be asked of anybody."""
    wrong, asked = [], []
    context = chromium.new_context()

    def open_page(name="review", width=1280, matches=MATCHES):
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(written(tmp_path / f"{name}.html", matches).as_uri())
        return page

    yield open_page
    context.close()
    assert not wrong
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def download(page):
    """The rows of the corrected CSV, and its bytes."""
    with page.expect_download() as event:
        page.get_by_role("button", name="Download CSV").click()
    with open(event.value.path(), "rb") as file:
        content = file.read()
    return as_dicts(content.decode("utf-8-sig")), content


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.browser
def test_a_download_without_decisions_is_the_csv_file(review, tmp_path):
    write_csv(tmp_path / "matches.csv", Dataset.from_list(MATCHES))
    assert download(review())[1] == (tmp_path / "matches.csv").read_bytes()


@pytest.mark.browser
def test_doubtful_posters_come_first_the_most_doubtful_before_the_others(review):
    page = review()
    assert page.locator("article h2").all_inner_texts() == ["d.jpg", "tree/b, c.jpg"]
    page.get_by_role("button", name="All 5").click()
    assert page.locator("article h2").all_inner_texts() == ["d.jpg", "tree/b, c.jpg", "e.jpg", "a.jpg", "f.jpg"]


@pytest.mark.browser
def test_the_keyboard_decides_and_the_corrected_csv_says_so(review):
    page = review()
    page.get_by_role("button", name="All 5").click()
    press(page, "Enter", "2", "1", "n")
    assert page.locator("#progress").inner_text() == "4 of 5 decided"
    rows = {row["poster"]: row for row in download(page)[0]}
    told = {poster: [row[name] for name in ("status", "id", "confidence", "matched")] for poster, row in rows.items()}
    assert told == {
        "d.jpg": ["confirmed", "9", "0.2000", ""],
        "tree/b, c.jpg": ["changed", "8", "0.4000", ""],
        "e.jpg": ["changed", "7", "0.0100", ""],
        "a.jpg": ["none", "", "", ""],
        "f.jpg": ["failed", "", "", ""],
    }
    assert rows["a.jpg"]["id_2"] == "8"


@pytest.mark.browser
def test_enter_agrees_that_a_movie_is_not_in_the_table(review):
    page = review(matches=MATCHES[3:4])
    press(page, "Enter")
    assert download(page)[0][0]["status"] == "none"


@pytest.mark.browser
def test_the_mouse_decides_takes_back_and_finds_a_movie_that_is_no_candidate(review):
    page = review()
    first, second = page.locator("article").all()
    first.get_by_role("button", name=HARM).click()
    second.get_by_role("button", name="None of them").click()
    assert page.locator(".decision").all_inner_texts() == ["your decision: changed", "your decision: none"]
    second.get_by_role("button", name="None of them").click()
    assert page.locator(".decision").all_inner_texts() == ["your decision: changed", ""]
    second.get_by_label("Another movie").fill("noir cafe")
    assert second.locator(".found .title").all_inner_texts() == ["Café Noir"]
    assert second.locator(".found .movie").bounding_box()["width"] > 200
    second.locator(".found button").click()
    rows = download(page)[0]
    assert [rows[1][name] for name in ("status", "id", "title", "year", "confidence")] == [
        *("changed", "11", "Café Noir", "2009", "")
    ]
    assert second.locator("[aria-pressed=true] .title").inner_text() == "Café Noir"


@pytest.mark.browser
def test_keys_in_the_search_field_are_letters(review):
    page = review()
    page.get_by_label("Another movie").first.press_sequentially("n1u")
    page.keyboard.press("Enter")
    assert page.locator("#progress").inner_text() == "0 of 2 decided"


@pytest.mark.browser
def test_decisions_survive_a_reload_and_are_those_of_one_run(review):
    page = review()
    press(page, "Enter", "n")
    page.reload()
    assert page.locator("#progress").inner_text() == "2 of 2 decided"
    press(page, "u")
    page.reload()
    assert page.locator("#progress").inner_text() == "1 of 2 decided"
    other = review("other", matches=MATCHES[:3])
    assert other.locator("#progress").inner_text() == "0 of 2 decided"


@pytest.mark.browser
def test_what_matched_is_marked_in_the_title_and_on_the_poster(review):
    page = review()
    page.get_by_role("button", name="Accepted 1").click()
    assert page.locator(".text mark").all_inner_texts() == ["MOBY", "DICK"]
    assert page.locator(".title mark").all_inner_texts() == ["Moby", "Dick"]


@pytest.mark.browser
def test_words_that_ocr_has_run_together_are_marked_in_the_title(review):
    page = review(
        matches=[match("a.jpg", "accepted", [candidate(1, 0.9, ["THESEA", "THESEA"])], text=["THESEA", "2024"])]
    )
    assert page.locator(".text mark").all_inner_texts() == ["THESEA"]
    page = review("moby", matches=[match("a.jpg", "accepted", [candidate(0, 0.9, ["MOBYDICK"])], text=["MOBYDICK"])])
    assert page.locator(".title mark").all_inner_texts() == ["Moby", "Dick"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_poster_stands_beside_its_candidates_and_nothing_scrolls_sideways(review, width):
    page = review(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    card = page.locator("article").first
    assert card.locator("img").evaluate("image => image.naturalWidth") > 0
    assert card.locator(".candidate").first.bounding_box()["width"] > 200
    assert page.title() == "Review of matches" and HARM in card.inner_text()


@pytest.mark.browser
def test_of_many_posters_one_page_is_drawn_at_a_time(review):
    many = [match(f"{i}.jpg", "review", [candidate(0, 0.3 + i / 1000)]) for i in range(50)]
    page = review(matches=many)
    assert page.locator("article").count() == 20
    press(page, *["ArrowDown"] * 20)
    assert page.locator("#page").inner_text() == "Page 2 of 3"
    assert page.locator("article.current h2").inner_text() == "20.jpg"
    page.get_by_role("button", name="Next").click()
    assert page.locator("article").count() == 10


@pytest.mark.browser
def test_no_confidence_is_shown_as_none_or_all(review):
    page = review(matches=[match("a.jpg", "review", [candidate(0, 0.9991), candidate(1, 0.0009), candidate(3, 0.42)])])
    assert page.locator(".score").all_inner_texts() == ["> 99 %", "< 1 %", "42 %"]


@pytest.mark.browser
def test_without_calibration_similarities_are_shown_and_no_percentages(review):
    page = review(matches=[match("a.jpg", "review", [candidate(0, None)])])
    assert page.locator(".score").inner_text() == "0.25"


def test_the_data_of_the_page_are_json(tmp_path):
    source = written(tmp_path / "review.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*)</script>', source)[1])
    assert [row["suggested"] for row in data["rows"]] == [0, 0, 2, None, None]
    assert data["movies"][3]["title"] == HARM and len(data["movies"][0]["plot"]) <= 250
