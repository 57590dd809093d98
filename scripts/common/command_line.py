"""What the commands share: how arguments are read, and which lines of a library's log are not for users.

This module, like the commands, imports what is heavy in functions: `--help` and a wrong flag are answered at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import yaml
from huggingface_hub import logging as hub_logging
from huggingface_hub.constants import HF_HOME
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from huggingface_hub.utils import validate_repo_id
from transformers import HfArgumentParser
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from modeling import PosterCLIPModel
    from processing import PosterCLIPProcessor
    from processing.catalogue.catalogue import Catalogue

# Features of frozen encoders and what OCR read on posters are kept here, by the content of the posters and texts.
FEATURE_CACHE = str(Path(HF_HOME) / "posterclip")
OCR_CACHE = Path(HF_HOME) / "posterclip" / "poster_text"


@dataclass
class CatalogueArguments:
    """Which movies."""

    catalogue: str = field(
        metadata={"help": "A table of movies with their posters, its folder, or a dataset (docs name the layouts)."}
    )
    plot_columns: list[str] | None = field(
        default=None,
        metadata={"help": "Text columns to take as plots, in this order; known names by default."},
    )
    image_column: str | None = field(
        default=None, metadata={"help": "Column of the posters (their files or content); a known name by default."}
    )
    on_bad_rows: Literal["error", "skip"] = field(
        default="error",
        metadata={"help": "error: name every bad row and stop. skip: leave them out and count."},
    )
    split_seed: int = field(default=0, metadata={"help": "Of the splits, where the catalogue has none."})
    ocr_language: str | None = field(
        default=None,
        metadata={
            "help": "Code of the language on the posters, for OCR (ko, ru, ar, hi ...). The default is that of the "
            "model; a new model reads Chinese, Japanese, English and other languages in Latin script."
        },
    )

    def load(self, splits: Sequence[str] = ()) -> Catalogue:
        """Read and check the catalogue; `splits` are those that are needed, all by default."""
        from processing.catalogue.catalogue import load_catalogue

        return load_catalogue(
            self.catalogue,
            plot_columns=self.plot_columns,
            image_column=self.image_column,
            on_bad_rows=self.on_bad_rows,
            seed=self.split_seed,
            splits=splits,
        )


def load_model(name: str) -> tuple[PosterCLIPModel, PosterCLIPProcessor]:
    """Returns a saved model and its processor.

    Args:
        name: a folder or Hub name.

    Raises:
        ValueError: it is not a PosterCLIP model, or the model is damaged; it names the model.
    """
    from safetensors import SafetensorError
    from transformers import PreTrainedConfig

    from modeling import PosterCLIPConfig, PosterCLIPModel
    from processing import PosterCLIPProcessor

    if not Path(name).is_dir():
        try:
            validate_repo_id(name)
        except HFValidationError:
            raise ValueError(f"There is no folder {name}, and it is not a valid name of a Hub repository.") from None
    try:
        found = PreTrainedConfig.get_config_dict(name)[0].get("model_type")
        if found != PosterCLIPConfig.model_type:
            raise ValueError(f"the model_type in its config.json is {found!r}")
        return PosterCLIPModel.from_pretrained(name), PosterCLIPProcessor.from_pretrained(name)
    except (OSError, SafetensorError, StrictDataclassError, ValueError) as error:
        where = "" if Path(name).is_dir() else " (there is no such folder, so the Hub was searched)"
        raise ValueError(f"{name} is not a PosterCLIP model that can be loaded{where}: {error}") from error


def read_posters(
    catalogue: Catalogue, processor: PosterCLIPProcessor, language: str | None, splits: Sequence[str] = ()
) -> Catalogue:
    """Returns the catalogue with the text on its posters, read by OCR where the source does not give it.

    Args:
        catalogue: with or without poster text.
        processor: reads in its `ocr_language`, at its `ocr_sizes`.
        language: replaces that of the processor, unless it is None.
        splits: those whose posters are read; all by default.
    """
    processor.ocr_language = language or processor.ocr_language
    return catalogue.with_poster_text(OCR_CACHE, processor.ocr_language, processor.ocr_sizes, splits)


class CommandParser(HfArgumentParser):
    """A parser of dataclasses whose help lists each flag once.

    Args:
        classes: dataclasses whose fields are the flags. Fields that a class inherits from transformers'
            `TrainingArguments` are accepted, and not listed.
        description: what the command does and an example.
        usage: the first line of the help.
    """

    def __init__(self, classes: Sequence[Any], description: str | None, usage: str) -> None:
        bases = [base for of in classes for base in of.__mro__ if base.__name__ == "TrainingArguments"]
        where = "https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments"
        super().__init__(
            tuple(classes),
            allow_abbrev=False,
            usage=usage,
            description=description,
            epilog=f"All arguments of transformers.TrainingArguments are flags too: {where}" if bases else None,
            formatter_class=_HelpFormatter,
        )
        own = {name for of in classes for name in of.__annotations__}
        inherited = {name for base in bases for name in base.__dataclass_fields__} - own
        for action in self._actions:
            if action.dest in inherited:
                action.help = argparse.SUPPRESS

    def add_argument(self, *names: str, **options: Any) -> Any:
        """As in argparse, without the second spelling `--a-b` of `--a_b` and the `--no_` flags of transformers."""
        if names[0].startswith("--no_"):
            return None
        return super().add_argument(*(name for name in names if "-" not in name.lstrip("-")), **options)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        if not action.help or action.default in (None, False, argparse.SUPPRESS) or not action.option_strings:
            return action.help
        return f"{action.help} (default: %(default)s)"


def parse(
    classes: Sequence[Any],
    arguments: Sequence[str] | None = None,
    positional: str | None = None,
    count: str | None = None,
    description: str | None = None,
) -> tuple[Any, ...]:
    """Returns dataclasses filled from flags, or from a YAML file given first; a flag wins over the file.

    Args:
        classes: dataclasses, one instance of each is returned.
        arguments: the command line without the program's name; `sys.argv` by default.
        positional: name of an argument without a flag; a namespace that holds it is returned last.
        count: how often that is given, as argparse's `nargs`; it is a list then.
        description: what the command does and an example, for `--help`.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    usage = f"%(prog)s {positional.upper() if positional else '[SETTINGS.yaml]'} [--name value ...]"
    parser = CommandParser(classes, description, usage)
    if positional:
        parser.add_argument(positional, nargs=count)
    try:
        if arguments and arguments[0].endswith((".yaml", ".yml")):
            settings = read_yaml(Path(arguments[0]))
            if not isinstance(settings, dict):
                raise ValueError(f"{arguments[0]} must hold a mapping of settings, like 'learning_rate: 1e-3'.")
            if unknown := [name for name in settings if f"--{name}" not in parser._option_string_actions]:
                raise ValueError(f"{arguments[0]}: there is no setting {', '.join(map(repr, unknown))}")
            arguments = [*as_flags(settings), *arguments[1:]]
        return parser.parse_args_into_dataclasses(arguments)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))


