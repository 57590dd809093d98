"""Compares a poster with plots by what `scripts/export.py` wrote: `match_onnx.py FOLDER POSTER PLOT [PLOT ...]`.

Needs onnxruntime, numpy, tokenizers and pillow alone, and runs where the clone is not.
"""

import argparse
import json
import runpy
import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

# Beside the model lie the processor's own code that opens images, and code that makes pixel values of them.
MODEL, IMAGES, PIXELS = "model.onnx", "rgb.py", "onnx_pixels.py"
PROCESSOR, TOKENIZER, TEXTS = "processor_config.json", "tokenizer.json", "tokenizer_config.json"


def token_ids(tokenizer: Tokenizer, texts: list[str], prompt: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids and mask of texts after a prompt, (texts, tokens) both; the mask of an empty text is 0."""
    rows = tokenizer.encode_batch([f"{prompt}{text}" for text in texts])
    mask = np.array([row.attention_mask for row in rows]) * np.array([[bool(text)] for text in texts])
    return np.array([row.ids for row in rows]), mask


def main(arguments: list[str] | None = None) -> None:
    """Prints the cosine similarity of the poster to each plot, the most similar first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("poster", help="an image file")
    parser.add_argument("plot", nargs="+")
    parser.add_argument("--poster_text", default="", help="the poster's own text, for a model that uses it")
    options = parser.parse_args(arguments)
    folder = options.folder
    if missing := [
        name for name in (MODEL, IMAGES, PIXELS, PROCESSOR, TOKENIZER, TEXTS) if not (folder / name).is_file()
    ]:
        sys.exit(f"error: there is no {folder / missing[0]}; scripts/export.py writes it.")
    try:
        images = runpy.run_path(str(folder / IMAGES))
        poster = images["to_rgb"](images["open_image"](options.poster))
    except Exception as error:  # what a decoder meets in broken bytes is anything
        sys.exit(f"error: {options.poster} is no poster that can be read: {error}")
    try:
        processor = json.loads((folder / PROCESSOR).read_text(encoding="utf-8"))
        settings = processor["image_processor"]
        texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        session = InferenceSession(folder / MODEL)
    except Exception as error:  # each library has its own
        sys.exit(f"error: {folder} holds a damaged file: {error}")
    tokenizer.enable_truncation(texts["model_max_length"], direction=texts.get("truncation_side", "right"))
    pad = {"pad_id": tokenizer.token_to_id(texts["pad_token"]), "pad_token": texts["pad_token"]}
    tokenizer.enable_padding(direction=texts.get("padding_side", "right"), **pad)

    try:
        inputs = {"pixel_values": runpy.run_path(str(folder / PIXELS))["pixel_values"](poster, settings)}
    except ValueError as error:
        sys.exit(f"error: {folder / PIXELS}: {error}")
    prompt, poster_prompt = (processor.get(f"{side}text_prompt", "") for side in ("", "poster_"))
    inputs["input_ids"], inputs["attention_mask"] = token_ids(tokenizer, options.plot, prompt)
    if "poster_input_ids" in {given.name for given in session.get_inputs()}:
        words = token_ids(tokenizer, [options.poster_text], poster_prompt)
        inputs["poster_input_ids"], inputs["poster_attention_mask"] = words
    image_embeds, text_embeds = session.run(["image_embeds", "text_embeds"], inputs)
    print("similarity  plot")
    for similarity, plot in sorted(zip(text_embeds @ image_embeds[0], options.plot, strict=True), reverse=True):
        print(f"{similarity:10.3f}  {plot}")


if __name__ == "__main__":
    main()
