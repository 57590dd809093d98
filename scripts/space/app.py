"""An app in which posters find movies, and words find movies and posters: `python app.py` in its folder.

`scripts/app.py` writes the folder, which needs nothing else of the project:

FOLDER/app.py, matcher.py                    the page, and what it answers
    FOLDER/answers.html, style.css               how answers and the page look
    FOLDER/README.md, requirements.txt           what makes the folder a Space
FOLDER/model/                                a saved model with its code
FOLDER/catalogue/metadata.jsonl, posters/    an imagefolder of the movies
FOLDER/catalogue/embeddings.safetensors      of the posters and movies, in the order of the rows
"""

import logging
from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from transformers.utils import logging as transformers_logging

if __package__:
    from .matcher import ANSWERS, Answer, EncodedPoster, Matcher
else:  # a Space is no package
    from matcher import ANSWERS, Answer, EncodedPoster, Matcher  # type: ignore[no-redef]

MAX_FILE = "20mb"
DISPLAY_SIZE = 900  # pixels of the longer side of a poster that is sent back
LIGHT = "() => document.body.classList.remove('dark')"

PAPER, CARD, LINE = "#f4f2ee", "#ffffff", "#dedad2"
INK, SOFT = "#26241f", "#6b665d"
GREEN, GREEN_PAPER, GREEN_DARK = "#1f7a4d", "#e6f3ea", "#17603c"

templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)


def html(part: str, **content: Any) -> str:
    """Returns a part of answers.html, filled, with all text escaped."""
    return str(getattr(templates.get_template("answers.html").module, part)(**content))


def poster_html(poster: EncodedPoster, with_ocr: bool) -> str:
    """Returns HTML of a poster with boxes around its lines of text, and the lines below it."""
    small = poster.image.copy()
    small.thumbnail((DISPLAY_SIZE, DISPLAY_SIZE))
    small.save(content := BytesIO(), "JPEG", quality=88)
    data = b64encode(content.getvalue()).decode()
    lines = {line["text"]: line for line in poster.lines}.values()  # several readings may agree
    return html("poster", data=data, lines=list(lines), with_ocr=with_ocr)


def answers_html(answers: Sequence[Answer]) -> str:
    """Returns HTML of the answers, each with its poster; plot, year and genres open by a click."""
    files = {of.movie["file"]: f"gradio_api/file={quote(of.movie['file'])}" for of in answers}
    return html("answers", first=answers[:ANSWERS], more=answers[ANSWERS:], files=files)


def build(matcher: Matcher) -> tuple[Any, dict[str, Any]]:
    """Returns the page and the arguments of its `launch`."""
    import gradio as gr

    def match_poster(file: str | None, genres: str) -> tuple[str, str, str]:
        if file is None:
            return "", "", ""
        try:
            poster = matcher.encode(file)
        except ValueError as error:
            return "", html("error", message=str(error)), ""
        try:
            tags = html("genres", tags=matcher.tag(poster, genres)[:ANSWERS])
        except ValueError as error:
            tags = html("error", message=str(error)) if genres.strip() else ""
        return poster_html(poster, matcher.recognize_text is not None), answers_html(matcher.find(poster)), tags

    def search(text: str) -> str:
        try:
            answers = answers_html(matcher.search(text))
        except ValueError as error:
            return html("error", message=str(error))
        if matcher.is_cut(text):
            limit = matcher.processor.tokenizer.model_max_length
            return html("note", message=f"The text is long: the model takes its first {limit} tokens.") + answers
        return answers

    def choose(event: gr.SelectData) -> str:
        return matcher.examples[event.index]["file"]

    examples, count = matcher.examples, f"{len(matcher.movies):,}"
    shelf: dict[str, Any] = {"show_label": False, "interactive": False, "buttons": [], "elem_classes": "shelf"}
    gr.set_static_paths([Path(movie["file"]).parent for movie in examples[:1]])
    with gr.Blocks(title="PosterCLIP", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(f"# PosterCLIP\nA poster finds its movie, and words find movies, among {count}.", elem_id="head")
        with gr.Tab("By a poster"):
            with gr.Row():
                with gr.Column(scale=2, min_width=280):
                    file = gr.File(label="Drop a poster", file_types=["image"], height=110, elem_id="poster")
                    read = gr.HTML(elem_classes="answer", elem_id="read", padding=False)
                with gr.Column(scale=3, min_width=280):
                    found = gr.HTML(elem_classes="answer", elem_id="found", padding=False)
                    tags = gr.HTML(elem_classes="answer", elem_id="genres", padding=False)
            gr.Markdown("Or one of these:", elem_classes="soft")
            files = [(movie["file"], None) for movie in examples]
            gallery = gr.Gallery(files, elem_id="examples", height="auto", allow_preview=False, **shelf)
            names = ", ".join(matcher.genres)
            with gr.Accordion("Genres to compare a poster with", open=False):
                genres = gr.Textbox(names, label="With commas between them; Enter applies them", elem_id="names")
        with gr.Tab("By words"):
            what = "What happens in the movie, or its title"
            text = gr.Textbox(label=what, lines=1, max_lines=8, elem_id="text", submit_btn="Search")
            gr.Examples([movie["plots"][0] for movie in examples[:3]], text, label="For instance")
            results = gr.HTML(elem_classes="answer", elem_id="results", padding=False)
        queue: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "model"}
        gallery.select(choose, None, file, queue=False, api_visibility="private")
        gr.on([file.change, genres.submit], match_poster, [file, genres], [read, found, tags], api_name="find", **queue)
        text.submit(search, text, results, api_name="search", **queue)
    page.queue(max_size=32)
    style = Path(__file__).with_name("style.css")
    return page, {"theme": theme(), "css_paths": style, "max_file_size": MAX_FILE, "js": LIGHT}


def theme() -> Any:
    """Returns a theme of paper, ink and green in the fonts of the visitor's system."""
    import gradio as gr

    fonts = ["ui-sans-serif", "system-ui", "Helvetica Neue", "Arial", "sans-serif"]
    shades = [GREEN_PAPER, "#cfe8d8", "#a6d3b8", "#74b791", "#459a6b", GREEN, GREEN]
    shades += [GREEN_DARK, "#124b2f", "#0d3622", "#08251a"]
    colors = {
        **dict.fromkeys(("block_background_fill", "input_background_fill", "button_primary_text_color"), CARD),
        **dict.fromkeys(("block_border_color", "border_color_primary", "input_border_color"), LINE),
        **dict.fromkeys(("body_text_color_subdued", "block_label_text_color", "block_title_text_color"), SOFT),
        **{"body_background_fill": PAPER, "body_text_color": INK},
        **{"button_primary_background_fill": GREEN, "button_primary_background_fill_hover": GREEN_DARK},
    }
    base = gr.themes.Base(primary_hue=gr.themes.Color(*shades), neutral_hue="stone", radius_size="lg", font=fonts)
    return base.set(block_border_width="1px", **colors)


def serve(folder: Path, **options: Any) -> Any:
    """Serves and returns the page of a folder: until it is stopped, or with `prevent_thread_lock` until its `close`."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    page, launch_options = build(Matcher(folder))
    page.launch(**launch_options, ssr_mode=False, footer_links=[], **options)
    return page


if __name__ == "__main__":
    serve(Path(__file__).parent)
