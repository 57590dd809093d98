"""An app in which posters find plots and plots find posters: `python app.py` in a folder that `scripts/app.py` wrote.

FOLDER/app.py, style.css                     this file and the style of its page
    FOLDER/README.md, requirements.txt           what makes the folder a Space
FOLDER/model/                                a saved model with its code
FOLDER/catalogue/metadata.jsonl, posters/    an imagefolder: file_name, title, plot, genres, split
FOLDER/catalogue/embeddings.safetensors      of the posters and plots, in the order of the rows
"""

import json
import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModel, AutoProcessor
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.utils import logging as transformers_logging

METADATA, EMBEDDINGS = "catalogue/metadata.jsonl", "catalogue/embeddings.safetensors"
ANSWERS = 8
EXAMPLES = 6
MAX_FILE = "20mb"
MAX_PIXELS = 40_000_000
DISPLAY_SIZE = 900  # pixels of the longer side of a poster that is sent back
MAX_PLOT_LENGTH = 10_000  # characters
MAX_GENRES, MAX_GENRE_LENGTH = 60, 40
GENRE_SENTENCE = "A story of {}."
HINT = '<p class="soft">Drop a poster, or choose one.</p>'
LIGHT = "() => document.body.classList.remove('dark')"

Answers = list[tuple[dict[str, Any], float]]

PAPER, CARD, LINE = "#f4f2ee", "#ffffff", "#dedad2"
INK, SOFT = "#26241f", "#6b665d"
GREEN, GREEN_PAPER, GREEN_DARK = "#1f7a4d", "#e6f3ea", "#17603c"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EncodedPoster:
    """A poster, its text and its embedding.

    Args:
        image: RGB.
        lines: the text on it: mappings of `text`, `score` and `box`, as the model's `recognize_text` returns them.
        embedding: (1, projection_dim + char_ngram_dim), L2-normalised.
    """

    image: Image.Image
    lines: list[Any]
    embedding: Tensor


