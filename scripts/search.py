"""Search in a catalogue: `python scripts/search.py INDEX "a shark terrorises a beach town"`, or `INDEX --poster FILE`.

The index is what `scripts/embed.py` wrote. The answers are two lists, the best plots and the best posters: similarities
to a plot and to a poster are of different size, so they are not comparable.
"""

import argparse
import sys
import textwrap
from pathlib import Path

from scripts.common.command_line import USER_ERRORS, load_model, quiet_libraries, stop

PLOT_BEGINNING = 90  # characters


def main(arguments: list[str] | None = None) -> None:
    """Print the best movies: rank, cosine similarity, title and the beginning of the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path, help="a folder that scripts/embed.py wrote")
    parser.add_argument("query", nargs="?", help="a text: what the movie is about, or a title")
    parser.add_argument("--poster", type=Path, help="an image file, in place of a text")
    parser.add_argument(
        "--among", choices=["both", "plots", "posters"], default="both", help="what to search in; both by default"
    )
    parser.add_argument("--k", type=int, default=10, help="movies a list; 10 by default")
    parser.add_argument("--ocr_language", help="code of the language on the poster; that of the model by default")
    parser.add_argument("--model", help="the model's folder, if it was moved")
    options = parser.parse_args(arguments)
    quiet_libraries()
    try:
        if (options.query is None) == (options.poster is None):
            raise ValueError("Give a text or a --poster, one of them.")
        if options.query is not None and not options.query.strip():
            raise ValueError("The query is empty.")
        if options.query and not is_utf8(options.query):
            raise ValueError("The query is not UTF-8.")
        import torch

        from processing.pair_retrieval.hybrid_vectors import HybridVectors
        from processing.search.columns import SIDES
        from processing.search.index import CatalogueIndex
        from scripts.common.features import model_key

        index = CatalogueIndex.open(options.index)
        movies, k = index.movies(), min(options.k, index.record["rows"])
        if k < options.k:
            print(f"--k {options.k}: the index has {k:,} movies, all are listed", file=sys.stderr)
        name = options.model or index.record["model"]
        model, processor = load_model(name)
        if model_key(model, processor) != index.record["model_key"]:
            raise ValueError(
                f"{options.index} was made with another model than {name}: embed the catalogue with this one."
            )
        sides = SIDES[::-1] if options.among == "both" else [options.among.removesuffix("s")]
        processor.ocr_language = options.ocr_language or processor.ocr_language
        inputs = {"images": options.poster} if options.poster else {"text": options.query}
        with torch.no_grad():
            output = model.eval()(**processor(**inputs, return_tensors="pt"))
        embeds = output.text_embeds if options.poster is None else output.image_embeds
        query = HybridVectors.from_array(embeds.float().numpy(), model.config.projection_dim)
        limit = processor.tokenizer.model_max_length
        if options.query and len(processor(text=[options.query], truncation=False)["input_ids"][0]) > limit:
            print(f"The query is long: the encoder takes its first {limit} tokens", file=sys.stderr)
        answers = {side: index.searcher(movies, side).search(query, k) for side in sides}
    except USER_ERRORS as error:
        stop(error)
    for side, (rows, scores) in answers.items():
        print(f"{side.capitalize()}s")
        for rank, (row, score) in enumerate(zip(rows[0].tolist(), scores[0].tolist(), strict=True), 1):
            movie = movies[row]
            plot = textwrap.shorten(movie["plot"], PLOT_BEGINNING, placeholder=" ...")
            print(f"{rank:3}  {score:6.3f}  {movie['title'] or movie['id']}: {plot}")


def is_utf8(text: str) -> bool:
    """Returns whether a text can be encoded; an argument of a shell may hold other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


if __name__ == "__main__":
    main()
