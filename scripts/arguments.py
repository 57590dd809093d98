"""What the commands share: how arguments are read, and which lines of a library's log are not for users."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml
from transformers import HfArgumentParser
from transformers.utils import logging as transformers_logging

from processing.catalogue import Catalogue, load_catalogue


@dataclass
class CatalogueArguments:
    """Which movies."""

    catalogue: str = field(
        metadata={"help": "A folder with metadata.jsonl or .csv and posters, a MovieLens folder, or a dataset."}
    )
    plot_columns: list[str] | None = field(
        default=None, metadata={"help": "Text columns to take as plots, in this order; known names by default."}
    )
    on_bad_rows: Literal["error", "skip"] = field(
        default="error", metadata={"help": "error: name every bad row and stop. skip: leave them out and count."}
    )

    def load(self) -> Catalogue:
        """Read and check the catalogue."""
        return load_catalogue(self.catalogue, plot_columns=self.plot_columns, on_bad_rows=self.on_bad_rows)


def parse(
    classes: Sequence[type], arguments: Sequence[str] | None = None, positional: str | None = None
) -> tuple[Any, ...]:
    """Fill dataclasses from flags, or from a YAML file given first; a flag wins over the file.

    Args:
        classes: dataclasses, one instance of each is returned.
        arguments: the command line without the program's name; `sys.argv` by default.
        positional: name of an argument without a flag; a namespace that holds it is returned last.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = HfArgumentParser(tuple(classes), allow_abbrev=False)
    if positional:
        parser.add_argument(positional)
    if arguments and arguments[0].endswith((".yaml", ".yml")):
        try:
            arguments = [*yaml_as_flags(Path(arguments[0])), *arguments[1:]]
        except (OSError, ValueError) as error:
            parser.error(str(error))
    try:
        return parser.parse_args_into_dataclasses(arguments)
    except ValueError as error:
        parser.error(str(error))


def yaml_as_flags(path: Path) -> list[str]:
    """The flags that say what a YAML mapping says.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "run.yaml"
        >>> _ = path.write_text("bf16: true\\nlearning_rate: 1e-3\\ntrain_splits: [train, extra]\\n")
        >>> yaml_as_flags(path)
        ['--bf16', 'True', '--learning_rate', '1e-3', '--train_splits', 'train', 'extra']
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold a mapping of settings, like 'learning_rate: 1e-3'.")
    flags = []
    for name, value in settings.items():
        if value is not None:
            flags += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return flags


def quiet_libraries() -> None:
    """Silence what every run repeats and no user can act on (the choice of image backend among others)."""
    transformers_logging.set_verbosity_error()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)


def stop(error: Exception) -> NoReturn:
    """End the command with the error's message alone."""
    sys.exit(f"error: {error}")
