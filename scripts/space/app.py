"""A poster finds plots, a plot finds posters: the app of a folder that `scripts/app.py` wrote, `python app.py`.

FOLDER/app.py, style.css                     this file, and how its page looks
    FOLDER/README.md, requirements.txt           what makes the folder a Space
FOLDER/model/                                a saved model with its code
FOLDER/catalogue/metadata.jsonl, posters/    an imagefolder: file_name, title, plot, genres, split
FOLDER/catalogue/embeddings.safetensors      of the rows' posters and plots, in their order
"""

import json
import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
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
SHOWN = 900  # pixels of the longer side of a poster that is sent back
MAX_LETTERS = 10_000  # of a plot
MAX_GENRES, MAX_GENRE = 60, 40  # and the letters of one
GENRE_SENTENCE = "A story of {}."
# Named, so that nothing else is tried: PIL hands an EPS file, whatever its name, to a Ghostscript process.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")

Found = list[tuple[dict[str, Any], float]]

PAPER, CARD, LINE = "#f4f2ee", "#ffffff", "#dedad2"
INK, SOFT = "#26241f", "#6b665d"
GREEN, GREEN_PAPER, GREEN_DARK = "#1f7a4d", "#e6f3ea", "#17603c"


@dataclass(frozen=True, eq=False)
class Reading:
    """A poster as the model takes it.

    Args:
        poster: RGB.
        lines: what is printed on it: mappings of `text`, `score` and `box`, as the model's `recognize_text` has them.
        embedding: (1, projection_dim + char_ngram_dim), L2-normalised.
    """

    poster: Image.Image
    lines: list[Any]
    embedding: Tensor


