"""Measure what each part of the preset contributes: `python scripts/experiments/ablations.py --catalogue FOLDER`.

A row of the table is a run of `scripts/train.py` and one of `scripts/evaluate.py`, with a results file of its own.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.reporting.results import read_evaluation, read_evaluations
from processing.reporting.tables import ablation_rows, format_table
from scripts.common.command_line import parse, run_script, stop
from scripts.common.evaluation.evaluation import RESULTS

PRESET = "posterclip"
NO_EVALUATION = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
TEXT_ALONE = {"image_weight_init_value": 0}
UNTRAINED = {**TEXT_ALONE, "learning_rate": 0, "max_steps": 1, **NO_EVALUATION}
IMAGE_ALONE = {
    **{"use_poster_text": False, "char_ngram_dim": 0, "poster_text_dropout": 0},
    **{"learning_rate": 1e-3, "logit_scale_init_value": 1.0, "projection_dim": 128},
}


@dataclass(frozen=True)
class Row:
    """A row of the table: the settings of training and evaluation that differ from the preset.

    With `model`, the name of another row, nothing is trained and the model of that row is evaluated.
    """

    label: str
    train: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)
    preset: str = PRESET
    model: str | None = None


ROWS = {
    "seed": Row("seed recipe", preset="seed", evaluate={"legacy_protocol": True}),
    "image": Row("image only, trained", IMAGE_ALONE),
    "text-untrained": Row("poster text only, untrained", {**UNTRAINED, "char_ngram_dim": 0}),
    "text-char-ngrams-untrained": Row("the same with character n-grams", UNTRAINED),
    "text": Row("poster text only, trained", TEXT_ALONE),
    "best": Row("image + poster text: the preset", evaluate={"pool_sizes": [100, 300], "one_to_one": True}),
    "no-char-ngrams": Row("without character n-grams", {"char_ngram_dim": 0}),
    "no-extra": Row("without extra movies", {"train_splits": ["train"]}),
    "no-plots": Row("without a second plot", {"plot_columns": ["intro"]}),
    "masked": Row("the preset, titles masked in the plots", evaluate={"mask_titles": True}, model="best"),
    "blank": Row("the preset, poster text painted over", evaluate={"remove_poster_text": True}, model="best"),
    "titles": Row(
        "the preset, titles and all plots known",
        evaluate={"titles": "use", "plots": "all", "legacy_protocol": True},
        model="best",
    ),
    "mpnet": Row("the preset with MPNet-base as text encoder", {"projection_dim": 768}),
}


@dataclass
class AblationArguments:
    """The catalogue, the encoders and the rows."""

    catalogue: str = field(metadata={"help": "As for scripts/train.py; splits train, extra, validation, test."})
    vision_model_name_or_path: str = field(metadata={"help": "The poster encoder."})
    text_model_name_or_path: str = field(metadata={"help": "The plot encoder."})
    mpnet: str | None = field(
        default=None, metadata={"help": "The plot encoder of the row mpnet, left out without it."}
    )
    rows: list[str] | None = field(default=None, metadata={"help": f"Some of {', '.join(ROWS)}; all by default."})
    runs: Path = field(default=Path("runs/ablations"), metadata={"help": "Folder for the models."})
    output: Path = field(default=Path("results/ablations"), metadata={"help": "Folder for the results, a file a row."})
    feature_cache: str | None = field(default=None, metadata={"help": "As for scripts/train.py."})


def main(arguments: list[str] | None = None) -> None:
    """Train and evaluate the rows, then print the table of all that have results."""
    (options,) = parse((AblationArguments,), arguments)
    rows = options.rows or [name for name in ROWS if name != "mpnet" or options.mpnet]
    try:
        if unknown := [name for name in rows if name not in ROWS]:
            raise ValueError(f"rows: there is no {', '.join(unknown)}; there are {', '.join(ROWS)}.")
        if "mpnet" in rows and not options.mpnet:
            raise ValueError("rows: mpnet needs --mpnet, the encoder.")
    except ValueError as error:
        stop(error)
    for name in rows:
        run(name, options)
    try:
        print(format_table(ablation_rows(read_evaluations(result_files(options.output)))))
    except ValueError as error:
        stop(error)


def result_files(folder: Path) -> list[Path]:
    """Returns the files of the rows that have results, in the order of the table."""
    return [file for file in (folder / f"{name}.json" for name in ROWS) if file.is_file()]


def run(name: str, options: AblationArguments) -> None:
    """Trains the model of a row, if it has one of its own, and evaluates it."""
    row = ROWS[name]
    cache = {"feature_cache": options.feature_cache} if options.feature_cache else {}
    movies = {"catalogue": options.catalogue, "plot_columns": ["intro", "overview"], **cache}
    model = options.runs / (row.model or name)
    if row.model is None:
        text = options.mpnet if name == "mpnet" else options.text_model_name_or_path
        settings = {
            **movies,
            "vision_model_name_or_path": options.vision_model_name_or_path,
            "text_model_name_or_path": text,
            "output_dir": model,
        }
        if row.preset == PRESET:
            settings["train_splits"] = ["train", "extra"]
        else:
            settings["plot_columns"] = ["intro"]
        run_script("train", Path(__file__).parents[1] / "configs" / f"{row.preset}.yaml", settings | row.train)
    report = options.runs / f"{name}-test"
    evaluation = {**movies, "split": "test", "output": report, "page": False}
    run_script("evaluate", model, evaluation | row.evaluate)
    results = {"label": row.label, **read_evaluation(report / RESULTS)}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{name}.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
