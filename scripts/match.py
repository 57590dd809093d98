"""Score a poster against plots with a saved model: `python scripts/match.py MODEL POSTER PLOT [PLOT ...]`.

Uses the auto classes alone, as anyone would who has the folder or the Hub repository and no clone.
"""

import argparse
import sys

from PIL import Image
from transformers import AutoModel, AutoProcessor
from transformers.utils import logging


def main(arguments: list[str] | None = None) -> None:
    """Print the plots, best first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a saved folder or a Hub repository; its code is run")
    parser.add_argument("poster", help="an image file")
    parser.add_argument("plot", nargs="+")
    options = parser.parse_args(arguments)
    logging.disable_progress_bar()
    try:
        poster = Image.open(options.poster)
        poster.load()
    except (Image.DecompressionBombError, OSError) as error:
        sys.exit(f"error: {options.poster} is no poster that can be read: {error}")
    try:
        model = AutoModel.from_pretrained(options.model, trust_remote_code=True).eval()
        processor = AutoProcessor.from_pretrained(options.model, trust_remote_code=True)
        inputs = processor(images=poster, text=options.plot, return_tensors="pt", padding=True)
        scores = model(**inputs).logits_per_image[0].softmax(0).tolist()
    except (AttributeError, OSError, TypeError, ValueError) as error:
        sys.exit(f"error: {options.model} does not score posters against plots: {error}")
    for score, plot in sorted(zip(scores, options.plot, strict=True), reverse=True):
        print(f"{score:7.2%}  {plot}")


if __name__ == "__main__":
    main()