class Matcher:
    """A model and the catalogue that it has embedded. Its methods change nothing, so several threads may call them.

    Args:
        folder: see the module. OSError or ValueError if it is not such a folder.
    """

    def __init__(self, folder: Path) -> None:
        name = str(folder / "model")
        self.model = AutoModel.from_pretrained(name, trust_remote_code=True).eval().requires_grad_(False)
        self.processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
        self.open_image: Any = get_class_from_dynamic_module("rgb.open_image", name)
        self.recognize_text: Any = None
        if self.processor.run_ocr:
            try:
                get_class_from_dynamic_module("ocr.engine_name", name)(self.processor.ocr_language)
                self.recognize_text = get_class_from_dynamic_module("ocr.recognize_text", name)
            except ImportError as error:
                logger.warning("Posters are matched without their text: %s", error)
        lines = (folder / METADATA).read_text(encoding="utf-8").splitlines()
        self.movies: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for movie in self.movies:
            movie["file"] = str(folder / "catalogue" / movie["file_name"])
        self.embeds = load_file(folder / EMBEDDINGS)

    @property
    def genres(self) -> list[str]:
        """The genres of the catalogue that `tag` takes, sorted; none if there is only one."""
        genres = sorted({genre for movie in self.movies for genre in movie["genres"]})
        genres = [genre for genre in genres if len(genre) <= MAX_GENRE_LENGTH and "," not in genre][:MAX_GENRES]
        return genres if len(genres) > 1 else []

    @property
    def examples(self) -> list[dict[str, Any]]:
        """Some movies of the test split, evenly spaced, or of the whole catalogue if it has no test split."""
        movies = [movie for movie in self.movies if movie["split"] == "test"] or self.movies
        return movies[:: -(-len(movies) // EXAMPLES)]

    def encode(self, file: str | Path) -> EncodedPoster:
        """Returns a poster with its text and embedding; ValueError, with the reason, if it cannot be used."""
        try:
            image = self.open_image(Path(file), MAX_PIXELS)
        except ValueError as error:
            raise ValueError(f"{Path(file).name} cannot be used: {error}") from None
        settings = self.processor.ocr_language, self.processor.ocr_sizes
        lines = self.recognize_text(image, *settings) if self.recognize_text else []
        text = {"poster_text": [lines]} if self.processor.run_ocr else {}
        with torch.no_grad():
            inputs = self.processor(images=[image], **text, return_tensors="pt")
            return EncodedPoster(image, lines, self.model(**inputs).image_embeds)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Returns embeddings of texts, (texts, projection_dim + char_ngram_dim), L2-normalised."""
        with torch.no_grad():
            return self.model(**self.processor(text=list(texts), return_tensors="pt")).text_embeds

    def plots(self, poster: EncodedPoster, k: int = ANSWERS) -> Answers:
        """Returns the movies whose plots are most similar to a poster, best first, with their cosine similarities."""
        return self._best(poster.embedding, self.embeds["plots"], k)

    def posters(self, plot: str, k: int = ANSWERS) -> Answers:
        """Returns the movies whose posters are most similar to a plot; ValueError if it is empty or too long."""
        if not (plot or "").strip():  # a client may send null
            raise ValueError("Type what happens in the movie first.")
        if len(plot) > MAX_PLOT_LENGTH:
            raise ValueError(f"The plot has {len(plot):,} characters; {MAX_PLOT_LENGTH:,} are the limit.")
        return self._best(self.embed_texts([plot]), self.embeds["posters"], k)

    def is_cut(self, plot: str) -> bool:
        """Returns whether a plot is longer than the model's limit of tokens."""
        tokens = self.processor(text=[plot], truncation=False, verbose=False)["input_ids"][0]
        return len(tokens) > self.processor.tokenizer.model_max_length

    def tag(self, poster: EncodedPoster, genres: str) -> list[tuple[str, float]]:
        """Returns genres, named with commas between them, with their zero-shot probabilities, best first.

        Raises:
            ValueError: fewer than two are named, too many, or one that is too long.
        """
        names = list(dict.fromkeys(name.strip() for name in genres.split(",") if name.strip()))
        if not 2 <= len(names) <= MAX_GENRES:
            raise ValueError(f"Name 2 to {MAX_GENRES} genres, with commas between them, not {len(names)}.")
        if long := [name for name in names if len(name) > MAX_GENRE_LENGTH]:
            raise ValueError(f"A genre has at most {MAX_GENRE_LENGTH} characters: {long[0][:MAX_GENRE_LENGTH]}...")
        sentences = [GENRE_SENTENCE.format(name.lower()) for name in names]
        similarities = self.model.similarity(poster.embedding, self.embed_texts(sentences))[0]
        return sorted(zip(names, similarities.softmax(0).tolist(), strict=True), key=lambda pair: -pair[1])

    def _best(self, query: Tensor, rows: Tensor, k: int) -> Answers:
        scores, found = (rows @ query[0]).topk(min(k, len(rows)))
        return [(self.movies[row], score) for row, score in zip(found.tolist(), scores.tolist(), strict=True)]


def poster_html(poster: EncodedPoster, with_ocr: bool) -> str:
    """Returns HTML of a poster with boxes around its lines of text, and the lines below it."""
    small = poster.image.copy()
    small.thumbnail((DISPLAY_SIZE, DISPLAY_SIZE))
    small.save(content := BytesIO(), "JPEG", quality=88)
    boxes, words = [], []
    for text, line in {line["text"]: line for line in poster.lines}.items():  # several readings may agree
        left, top, right, bottom = (100 * share for share in line["box"])
        place = f"left:{left:.2f}%;top:{top:.2f}%;width:{right - left:.2f}%;height:{bottom - top:.2f}%"
        boxes.append(f'<span class="box" style="{place}" title="{escape(text)}"></span>')
        words.append(f'<li title="OCR score {line["score"]:.2f}">{escape(text)}</li>')
    none = "OCR found no text on it: the image alone is matched." if with_ocr else "The image alone is matched."
    image = f'<img src="data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}" alt="The poster">'
    below = (
        f'<h3>Text on the poster</h3><ul class="words">{"".join(words)}</ul>'
        if words
        else f'<p class="soft">{none}</p>'
    )
    return f'<div class="poster">{image}{"".join(boxes)}</div>{below}'


def plots_html(answers: Answers) -> str:
    """Returns HTML of the best plots."""
    items = []
    for movie, score in answers:
        heading = f"<h3>{escape(movie['title'])}</h3><span>{score:.3f}</span>"
        items.append(f'<li><div class="line">{heading}</div><p>{escape(movie["plot"])}</p></li>')
    return f'<ol class="plots">{"".join(items)}</ol>'


def genres_html(tags: Sequence[tuple[str, float]]) -> str:
    """Returns HTML of genres as bars."""
    bars = [
        f'<li><span>{escape(name)}</span><i><b style="width:{100 * share:.1f}%"></b></i><span>{share:.2f}</span></li>'
        for name, share in tags[:ANSWERS]
    ]
    note = f"Probabilities over {len(tags)} genres: they add up to 1, so there is always a best one."
    return f'<ul class="bars">{"".join(bars)}</ul><p class="soft">{note}</p>'


def build(matcher: Matcher) -> tuple[Any, dict[str, Any]]:
    """Returns the page and the arguments of its `launch`."""
    import gradio as gr

    def match_poster(file: str | None, genres: str) -> tuple[str, str, str]:
        if file is None:
            return "", HINT, ""
        try:
            poster = matcher.encode(file)
        except ValueError as error:
            gr.Warning(str(error))  # after an error the answers of another poster would stay
            return "", HINT, ""
        tags = ""
        try:
            tags = genres_html(matcher.tag(poster, genres)) if (genres or "").strip() else ""
        except ValueError as error:
            gr.Warning(str(error))
        return poster_html(poster, matcher.recognize_text is not None), plots_html(matcher.plots(poster)), tags

    def match_plot(plot: str) -> list[tuple[str, str]]:
        try:
            answers = matcher.posters(plot)
        except ValueError as error:
            gr.Warning(str(error))
            return []
        if matcher.is_cut(plot):
            limit = matcher.processor.tokenizer.model_max_length
            gr.Warning(f"The plot is long: the model takes its first {limit} tokens.")
        return [(movie["file"], f"{movie['title']} · {score:.3f}") for movie, score in answers]

    def choose(event: gr.SelectData) -> str:
        return matcher.examples[event.index]["file"]

    examples, count = matcher.examples, f"{len(matcher.movies):,}"
    origin = " of the test split" if examples[0]["split"] == "test" else ""
    note = "the score is a cosine similarity, from -1 to 1, not a probability. There is always a best one."
    shelf: dict[str, Any] = {"show_label": False, "interactive": False, "buttons": [], "elem_classes": "shelf"}
    gr.set_static_paths([Path(movie["file"]).parent for movie in examples[:1]])
    with gr.Blocks(title="PosterCLIP", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(f"# PosterCLIP\nPosters find plots, and plots find posters, among {count} movies.", elem_id="head")
        with gr.Tab("Poster to plots"), gr.Row():
            with gr.Column(scale=2, min_width=300):
                file = gr.File(label="A poster", file_types=["image"], height=150, elem_id="poster")
                gr.Markdown(f"Or an example{origin}:", elem_classes="soft")
                files = [(movie["file"], None) for movie in examples]
                gallery = gr.Gallery(files, elem_id="examples", height="auto", allow_preview=False, **shelf)
                read = gr.HTML(elem_classes="answer", elem_id="read", padding=False)
            with gr.Column(scale=3, min_width=300):
                gr.Markdown(f"### Plots\nThe best of {count}; {note}")
                plots = gr.HTML(HINT, elem_classes="answer", elem_id="plots", padding=False)
                gr.Markdown("### Genres")
                tags = gr.HTML(elem_classes="answer", elem_id="genres", padding=False)
                names = ", ".join(matcher.genres)
                genres = gr.Textbox(
                    names, label="Genres, with commas between them (press Enter to apply)", elem_id="names"
                )
        with gr.Tab("Plot to posters"):
            what = "What happens in the movie (press Shift and Enter to find posters)"
            plot = gr.Textbox(label=what, lines=4, max_lines=10, elem_id="plot")
            button = gr.Button("Find posters", variant="primary")
            gr.Examples([movie["plot"] for movie in examples[:3]], plot, label=f"Or an example{origin}")
            gr.Markdown(f"### Posters\nThe best of {count}; {note}")
            posters = gr.Gallery(elem_id="posters", height="auto", **shelf)
        queue: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "model"}
        gallery.select(choose, None, file, queue=False, api_visibility="private")
        gr.on(
            [file.change, genres.submit], match_poster, [file, genres], [read, plots, tags], api_name="plots", **queue
        )
        gr.on([button.click, plot.submit], match_plot, plot, posters, api_name="posters", **queue)
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
