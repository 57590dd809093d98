import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from modeling import PosterCLIPModel
from processing.catalogue.catalogue import load_catalogue
from scripts import app
from scripts.hub.staging import stage_space
from scripts.space.app import MAX_PLOT_LENGTH, EncodedPoster, Matcher, genres_html, plots_html, poster_html, serve
from tests.elsewhere import run_without_clone
from tests.tiny import tiny_model, tiny_processor

HARM = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Path:
    """What the command writes of eighteen movies, six of them in the test split."""
    root = tmp_path_factory.mktemp("app")
    (root / "movies").mkdir()
    rows = []
    for i, letter in enumerate("abcdefghijklmnopqr"):
        Image.effect_noise((200, 300), 20 + 8 * i).convert("RGB").save(root / "movies" / f"{i}.png")
        row = {"file_name": f"{i}.png", "id": i, "title": f"Movie {letter}", "plot": letter * 3, "poster_text": []}
        rows.append({**row, "genres": ["Drama", "War"][: 1 + i % 2], "split": "test" if i > 11 else "train"})
    (root / "movies" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    processor = tiny_processor()
    processor.run_ocr = True
    tiny_model(use_poster_text=True, char_ngram_dim=64).save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    app.main([str(root / "model"), "--catalogue", str(root / "movies"), "--space", str(root / "space")])
    return root / "space"


@pytest.fixture(scope="module")
def matcher(space) -> Matcher:
    matcher = Matcher(space)
    matcher.recognize_text = None  # the engine takes seconds
    return matcher


@pytest.fixture
def poster(matcher, space) -> EncodedPoster:
    return matcher.encode(space / "catalogue" / "posters" / "000013.jpg")


def test_a_space_is_a_folder_with_all_it_needs(space):
    code = {"app.py", "style.css", "README.md", "requirements.txt"}
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
        "import sys\nfrom pathlib import Path\n\nsys.path.insert(0, sys.argv[1])\nfrom app import Matcher\n"
        "print(Matcher(Path(sys.argv[1])).posters('abc')[0][0]['title'])\n"
    )
    printed = run_without_clone(script, str(space), cwd=tmp_path, cache=tmp_path / "cache")
    assert printed.strip() == matcher.posters("abc")[0][0]["title"]


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


def test_answers_are_those_of_the_model(matcher, poster, space):
    model, processor = PosterCLIPModel.from_pretrained(space / "model").eval(), tiny_processor()
    plots = [movie["plot"] for movie in matcher.movies]
    with torch.no_grad():
        given = processor(images=[poster.image], text=plots, poster_text=[[]], return_tensors="pt")
        output = model(**given)
    scores = (output.image_embeds @ output.text_embeds.T)[0]
    found = matcher.plots(poster)
    assert [movie["plot"] for movie, _ in found] == [plots[row] for row in scores.argsort(descending=True)[:8]]
    torch.testing.assert_close(torch.tensor([score for _, score in found]), scores.sort(descending=True).values[:8])
    best = (matcher.embeds["posters"] @ output.text_embeds[4]).argmax()
    assert matcher.posters(plots[4])[0][0] == matcher.movies[best]


def test_genres_share_one(matcher, poster):
    tags = matcher.tag(poster, "War, Drama,war , Drama,")
    assert {name for name, _ in tags} == {"War", "Drama", "war"}
    assert sum(share for _, share in tags) == pytest.approx(1) and tags[0][1] >= tags[-1][1]
    assert matcher.genres == ["Drama", "War"]


def test_genres_that_could_not_be_asked_for_are_not_offered(space):
    matcher = Matcher(space)
    for found, offered in ((["War"], []), (["War", "x" * 41, "Love, Death", "Drama"], ["Drama", "War"])):
        for movie in matcher.movies:
            movie["genres"] = found
        assert matcher.genres == offered


def test_examples_are_of_the_test_split(matcher):
    assert {movie["split"] for movie in matcher.examples} == {"test"}


@pytest.mark.parametrize("genres", ["War", ",".join(map(str, range(99))), f"War, {'x' * 41}"])
def test_genres_that_are_none_are_named(genres, matcher, poster):
    with pytest.raises(ValueError, match="genre"):
        matcher.tag(poster, genres)


@pytest.mark.parametrize("plot", ["", " \n", None, "x" * 100_000])
def test_a_plot_that_is_none_is_refused(plot, matcher):
    with pytest.raises(ValueError, match=f"Type what|100,000 characters; {MAX_PLOT_LENGTH:,} are the limit"):
        matcher.posters(plot)


def test_a_long_plot_is_cut(matcher):
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


def test_words_and_titles_are_text_and_never_markup(poster):
    line = {"text": HARM, "score": 0.9, "box": [0.1, 0.2, 0.5, 0.3]}
    boxed = poster_html(EncodedPoster(poster.image, [line], poster.embedding), with_ocr=True)
    assert "left:10.00%;top:20.00%;width:40.00%;height:10.00%" in boxed and boxed.count("script&gt;") == 4
    for page in (boxed, plots_html([({"title": HARM, "plot": HARM}, 0.5)]), genres_html([(HARM, 0.5)])):
        assert "<script" not in page


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
    page.wait_for_selector("#plots li")
    assert page.locator("#plots li").count() == 8 and page.locator("#genres li").count() == 2
    pytest.importorskip("rapidocr")
    assert page.locator("#read .words li").all_inner_texts() == ["MOBY"] and page.locator("#read .box").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("tab", name="Plot to posters").click()
    page.fill("#plot textarea", "abc")
    page.get_by_role("button", name="Find posters").click()
    page.wait_for_selector("#posters img")
    assert page.locator("#posters .caption-label").count() == 8
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not outside and not wrong
    page.close()


@pytest.mark.browser
def test_two_at_a_time_and_a_file_that_is_none(address, space, chromium, tmp_path):
    """One chooses an example while another drops what is no image; both are told what is theirs."""
    (tmp_path / "broken.jpg").write_bytes(b"%PDF-1.4")
    one, other = (chromium.new_context().new_page() for _ in range(2))
    for page in (one, other):
        page.goto(address)
        page.wait_for_selector("#examples img")
    one.locator("#examples .thumbnail-item").nth(1).click()
    drop(other, tmp_path / "broken.jpg")
    other.wait_for_selector("text=broken.jpg cannot be used")
    one.wait_for_selector("#plots li")
    assert other.locator("#plots li").count() == 0 and one.locator(".toast-body").count() == 0
    for page in (one, other):  # a good poster after a bad one, and a bad one after a good one
        page.locator("#poster button[aria-label=Clear]").click()
    drop(other, space / "catalogue" / "posters" / "000002.jpg")
    other.wait_for_selector("#plots li")
    drop(one, tmp_path / "broken.jpg")
    one.wait_for_selector("text=broken.jpg cannot be used")
    assert one.locator("#plots li").count() == 0
    for page in (one, other):
        page.context.close()
