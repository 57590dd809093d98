"""Compare settings on the validation split: `python scripts/experiments/tune.py --catalogue FOLDER`."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processing.reporting.results import write_results
from processing.reporting.tables import format_table
from scripts.common.command_line import parse, read_yaml, run_script, stop

CONFIGS = Path(__file__).parents[1] / "configs"
PRESET = CONFIGS / "posterclip.yaml"
METRICS = ("R@1", "R@10", "median_rank")


@dataclass
class TuneArguments:
    """The catalogue and the settings to try."""

    catalogue: str = field(metadata={"help": "As for scripts/train.py."})
    plot_columns: list[str] | None = field(default=None, metadata={"help": "Likewise."})
    train_splits: list[str] = field(default_factory=lambda: ["train"], metadata={"help": "Likewise."})
    trials: Path = field(
        default=CONFIGS / "trials.yaml",
        metadata={"help": "YAML: `base` over the preset, `trials` over both."},
    )
    runs: Path = field(default=Path("runs/trials"), metadata={"help": "Folder for the models."})
    output: Path = field(default=Path("results/trials.json"), metadata={"help": "JSON file of all results."})


def main(arguments: list[str] | None = None) -> None:
    """Run the trials that the output does not hold yet, and print all of them, the best first."""
    (options,) = parse((TuneArguments,), arguments)
    try:
        search = read_yaml(options.trials)
        if not (isinstance(search, dict) and search.keys() == {"base", "trials"} and isinstance(search["base"], dict)):
            raise ValueError(f"{options.trials} must hold `base`, a mapping of settings, and `trials`, a list of such.")
        base, trials = search["base"], search["trials"]
        if not isinstance(trials, list) or not all(isinstance(trial, dict) for trial in trials):
            raise ValueError(f"{options.trials}: trials must be a list of settings, each a mapping.")
    except (OSError, ValueError) as error:
        stop(error)
    done = json.loads(options.output.read_text())["trials"] if options.output.is_file() else []
    found = [trial for trial in done if trial["settings"] in trials]
    for number, settings in enumerate(trials):
        if settings not in [trial["settings"] for trial in found]:
            found.append({"settings": settings, **run(base | settings, options.runs / str(number), options)})
            about = {"preset": PRESET.name, "base": base, "train_splits": options.train_splits, "trials": found}
            write_results(options.output, about)
    print(format_table(trial_rows(found)))


def run(settings: dict[str, Any], folder: Path, options: TuneArguments) -> dict[str, Any]:
    """Trains with some settings and returns the validation metrics of the best epoch and the seconds of training."""
    movies = {"catalogue": options.catalogue, "train_splits": options.train_splits, "output_dir": folder}
    run_script("train", PRESET, movies | {"plot_columns": options.plot_columns} | settings)
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    evaluations = [entry for entry in record["log"] if "eval_R@10" in entry]
    best = max(evaluations, key=lambda entry: entry["eval_R@10"])
    seconds = next(entry["train_runtime"] for entry in record["log"] if "train_runtime" in entry)
    metrics = {name.removeprefix("eval_"): value for name, value in best.items() if name.startswith("eval_")}
    return {"metrics": metrics, "epoch": best["epoch"], "seconds": seconds}


def trial_rows(trials: list[dict[str, Any]]) -> list[list[str]]:
    """Returns rows for `format_table`, the best R@10 first; metrics are means of both directions."""
    rows = [["settings over the base", *METRICS, "epoch", "seconds"]]
    for trial in sorted(trials, key=lambda trial: -trial["metrics"]["R@10"]):
        label = ", ".join(f"{name} {value}" for name, value in trial["settings"].items()) or "nothing"
        metrics = [trial["metrics"][name] for name in METRICS]
        cells = [f"{metrics[0]:.1%}", f"{metrics[1]:.1%}", f"{metrics[2]:.1f}"]
        rows.append([label, *cells, f"{trial['epoch']:g}", f"{trial['seconds']:.0f}"])
    return rows


if __name__ == "__main__":
    main()