class Matcher:
    """A model and a catalogue that it has embedded; its methods change nothing, so several threads may call them.

    Args:
        folder: see the module. OSError or ValueError if it is none.
    """

    def __init__(self, folder: Path) -> None:
        name = str(folder / "model")
        self.model = AutoModel.from_pretrained(name, trust_remote_code=True).eval().requires_grad_(False)
        self.processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
        self.to_rgb: Any = get_class_from_dynamic_module("rgb.to_rgb", name)
        self.recognize_text: Any = None
        if self.processor.run_ocr and find_spec("rapidocr") and find_spec("onnxruntime"):
            self.recognize_text = get_class_from_dynamic_module("ocr.recognize_text", name)
        lines = (folder / METADATA).read_text(encoding="utf-8").splitlines()
        self.movies: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for movie in self.movies:
            movie["file"] = str(folder / "catalogue" / movie["file_name"])
        self.embeds = load_file(folder / EMBEDDINGS)

    @property
    def genres(self) -> list[str]:
        """Those of the catalogue that `tag` takes, in the order of the alphabet; none if there is but one."""
        genres = sorted({genre for movie in self.movies for genre in movie["genres"]})
        genres = [genre for genre in genres if len(genre) <= MAX_GENRE and "," not in genre][:MAX_GENRES]
        return genres if len(genres) > 1 else []

    @property
    def examples(self) -> list[dict[str, Any]]:
        """Some movies from all over the test split, or from the whole catalogue if it has none."""
        movies = [movie for movie in self.movies if movie["split"] == "test"] or self.movies
        return movies[:: -(-len(movies) // EXAMPLES)]

    def read(self, file: str | Path) -> Reading:
        """Decode, read and embed a poster; ValueError, with the reason, if it cannot be used."""
        poster = self.open(file)
        lines = self.recognize_text(poster) if self.recognize_text else []
        words = {"poster_text": [lines]} if self.processor.run_ocr else {}
        with torch.no_grad():
            inputs = self.processor(images=[poster], **words, return_tensors="pt")
            return Reading(poster, lines, self.model(**inputs).image_embeds)

    def open(self, file: str | Path) -> Image.Image:
        """A poster in RGB, of an animation the first picture; ValueError if it cannot be used."""
        try:
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height <= MAX_PIXELS:
                    return self.to_rgb(image)
                size = f"{image.width:,} x {image.height:,} pixels"
        except Image.DecompressionBombError:  # PIL does not even open what has more than 180 million
            size = "far more pixels"
        except Exception:  # what a decoder meets in broken bytes is anything from EOFError to zlib.error
            kinds = "JPEG, PNG, WebP, GIF, BMP or TIFF"
            raise ValueError(f"{Path(file).name} is no picture that can be read: {kinds}, please.") from None
        raise ValueError(f"{Path(file).name} has {size}: {MAX_PIXELS:,} at most, please.")

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(texts, projection_dim + char_ngram_dim), L2-normalised."""
        with torch.no_grad():
            return self.model(**self.processor(text=list(texts), return_tensors="pt")).text_embeds

    def plots(self, reading: Reading, k: int = ANSWERS) -> Found:
        """The movies whose plots are most like a poster, best first, each with its cosine similarity."""
        return self._best(reading.embedding, self.embeds["plots"], k)

    def posters(self, plot: str, k: int = ANSWERS) -> Found:
        """The movies whose posters are most like a plot, best first; ValueError for no plot, or an endless one."""
        if not (plot or "").strip():  # a client may send null
            raise ValueError("Type what happens in the movie first.")
        if len(plot) > MAX_LETTERS:
            raise ValueError(f"That is {len(plot):,} letters long: {MAX_LETTERS:,} at most, please.")
        return self._best(self.embed_texts([plot]), self.embeds["posters"], k)

    def is_cut(self, plot: str) -> bool:
        """Whether a plot is longer than what the model reads of it."""
        tokenizer = self.processor.tokenizer
        return len(tokenizer(plot, truncation=False, verbose=False)["input_ids"]) > tokenizer.model_max_length

    def tag(self, reading: Reading, genres: str) -> list[tuple[str, float]]:
        """Genres that are named with commas between them, the likest first, each with its share of 1 (zero-shot).

        Raises:
            ValueError: fewer than two are named, too many, or one with too many letters.
        """
        names = list(dict.fromkeys(name.strip() for name in genres.split(",") if name.strip()))
        if not 2 <= len(names) <= MAX_GENRES:
            raise ValueError(f"Name 2 to {MAX_GENRES} genres, with commas between them; these are {len(names)}.")
        if long := [name for name in names if len(name) > MAX_GENRE]:
            raise ValueError(f"A genre has {MAX_GENRE} letters at most; this one has more: {long[0][:MAX_GENRE]}...")
        sentences = [GENRE_SENTENCE.format(name.lower()) for name in names]
        shares = self.model.similarity(reading.embedding, self.embed_texts(sentences))[0].softmax(0).tolist()
        return sorted(zip(names, shares, strict=True), key=lambda pair: -pair[1])

    def _best(self, query: Tensor, rows: Tensor, k: int) -> Found:
        scores, found = (rows @ query[0]).topk(min(k, len(rows)))
        return [(self.movies[row], score) for row, score in zip(found.tolist(), scores.tolist(), strict=True)]


def show_reading(reading: Reading, reads: bool) -> str:
    """HTML of a poster with boxes around what was read, and the words below it."""
    small = reading.poster.copy()
    small.thumbnail((SHOWN, SHOWN))
    small.save(content := BytesIO(), "JPEG", quality=88)
    boxes = []
    for line in reading.lines:
        left, top, right, bottom = (100 * share for share in line["box"])
        place = f"left:{left:.2f}%;top:{top:.2f}%;width:{right - left:.2f}%;height:{bottom - top:.2f}%"
        boxes.append(f'<span class="box" style="{place}" title="{escape(line["text"])}"></span>')
    words = "".join(f'<li title="sure by {line["score"]:.2f}">{escape(line["text"])}</li>' for line in reading.lines)
    none = "Nothing was read on it: it is matched by its picture alone." if reads else "It is matched by its picture."
    picture = f'<img src="data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}" alt="The poster">'
    below = f'<h3>Read on it</h3><ul class="words">{words}</ul>' if words else f'<p class="soft">{none}</p>'
    return f'<div class="poster">{picture}{"".join(boxes)}</div>{below}'


def show_plots(found: Found) -> str:
    """HTML of the best plots."""
    items = []
    for movie, score in found:
        heading = f"<h3>{escape(movie['title'])}</h3><span>{score:.3f}</span>"
        items.append(f'<li><div class="line">{heading}</div><p>{escape(movie["plot"])}</p></li>')
    return f'<ol class="plots">{"".join(items)}</ol>'


def show_genres(tags: Sequence[tuple[str, float]]) -> str:
    """HTML of bars."""
    bars = [
        f'<li><span>{escape(name)}</span><i><b style="width:{100 * share:.1f}%"></b></i><span>{share:.2f}</span></li>'
        for name, share in tags[:ANSWERS]
    ]
    note = f"Of {len(tags)} genres. Their shares add up to 1, so one is always ahead."
    return f'<ul class="bars">{"".join(bars)}</ul><p class="soft">{note}</p>'


def build(matcher: Matcher) -> tuple[Any, dict[str, Any]]:
    """The page, and what `launch` needs to know about how it looks and what it may send."""
    import gradio as gr

    def look(file: str | None, genres: str) -> tuple[str, str, str]:
        if file is None:
            return "", HINT, ""
        try:
            reading = matcher.read(file)
        except ValueError as error:
            gr.Warning(str(error))  # an error would leave the answers of another poster there
            return "", HINT, ""
        tags = ""
        try:
            tags = show_genres(matcher.tag(reading, genres)) if (genres or "").strip() else ""
        except ValueError as error:
            gr.Warning(str(error))
        return show_reading(reading, matcher.recognize_text is not None), show_plots(matcher.plots(reading)), tags

    def find(plot: str) -> list[tuple[str, str]]:
        try:
            found = matcher.posters(plot)
        except ValueError as error:
            gr.Warning(str(error))
            return []
        if matcher.is_cut(plot):
            limit = matcher.processor.tokenizer.model_max_length
            gr.Warning(f"The plot is cut: the model reads its first {limit} tokens.")
        return [(movie["file"], f"{movie['title']} · {score:.3f}") for movie, score in found]

    def choose(event: gr.SelectData) -> str:
        return matcher.examples[event.index]["file"]

    examples, count = matcher.examples, f"{len(matcher.movies):,}"
    origin = " of the test split" if examples[0]["split"] == "test" else ""
    note = "the score is a cosine similarity, from -1 to 1, and no probability: there is always a best one."
    shelf: dict[str, Any] = {
        "show_label": False,
        "interactive": False,
        "height": "auto",
        "buttons": [],
        "elem_classes": "shelf",
    }
    gr.set_static_paths([Path(movie["file"]).parent for movie in examples[:1]])
    with gr.Blocks(title="PosterCLIP", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(f"# PosterCLIP\nPosters find plots, and plots find posters, among {count} movies.", elem_id="head")
        with gr.Tab("Poster to plots"), gr.Row():
            with gr.Column(scale=2, min_width=300):
                file = gr.File(label="A poster", file_types=["image"], height=150, elem_id="poster")
                gr.Markdown(f"Or one{origin}:", elem_classes="soft")
                shown = [(movie["file"], None) for movie in examples]
                gallery = gr.Gallery(shown, elem_id="examples", allow_preview=False, **shelf)
                read = gr.HTML(elem_classes="answer", elem_id="read", padding=False)
            with gr.Column(scale=3, min_width=300):
                gr.Markdown(f"### Plots\nThe best of {count}; {note}")
                plots = gr.HTML(HINT, elem_classes="answer", elem_id="plots", padding=False)
                gr.Markdown("### Genres")
                tags = gr.HTML(elem_classes="answer", elem_id="genres", padding=False)
                names = ", ".join(matcher.genres)
                genres = gr.Textbox(names, label="Genres to choose from (Enter to choose anew)", elem_id="names")
        with gr.Tab("Plot to posters"):
            what = "What happens in the movie (Shift and Enter to find posters)"
            plot = gr.Textbox(label=what, lines=4, max_lines=10, elem_id="plot")
            button = gr.Button("Find posters", variant="primary")
            gr.Examples([movie["plot"] for movie in examples[:3]], plot, label=f"Or a plot{origin}")
            gr.Markdown(f"### Posters\nThe best of {count}; {note}")
            posters = gr.Gallery(elem_id="posters", **shelf)
        queue: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "model"}
        gallery.select(choose, None, file, queue=False, api_visibility="private")
        gr.on([file.change, genres.submit], look, [file, genres], [read, plots, tags], api_name="plots", **queue)
        gr.on([button.click, plot.submit], find, plot, posters, api_name="posters", **queue)
    page.queue(max_size=32)
    return page, {
        "theme": theme(),
        "css_paths": Path(__file__).with_name("style.css"),
        "max_file_size": MAX_FILE,
        "js": LIGHT,
    }


HINT = '<p class="soft">Drop a poster, or choose one.</p>'
LIGHT = "() => document.body.classList.remove('dark')"


def theme() -> Any:
    """Paper, ink and green, in the fonts that the reader's system has."""
    import gradio as gr

    fonts = ["ui-sans-serif", "system-ui", "Helvetica Neue", "Arial", "sans-serif"]
    shades = [GREEN_PAPER, "#cfe8d8", "#a6d3b8", "#74b791", "#459a6b", GREEN, GREEN]
    shades += [GREEN_DARK, "#124b2f", "#0d3622", "#08251a"]
    return gr.themes.Base(primary_hue=gr.themes.Color(*shades), neutral_hue="stone", radius_size="lg", font=fonts).set(
        body_background_fill=PAPER,
        body_text_color=INK,
        body_text_color_subdued=SOFT,
        block_background_fill=CARD,
        block_border_color=LINE,
        block_label_text_color=SOFT,
        block_title_text_color=SOFT,
        block_border_width="1px",
        border_color_primary=LINE,
        input_background_fill=CARD,
        input_border_color=LINE,
        button_primary_background_fill=GREEN,
        button_primary_background_fill_hover=GREEN_DARK,
        button_primary_text_color=CARD,
    )


def serve(folder: Path, **options: Any) -> Any:
    """Show the page of a folder, for good or, with `prevent_thread_lock`, until `close` of what is returned."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    page, looks = build(Matcher(folder))
    page.launch(**looks, ssr_mode=False, footer_links=[], **options)
    return page


if __name__ == "__main__":
    serve(Path(__file__).parent)
