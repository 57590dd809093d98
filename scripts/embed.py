"""Embed a catalogue to search in it: `python scripts/embed.py MODEL --catalogue FOLDER --output INDEX`.

A run that was killed goes on where it stopped; under `torchrun` or `accelerate launch` each process embeds its share.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from scripts.common.command_line import (
    FEATURE_CACHE,
    USER_ERRORS,
    CatalogueArguments,
    load_model,
    parse,
    quiet_libraries,
    read_posters,
    stop,
)


@dataclass
class EmbedArguments:
    """How to embed, and where to write."""

    output: Path = field(metadata={"help": "Folder of the index."})
    shard_size: int = field(default=1000, metadata={"help": "Movies in a file; a killed run loses one file at most."})
    batch_size: int = field(default=32, metadata={"help": "Posters or plots encoded at a time."})
    feature_cache: str = field(default=FEATURE_CACHE, metadata={"help": "Folder of encoder features, or none."})


def main(arguments: list[str] | None = None) -> None:
    """Embed what is not embedded yet, and print where the index is."""
    quiet_libraries()
    data, options, rest = parse(
        (CatalogueArguments, EmbedArguments), arguments, positional="model", description=__doc__
    )
    import torch
    from accelerate import Accelerator, InitProcessGroupKwargs

    from processing.catalogue.fingerprints import fingerprint
    from processing.reporting.results import versions
    from processing.search.index import CatalogueIndex
    from scripts.common.features import FeatureEncoder, model_key

    patient = InitProcessGroupKwargs(timeout=timedelta(days=7))
    # Without `cpu`, accelerate runs the processes of a machine without accelerators apart from each other.
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), kwargs_handlers=[patient])
    try:
        if options.shard_size < 1:
            raise ValueError(f"shard_size: {options.shard_size} is less than a movie.")
        model, processor = load_model(rest.model)
        catalogue = data.load()
        with accelerator.main_process_first():
            if model.config.use_poster_text:
                catalogue = read_posters(catalogue, processor, data.ocr_language)
            movies = catalogue.movies(list(catalogue.splits))
            about = {
                "model": str(Path(rest.model).resolve()) if Path(rest.model).is_dir() else rest.model,
                "model_key": model_key(model, processor),
                "catalogue": data.catalogue,
                "data_fingerprint": fingerprint(movies),
                "rows": len(movies),
                "shard_size": options.shard_size,
                "dense_dim": model.config.projection_dim,
                "ngram_dim": model.config.char_ngram_dim,
                "versions": versions(),
            }
            index = CatalogueIndex.start(options.output, about)
        missing = index.missing()
        accelerator.wait_for_everyone()
        model.eval().requires_grad_(False).to(accelerator.device)  # type: ignore[arg-type]
        encoder = FeatureEncoder(model, processor, options.batch_size, options.feature_cache, dtype=model.dtype)
        for shard in missing[accelerator.process_index :: accelerator.num_processes]:
            part = movies.select(index.rows(shard))
            index.write(shard, part, *encoder.embeddings(part))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            new = f"{len(missing)} of {len(index.shards)} files new"
            print(f"{len(movies):,} movies are in {options.output}, {new}")
    except USER_ERRORS as error:
        stop(error)
    accelerator.end_training()


if __name__ == "__main__":
    main()
