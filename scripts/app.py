"""Serve a model in the browser: `python scripts/app.py MODEL --catalogue FOLDER`.

A poster finds its movie, and words find movies and posters. With `--space FOLDER` the app is written
there as a Space, which can be pushed to the Hub as it is and also runs anywhere: `python FOLDER/app.py`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.common.command_line import (
    FEATURE_CACHE,
    USER_ERRORS,
    CatalogueArguments,
    load_model,
    parse,
    quiet_libraries,
    read_posters,
    require_extra,
    stop,
)

if TYPE_CHECKING:
    from processing.catalogue.catalogue import Catalogue
    from scripts.common.features import FeatureEncoder

SPACE = Path(__file__).parent / "space"
POSTER_SIZE = (800, 800)  # pixels at most


@dataclass
class AppArguments:
    """What to do with the app."""

    space: Path | None = field(
        default=None, metadata={"help": "A new folder to write a Space to, in place of serving the app."}
    )
    feature_cache: str = field(default=FEATURE_CACHE, metadata={"help": "Folder of encoder features, or none."})


def write_space(folder: Path, encoder: FeatureEncoder, catalogue: Catalogue) -> None:
    """Writes a folder that is a Space: the app, the model, and a catalogue with its embeddings.

    Args:
        folder: a new one; it appears when it is complete.
        encoder: with the model and processor to save.
        catalogue: with poster text, if the model uses it.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors.numpy import save_file

    from processing.data.titles import all_titles
    from processing.posterclip.rgb import to_rgb
    from scripts.space.matcher import EMBEDDINGS, METADATA

    complete, folder = folder, folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    (folder / METADATA).parent.joinpath("posters").mkdir(parents=True)
    for name in ("app.py", "matcher.py", "answers.html", "style.css", "README.md", "requirements.txt"):
        shutil.copy(SPACE / name, folder)
    encoder.model.save_pretrained(folder / "model")
    encoder.processor.save_pretrained(folder / "model")
    movies = catalogue.movies(list(catalogue.splits))
    posters = encoder.poster_embeddings(movies)
    texts = encoder.embed_texts(encoder.movies(all_titles(movies), movies["plots"][:]))
    save_file({"posters": posters.to_array(), "movies": texts.to_array()}, folder / EMBEDDINGS)
    splits = [name for name, split in catalogue.splits.items() for _ in split]
    rows = []
    for number, (movie, split) in enumerate(zip(movies, splits, strict=True)):
        poster = to_rgb(movie["image"])
        poster.thumbnail(POSTER_SIZE)
        name = f"posters/{number:06d}.jpg"
        poster.save(folder / "catalogue" / name, quality=90)
        fields: dict[str, Any] = {field: movie[field] for field in ("id", "title", "year", "plots")}
        fields |= {field: movie[field] or [] for field in ("other_titles", "genres")}
        rows.append(json.dumps({"file_name": name, **fields, "split": split}, ensure_ascii=False))
    (folder / METADATA).write_text("\n".join(rows), encoding="utf-8")
    folder.replace(complete)


def check_is_new(folder: Path) -> None:
    """Checks that a folder holds nothing yet.

    Raises:
        ValueError: the folder is not empty.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: name a new folder for the Space.")


def main(arguments: list[str] | None = None) -> None:
    """Embed the catalogue, then write the Space or serve the app."""
    quiet_libraries()
    data, options, rest = parse((CatalogueArguments, AppArguments), arguments, positional="model", description=__doc__)
    from scripts.common.features import FeatureEncoder
    from scripts.space.app import serve

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.space or Path(temporary, "space")
        try:
            if options.space:
                check_is_new(options.space)
            else:
                require_extra("app", "gradio")
            model, processor = load_model(rest.model)
            catalogue = data.load()
            if model.config.use_poster_text:
                catalogue = read_posters(catalogue, processor, data.ocr_language)
            model.eval().requires_grad_(False)
            write_space(
                folder, FeatureEncoder(model, processor, cache=options.feature_cache, dtype=model.dtype), catalogue
            )
            if options.space:
                print(f"The Space is in {folder}; python {folder / 'app.py'} runs it.")
                return
            serve(folder)
        except USER_ERRORS as error:
            stop(error)


if __name__ == "__main__":
    main()
