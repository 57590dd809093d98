"""Score a poster against plots by what `scripts/export.py` wrote: `match_onnx.py FOLDER POSTER PLOT [PLOT ...]`.

Needs onnxruntime, numpy, tokenizers and pillow alone, and runs where the clone is not.
"""

import argparse
import json
import runpy
import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image
from tokenizers import Tokenizer

MODEL, TO_RGB = "model.onnx", "rgb.py"  # the processor's own way of bringing posters of any mode to RGB
PROCESSOR, TOKENIZER, TEXTS = "processor_config.json", "tokenizer.json", "tokenizer_config.json"


def pixel_values(poster: Image.Image, settings: dict) -> np.ndarray:
    """An RGB poster as the processor gives it, (1, 3, height, width), by `image_processor` of processor_config.json.

    Raises:
        ValueError: that processor crops or offsets, which is not done here.
    """
    size = settings["size"]
    if size.keys() != {"height", "width"} or settings.get("do_center_crop") or settings.get("rescale_offset"):
        raise ValueError("The image processor crops or offsets: do as it does in pixel_values.")
    image = poster.resize((size["width"], size["height"]), settings["resample"])
    pixels = np.asarray(image, np.float32) * settings["rescale_factor"]
    pixels = (pixels - settings["image_mean"]) / settings["image_std"]
    return pixels.astype(np.float32).transpose(2, 0, 1)[None]


def token_ids(tokenizer: Tokenizer, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask, (texts, tokens) both; the mask of an empty text is 0."""
    rows = tokenizer.encode_batch(texts)
    mask = np.array([row.attention_mask for row in rows]) * np.array([[bool(text)] for text in texts])
    return np.array([row.ids for row in rows]), mask


def main(arguments: list[str] | None = None) -> None:
    """Print the plots, best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("poster", help="an image file")
    parser.add_argument("plot", nargs="+")
    parser.add_argument("--printed", default="", help="what is printed on the poster, for a model that reads")
    options = parser.parse_args(arguments)
    folder = options.folder
    if missing := [name for name in (MODEL, TO_RGB, PROCESSOR, TOKENIZER, TEXTS) if not (folder / name).is_file()]:
        sys.exit(f"error: there is no {folder / missing[0]}; scripts/export.py writes it.")
    try:
        poster = runpy.run_path(str(folder / TO_RGB))["to_rgb"](Image.open(options.poster))
    except Exception as error:  # what a decoder meets in broken bytes is anything
        sys.exit(f"error: {options.poster} is no poster that can be read: {error}")
    try:
        settings = json.loads((folder / PROCESSOR).read_text(encoding="utf-8"))["image_processor"]
        texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        session = InferenceSession(folder / MODEL)
    except Exception as error:  # each library has its own
        sys.exit(f"error: {folder} holds a damaged file: {error}")
    tokenizer.enable_truncation(texts["model_max_length"])
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(texts["pad_token"]), pad_token=texts["pad_token"])

    inputs = {"pixel_values": pixel_values(poster, settings)}
    inputs["input_ids"], inputs["attention_mask"] = token_ids(tokenizer, options.plot)
    if "poster_input_ids" in {given.name for given in session.get_inputs()}:
        inputs["poster_input_ids"], inputs["poster_attention_mask"] = token_ids(tokenizer, [options.printed])
    (logits,) = session.run(["logits_per_image"], inputs)
    scores = np.exp(logits[0] - logits[0].max())
    for score, plot in sorted(zip(scores / scores.sum(), options.plot, strict=True), reverse=True):
        print(f"{score:7.2%}  {plot}")


if __name__ == "__main__":
    main()