def require_extra(extra: str, *modules: str) -> None:
    """Raises ImportError, naming an extra of this project, unless the modules that it brings are installed."""
    if missing := [module for module in modules if not find_spec(module)]:
        raise ImportError(f"{', '.join(missing)} cannot be imported: pip install '.[{extra}]' brings what is missing.")


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; ValueError, naming it, if it is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None


def as_flags(settings: dict[str, Any]) -> list[str]:
    """The flags that say what a mapping says.

    Example:
        >>> as_flags({"bf16": True, "learning_rate": "1e-3", "train_splits": ["train", "extra"], "seed": None})
        ['--bf16', 'True', '--learning_rate', '1e-3', '--train_splits', 'train', 'extra']
    """
    flags = []
    for name, value in settings.items():
        if isinstance(value, dict):
            flags += [f"--{name}", json.dumps(value)]
        elif value is not None:
            flags += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return flags


def run_script(name: str, first: Path, settings: dict[str, Any]) -> None:
    """Run a script of this folder, its first argument and settings given, in a process of its own; end if it fails."""
    script = Path(__file__).parents[1] / f"{name}.py"
    done = subprocess.run([sys.executable, str(script), str(first), *as_flags(settings)])
    if done.returncode:
        sys.exit(done.returncode)


def quiet_libraries() -> None:
    """Silence what every run repeats and no user can act on (the choice of image backend among others)."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # which is read when datasets is imported
    logging.basicConfig(format="%(message)s", level=logging.WARNING)


# What a wrong argument, catalogue, model or environment raises; all else is a bug and keeps its traceback.
USER_ERRORS = (ImportError, OSError, RuntimeError, StrictDataclassError, ValueError)


def stop(error: Exception) -> NoReturn:
    """End the command with the error's message alone."""
    message = str(error)
    if message.startswith("Caught "):  # by a data loader's worker, which puts its traceback before
        message = message.rpartition(f"{type(error).__name__}: ")[2]
    sys.exit(f"error: {message}")
