import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from modeling import PosterCLIPModel
from processing.catalogue.catalogue import load_catalogue
from scripts import app
from scripts.hub.staging import stage_space
from scripts.space.app import answers_html, html, poster_html, serve
from scripts.space.matcher import MAX_TEXT_LENGTH, Answer, EncodedPoster, Matcher
from tests.elsewhere import run_without_clone
from tests.tiny import tiny_processor

HARM = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def matcher(space) -> Matcher:
    matcher = Matcher(space)
    matcher.recognize_text = None  # the engine takes seconds
    return matcher


@pytest.fixture
def poster(matcher, space) -> EncodedPoster:
    return matcher.encode(space / "catalogue" / "posters" / "000013.jpg")


def test_a_space_is_a_folder_with_all_it_needs(space):
    code = {"app.py", "matcher.py", "answers.html", "style.css", "README.md", "requirements.txt"}
    assert {path.name for path in space.iterdir()} == code | {"model", "catalogue"}
    card = (space / "README.md").read_text()
    assert card.startswith("---\ntitle: ") and "sdk: gradio" in card and "app_file: app.py" in card
    assert len(load_catalogue(str(space / "catalogue")).splits["test"]) == 6


def test_a_space_can_be_pushed_as_it_is(space, tmp_path):
    staged = stage_space(space, tmp_path)
    files = {path.relative_to(space).as_posix() for path in space.rglob("*") if path.is_file()}
    assert staged.repo_type == "space" and set(staged.files) == files and staged.notes == []


def test_a_folder_that_is_no_app_is_not_pushed(space, tmp_path):
    with pytest.raises(ValueError, match=r"is no app that can be pushed: there is no app\.py"):
        stage_space(space / "catalogue", tmp_path / "first")
    half = shutil.copytree(space, tmp_path / "half")
    (half / "catalogue" / "posters" / "000003.jpg").unlink()
    with pytest.raises(ValueError, match=r"there is no catalogue/posters/000003\.jpg"):
        stage_space(half, tmp_path / "second")
    (half / "catalogue" / "embeddings.safetensors").unlink()
    with pytest.raises(ValueError, match=r"there is no catalogue/embeddings\.safetensors"):
        stage_space(half, tmp_path / "third")


@pytest.mark.slow
def test_a_space_needs_nothing_of_the_clone(space, matcher, tmp_path):
    script = tmp_path / "ask.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n\nsys.path.insert(0, sys.argv[1])\nimport app\n"
        "print(app.Matcher(Path(sys.argv[1])).search('abc')[0].movie['title'])\n"
    )
    printed = run_without_clone(script, str(space), cwd=tmp_path, cache=tmp_path / "cache")
    assert printed.strip() == matcher.search("abc")[0].movie["title"]


def test_a_space_is_not_written_over_something(space):
    """Which is said before the model and the catalogue are looked at."""
    with pytest.raises(SystemExit, match="is not empty"):
        app.main(["nowhere", "--catalogue", "nowhere", "--space", str(space)])


def test_a_space_is_whole_or_absent(space, tmp_path, monkeypatch):
    command = [str(space / "model"), "--catalogue", str(space.parent / "movies"), "--space", str(tmp_path / "new")]
    with monkeypatch.context() as full:
        full.setattr(app.json, "dumps", lambda *_, **__: (_ for _ in ()).throw(OSError("No space left on device")))
        with pytest.raises(SystemExit, match="No space left"):
            app.main(command)
    assert not (tmp_path / "new").exists()
    app.main(command)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_poster_finds_the_movies_that_the_model_finds(matcher, poster, space):
    model, processor = PosterCLIPModel.from_pretrained(space / "model").eval(), tiny_processor()
    plots, titles = [movie["plots"][0] for movie in matcher.movies], [movie["title"] for movie in matcher.movies]
    with torch.no_grad():
        given = processor(images=[poster.image], text=plots, title=titles, poster_text=[[]], return_tensors="pt")
        output = model(**given)
    scores = (output.image_embeds @ output.text_embeds.T)[0]
    found = matcher.find(poster, k=8)
    assert [of.movie["title"] for of in found] == [titles[row] for row in scores.argsort(descending=True)[:8]]
    torch.testing.assert_close(torch.tensor([of.similarity for of in found]), scores.sort(descending=True).values[:8])


