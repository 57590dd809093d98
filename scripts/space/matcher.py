"""A model and the catalogue that it has embedded: what the app answers, and why."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModel, AutoProcessor
from transformers.dynamic_module_utils import get_class_from_dynamic_module

METADATA, EMBEDDINGS = "catalogue/metadata.jsonl", "catalogue/embeddings.safetensors"
ANSWERS, MORE = 8, 24  # shown at once, and behind "More results" too
EXAMPLES = 6
SAMPLE = 300  # movies of the catalogue whose wrong answers are looked at
MAX_PIXELS = 40_000_000
MAX_TEXT_LENGTH = 10_000  # characters
MAX_GENRES, MAX_GENRE_LENGTH = 60, 40
GENRE_SENTENCE = "A story of {}."

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EncodedPoster:
    """A poster, the text on it and its embedding.

    Args:
        image: RGB.
        lines: the text on it: mappings of `text`, `score` and `box`, as the model's `recognize_text` returns them.
        text: the same as one text, "" if there is none.
        image_features, text_features: (1, feature) and (1, feature + char_ngram_dim), from the encoders.
        embedding: (1, projection_dim + char_ngram_dim), L2-normalised.
    """

    image: Image.Image
    lines: list[Any]
    text: str
    image_features: Tensor
    text_features: Tensor
    embedding: Tensor


@dataclass(frozen=True)
class Answer:
    """A movie of the catalogue that was found.

    Args:
        movie: its row of the metadata.
        found_by: "title and plots" or "poster".
        similarity: the cosine similarity.
        strength: "strong", "possible" or "weak", see `Matcher`.
        why: what `PosterCLIPModel.explain` says of it, None where nothing was explained.
    """

    movie: dict[str, Any]
    found_by: str
    similarity: float
    strength: str
    why: dict[str, Any] | None = None


class Matcher:
    """A model and the catalogue that it has embedded. Its methods change nothing, so several threads may call them.

    An answer is strong if its similarity is reached by the best wrong answer of less than 1 in 20 of the catalogue's
    own movies, and weak if half of the movies have a wrong answer that is as similar.

    Args:
        folder: see the module. OSError or ValueError if it is not such a folder.
    """

    def __init__(self, folder: Path) -> None:
        name = str(folder / "model")
        self.model = AutoModel.from_pretrained(name, trust_remote_code=True).eval().requires_grad_(False)
        self.processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
        self.open_image: Any = get_class_from_dynamic_module("rgb.open_image", name)
        self.compose_text: Any = get_class_from_dynamic_module("ocr_text.compose_text", name)
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
        sides = {"posters": "movies", "movies": "posters"}
        self.levels = {side: self._wrong_similarities(self.embeds[other], side) for side, other in sides.items()}

    @property
    def genres(self) -> list[str]:
        """The genres of the catalogue that `tag` takes, sorted; none if there is only one."""
        genres = sorted({genre for movie in self.movies for genre in movie["genres"]})
        genres = [genre for genre in genres if len(genre) <= MAX_GENRE_LENGTH and "," not in genre][:MAX_GENRES]
        return genres if len(genres) > 1 else []

    @property
    def examples(self) -> list[dict[str, Any]]:
        """Some movies that the model was not trained on, evenly spaced, or of all where it was trained on all."""
        movies = [movie for movie in self.movies if movie["split"] == "test"] or self.movies
        return movies[:: -(-len(movies) // EXAMPLES)]

    @torch.no_grad()
    def encode(self, file: str | Path) -> EncodedPoster:
        """Returns a poster with its text and embedding; ValueError, with the reason, if it cannot be used."""
        try:
            image = self.open_image(Path(file), MAX_PIXELS)
        except ValueError as error:
            raise ValueError(f"{Path(file).name} cannot be used: {error}") from None
        settings = self.processor.ocr_language, self.processor.ocr_sizes
        lines = self.recognize_text(image, *settings) if self.recognize_text else []
        text = self.compose_text(lines)
        inputs = self.processor(images=[image], poster_text=[lines], return_tensors="pt")
        image_features = self.model.vision_features(inputs["pixel_values"])
        text_features = self.model.text_features(inputs["poster_input_ids"], inputs["poster_attention_mask"])
        embedding = self.model.embed_posters(image_features, text_features)
        return EncodedPoster(image, lines, text, image_features, text_features, embedding)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Returns embeddings of texts, (texts, projection_dim + char_ngram_dim), L2-normalised."""
        return self.model(**self.processor(text=list(texts), return_tensors="pt")).text_embeds

    def find(self, poster: EncodedPoster, k: int = MORE) -> list[Answer]:
        """Returns the movies whose titles and plots are most similar to a poster, best first; the first say why."""
        scores = self.embeds["movies"] @ poster.embedding[0]
        found = [self._answer(row, "movies", float(scores[row])) for row in self._distinct(scores, k)]
        explained = [replace(of, why=self.why(poster, of.movie)) for of in found[:ANSWERS]]
        return explained + found[ANSWERS:]

    def search(self, text: str, k: int = MORE) -> list[Answer]:
        """Returns the movies whose titles and plots, and whose posters, are most similar to a text, best first.

        Similarities to texts are larger than those to posters, so both are counted in standard deviations above the
        mean of all movies, and added. An answer names the side that counts more.

        Raises:
            ValueError: the text is empty or too long.
        """
        if not (text or "").strip():  # a client may send null
            raise ValueError("Type what happens in the movie, or its title, first.")
        if len(text) > MAX_TEXT_LENGTH:
            raise ValueError(f"The text has {len(text):,} characters; {MAX_TEXT_LENGTH:,} are the limit.")
        query = self.embed_texts([text])[0]
        scores = {side: self.embeds[side] @ query for side in ("movies", "posters")}
        above = torch.stack([(of - of.mean()) / of.std().clamp(min=1e-9) for of in scores.values()])
        sides = [("movies", "posters")[side] for side in above.argmax(0).tolist()]
        rows = self._distinct(above.sum(0), k)
        return [self._answer(row, sides[row], float(scores[sides[row]][row])) for row in rows]

    def is_cut(self, text: str) -> bool:
        """Returns whether a text is longer than the model's limit of tokens."""
        tokenizer = self.processor.tokenizer
        return len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) > tokenizer.model_max_length

    @torch.no_grad()
    def why(self, poster: EncodedPoster, movie: dict[str, Any]) -> dict[str, Any]:
        """Returns the similarity of a poster and a movie taken apart, see `PosterCLIPModel.explain`."""
        titles = [title for title in (movie["title"], *movie["other_titles"]) if title]
        inputs = self.processor(text=[*titles, *movie["plots"]], padding=True, return_tensors="pt")
        features = self.model.text_features(inputs["input_ids"], inputs["attention_mask"])
        is_title = torch.arange(len(features)) < len(titles)
        sides = [
            self.model.movie_features(rows, torch.zeros(len(rows), dtype=torch.long), marks, 1)
            for rows, marks in ((features[is_title], is_title[is_title]), (features[~is_title], is_title[~is_title]))
        ]
        text = poster.text if self.model.config.use_poster_text else ""
        return self.model.explain(self.processor.tokenizer, text, poster.image_features, poster.text_features, *sides)

    def tag(self, poster: EncodedPoster, genres: str) -> list[tuple[str, float]]:
        """Returns genres, named with commas between them, with their cosine similarities, best first.

        Raises:
            ValueError: fewer than two are named, too many, or one that is too long.
        """
        names = list(dict.fromkeys(name.strip() for name in genres.split(",") if name.strip()))
        if not 2 <= len(names) <= MAX_GENRES:
            raise ValueError(f"Name 2 to {MAX_GENRES} genres, with commas between them, not {len(names)}.")
        if long := [name for name in names if len(name) > MAX_GENRE_LENGTH]:
            raise ValueError(f"A genre has at most {MAX_GENRE_LENGTH} characters: {long[0][:MAX_GENRE_LENGTH]}...")
        similarities = self.embed_texts([GENRE_SENTENCE.format(name.lower()) for name in names]) @ poster.embedding[0]
        return sorted(zip(names, similarities.tolist(), strict=True), key=lambda pair: -pair[1])

    def _answer(self, row: int, side: str, similarity: float) -> Answer:
        usual, rare = self.levels[side]
        strength = "strong" if similarity > rare else "possible" if similarity > usual else "weak"
        return Answer(self.movies[row], "poster" if side == "posters" else "title and plots", similarity, strength)

    def _distinct(self, scores: Tensor, k: int) -> Iterator[int]:
        """Yields the best rows, one for each movie: a movie with several posters has several rows."""
        seen: set[str] = set()
        for row in scores.argsort(descending=True, stable=True).tolist():
            if len(seen) < k and self.movies[row]["id"] not in seen:
                seen.add(self.movies[row]["id"])
                yield row

    def _wrong_similarities(self, queries: Tensor, side: str) -> tuple[float, float]:
        """Returns the median and the 95th percentile of the similarity of queries to their best wrong answer."""
        numbers = {number: place for place, number in enumerate(dict.fromkeys(movie["id"] for movie in self.movies))}
        movies = torch.tensor([numbers[movie["id"]] for movie in self.movies])
        rows = torch.arange(0, len(movies), max(1, len(movies) // SAMPLE))
        scores = queries[rows] @ self.embeds[side].T
        best = scores.masked_fill(movies[rows, None] == movies, -1.0).max(1).values
        usual, rare = best.quantile(torch.tensor([0.5, 0.95])).tolist()
        return usual, rare
