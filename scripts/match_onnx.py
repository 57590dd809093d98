"""Score a poster against plots by what `scripts/export.py` wrote: `match_onnx.py FOLDER POSTER PLOT [PLOT ...]`.

Needs onnxruntime, numpy, tokenizers and pillow alone, and runs where the clone is not.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image, ImageOps
from tokenizers import Tokenizer


def pixel_values(poster: Image.Image, settings: dict) -> np.ndarray:
    """A poster as the processor gives it, (1, 3, height, width), by the `image_processor` of processor_config.json.

    Raises:
        ValueError: that processor crops or offsets, which is not done here.
    """
    size = settings["size"]
    if size.keys() != {"height", "width"} or settings.get("do_center_crop") or settings.get("rescale_offset"):
        raise ValueError("The image processor crops or offsets: do as it does in pixel_values.")
    image = ImageOps.exif_transpose(poster).convert("RGB").resize((size["width"], size["height"]), settings["resample"])
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
    settings = json.loads((options.folder / "processor_config.json").read_text(encoding="utf-8"))["image_processor"]
    texts = json.loads((options.folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    tokenizer.enable_truncation(texts["model_max_length"])
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(texts["pad_token"]), pad_token=texts["pad_token"])

    session = InferenceSession(options.folder / "model.onnx")
    inputs = {"pixel_values": pixel_values(Image.open(options.poster), settings)}
    inputs["input_ids"], inputs["attention_mask"] = token_ids(tokenizer, options.plot)
    if "poster_input_ids" in {given.name for given in session.get_inputs()}:
        inputs["poster_input_ids"], inputs["poster_attention_mask"] = token_ids(tokenizer, [options.printed])
    (logits,) = session.run(["logits_per_image"], inputs)
    scores = np.exp(logits[0] - logits[0].max())
    for score, plot in sorted(zip(scores / scores.sum(), options.plot, strict=True), reverse=True):
        print(f"{score:7.2%}  {plot}")


if __name__ == "__main__":
    main()