def test_the_first_answers_say_why(matcher, space):
    matcher.recognize_text = lambda *_: [{"text": "xddd", "score": 0.9, "box": [0.1, 0.2, 0.9, 0.4]}]
    try:
        found = matcher.find(matcher.encode(space / "catalogue" / "posters" / "000003.jpg"), k=12)
    finally:
        matcher.recognize_text = None
    for of in found[:8]:
        assert sum(of.why["parts"].values()) == pytest.approx(of.similarity, abs=1e-5)
    assert [of.why for of in found[8:]] == [None] * 4
    named = next(of for of in found if of.movie["title"] == "Movie d")
    assert [each["word"] for each in named.why["words"]] == ["xddd"]
    other = next(of for of in found[:8] if not of.why["words"] and not of.why["ngrams"])
    assert "Words:" not in answers_html([other]) and "Letters:" not in answers_html([other])
    assert "<mark>xddd</mark>" in answers_html([named]) and "%" not in answers_html([named])


def test_words_find_titles_and_plots_and_posters_together(matcher):
    found = matcher.search("ddd", k=18)
    assert len({of.movie["id"] for of in found}) == len(found) == 18
    assert {of.found_by for of in found} == {"title and plots", "poster"}
    query = matcher.embed_texts(["ddd"])[0]
    for of in found:
        side = "posters" if of.found_by == "poster" else "movies"
        row = matcher.movies.index(of.movie)
        assert of.similarity == pytest.approx(float(matcher.embeds[side][row] @ query), abs=1e-6)


def test_answers_that_wrong_movies_often_reach_are_marked_as_weak(matcher):
    usual, rare = matcher.levels["movies"]
    assert usual <= rare
    given = (usual - 0.1, (usual + rare) / 2, rare + 0.1)
    found = [matcher._answer(0, "movies", similarity) for similarity in given]
    assert [of.strength for of in found] == ["weak", "possible", "strong"]
    page = answers_html(found)
    assert all(f"{strength} match" in page for strength in ("weak", "possible", "strong"))


def test_a_movie_with_two_posters_is_one_answer(matcher):
    again = {**matcher.movies[3], "file_name": "posters/again.jpg"}
    other = object.__new__(Matcher)
    vars(other).update({**vars(matcher), "movies": [*matcher.movies, again]})
    other.embeds = {side: torch.cat([rows, rows[3:4]]) for side, rows in matcher.embeds.items()}
    assert len(other.search("ddd", k=99)) == 18


def test_genres_have_plain_similarities(matcher, poster):
    tags = matcher.tag(poster, "War, Drama,war , Drama,")
    assert {name for name, _ in tags} == {"War", "Drama", "war"}
    expected = float(matcher.embed_texts(["A story of war."])[0] @ poster.embedding[0])
    assert dict(tags)["War"] == pytest.approx(expected, abs=1e-6)
    assert [similarity for _, similarity in tags] == sorted((similarity for _, similarity in tags), reverse=True)
    assert matcher.genres == ["Drama", "War"]


def test_genres_that_could_not_be_asked_for_are_not_offered(space):
    matcher = Matcher(space)
    for found, offered in ((["War"], []), (["War", "x" * 41, "Love, Death", "Drama"], ["Drama", "War"])):
        for movie in matcher.movies:
            movie["genres"] = found
        assert matcher.genres == offered


def test_examples_are_of_movies_that_the_model_was_not_trained_on(matcher):
    assert {movie["split"] for movie in matcher.examples} == {"test"}


@pytest.mark.parametrize("genres", ["War", ",".join(map(str, range(99))), f"War, {'x' * 41}"])
def test_genres_that_are_none_are_named(genres, matcher, poster):
    with pytest.raises(ValueError, match="genre"):
        matcher.tag(poster, genres)


@pytest.mark.parametrize("plot", ["", " \n", None, "x" * 100_000])
def test_a_text_that_is_none_is_refused(plot, matcher):
    with pytest.raises(ValueError, match=f"Type what|100,000 characters; {MAX_TEXT_LENGTH:,} are the limit"):
        matcher.search(plot)


def test_a_long_text_is_cut(matcher):
    assert matcher.is_cut("abc " * 50) and not matcher.is_cut("abc")


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4", b"PK\x03\x04", b"\xff\xd8\xff\xe0", b"%!PS-Adobe-3.0 EPSF-3.0"])
def test_a_file_that_is_no_image_is_named(content, matcher, tmp_path):
    (tmp_path / "nope.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"^nope\.jpg cannot be used: (not an image|image is)"):
        matcher.encode(tmp_path / "nope.jpg")


def test_an_image_of_too_many_pixels_is_not_decoded(matcher, tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    with pytest.raises(
        ValueError, match=r"^huge\.png cannot be used: too large: 9000 x 9000 = 81000000 pixels, limit 40000000"
    ):
        matcher.encode(tmp_path / "huge.png")
    Image.new("1", (14_000, 14_000)).save(tmp_path / "huger.png")
    with pytest.raises(ValueError, match=r"^huger\.png cannot be used: too large"):
        matcher.encode(tmp_path / "huger.png")


def test_cmyk_and_animated_posters_are_taken(matcher, tmp_path):
    Image.new("CMYK", (20, 30)).save(tmp_path / "cmyk.jpg")
    frames = [Image.new("P", (20, 30), shade) for shade in (1, 2)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    for name in ("cmyk.jpg", "moving.gif"):
        assert matcher.encode(tmp_path / name).image.mode == "RGB"


def test_words_and_titles_are_text_and_never_markup(matcher, poster):
    line = {"text": HARM, "score": 0.9, "box": [0.1, 0.2, 0.5, 0.3]}
    boxed = poster_html(replace(poster, lines=[line]), with_ocr=True)
    assert "left:10.00%;top:20.00%;width:40.00%;height:10.00%" in boxed and boxed.count("script&gt;") == 4
    movie = {**matcher.movies[0], "title": HARM, "plots": [HARM], "genres": [HARM], "year": -300, "file": f'x" {HARM}'}
    why = {
        "parts": {"title": 0.5},
        "words": [{"word": HARM, "similarity": 0.1}],
        "ngrams": [{"ngram": HARM, "similarity": 0.1}],
    }
    pages = [answers_html([Answer(movie, "poster", 0.5, "weak", why)]), html("error", message=HARM)]
    for page in (boxed, *pages, html("genres", tags=[(HARM, 0.5)]), html("note", message=HARM)):
        assert "<script" not in page and "script" in page
    assert 'x" ' not in pages[0]


@pytest.fixture(scope="module")
def address(space):
    """The address of the app of a model with poster text."""
    pytest.importorskip("gradio", minversion="6")
    page = serve(space, prevent_thread_lock=True, quiet=True)
    yield page.local_url
    page.close()


def drop(page, file):
    page.wait_for_selector("#examples img")
    page.set_input_files("#poster input[type=file]", file)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_both_directions_in_a_browser(address, chromium, tmp_path, width):
    """Nobody else is asked for anything, nothing is wrong, nothing scrolls sideways."""
    poster = Image.new("RGB", (320, 480), "navy")
    ImageDraw.Draw(poster).text((160, 100), "MOBY", "white", ImageFont.load_default(size=60), anchor="mm")
    poster.save(tmp_path / "poster.png")
    page = chromium.new_page(viewport={"width": width, "height": 900})
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    drop(page, tmp_path / "poster.png")
    page.wait_for_selector("#found li")
    assert page.locator("#found > * .movies").first.locator("> li").count() == 8
    assert page.locator("#genres li").count() == 2
    pytest.importorskip("rapidocr")
    assert page.locator("#read .words li").all_inner_texts() == ["MOBY"] and page.locator("#read .box").count() == 1
    shown, found, samples = (page.locator(name).bounding_box() for name in ("#read img", "#found", "#examples"))
    assert shown["y"] + shown["height"] <= samples["y"] and found["y"] <= samples["y"]
    plot = page.locator("#found .plot").first
    assert not plot.is_visible()
    page.locator("#found summary").first.click()
    assert plot.is_visible()
    assert not page.locator("#found .more > ol > li").first.is_visible()
    page.get_by_text("More results").click()
    assert (
        page.locator("#found .more > ol > li").count() == 10
        and page.locator("#found .more > ol > li").first.is_visible()
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("tab", name="By words").click()
    page.fill("#text textarea", "abc")
    page.press("#text textarea", "Enter")
    page.wait_for_selector("#results li")
    image = page.locator("#results img").first
    image.scroll_into_view_if_needed()
    page.wait_for_function("element => element.naturalWidth > 0", arg=image.element_handle())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not outside and not wrong
    page.close()


@pytest.mark.browser
def test_two_at_a_time_and_a_file_that_is_none(address, space, chromium, tmp_path):
    """One chooses an example while another drops what is no image; both are told what is theirs, and it stays."""
    (tmp_path / "broken.jpg").write_bytes(b"%PDF-1.4")
    one, other = (chromium.new_context().new_page() for _ in range(2))
    for page in (one, other):
        page.goto(address)
        page.wait_for_selector("#examples img")
    one.locator("#examples .thumbnail-item").nth(1).click()
    drop(other, tmp_path / "broken.jpg")
    other.wait_for_selector("#found .error:has-text('broken.jpg cannot be used')")
    one.wait_for_selector("#found li")
    assert other.locator("#found li").count() == 0 and one.locator(".error").count() == 0
    for page in (one, other):  # a good poster after a bad one, and a bad one after a good one
        page.locator("#poster button[aria-label=Clear]").click()
    drop(other, space / "catalogue" / "posters" / "000002.jpg")
    other.wait_for_selector("#found li")
    drop(one, tmp_path / "broken.jpg")
    one.wait_for_selector("#found .error:has-text('broken.jpg cannot be used')")
    assert one.locator("#found li").count() == 0 and other.locator(".error").count() == 0
    for page in (one, other):
        page.context.close()
