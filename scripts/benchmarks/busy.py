"""Measure a command on a busy machine: `python scripts/benchmarks/busy.py --command "python scripts/train.py ..."`.

The command runs alone, then beside processes that keep every core busy, with threads that sleep while they wait, as the
commands set them, and with threads that spin.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from processing.reporting.results import write_results
from scripts.benchmarks.measure import table
from scripts.common.command_line import parse, stop

SPIN = "while True: pass"
ROWS = {
    "alone": (False, "PASSIVE"),
    "alone, threads spin": (False, "ACTIVE"),
    "busy": (True, "PASSIVE"),
    "busy, threads spin": (True, "ACTIVE"),
}


@dataclass
class BusyArguments:
    """What is measured, and where the results go."""

    command: str = field(metadata={"help": "The command; it must do the same work each time."})
    rounds: int = field(default=2, metadata={"help": "How often all rows take turns."})
    output: Path = field(default=Path("results/busy_benchmark.json"), metadata={"help": "File of the results."})


def main(arguments: list[str] | None = None) -> None:
    """Measures, writes the results and prints them."""
    (options,) = parse((BusyArguments,), arguments, description=__doc__)
    words, cores = shlex.split(options.command), os.cpu_count() or 1
    seconds: dict[str, list[float]] = {name: [] for name in ROWS}
    try:
        for _ in range(options.rounds):
            for name, (busy, policy) in ROWS.items():
                with busy_processes(cores if busy else 0):
                    seconds[name].append(seconds_of(words, policy))
    except (OSError, subprocess.CalledProcessError) as error:
        stop(error)
    section = {
        "title": "A command alone, and beside as many busy processes as there are cores",
        "note": f"Medians of {options.rounds} runs of `{options.command}`, with {cores} cores.",
        "rows": rows(seconds),
    }
    write_results(options.output, {"sections": {"busy": section}})
    print(table(section))


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """A context beside which so many processes keep a core busy each."""
    processes = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds_of(words: list[str], policy: str) -> float:
    """Returns the seconds that a command takes whose threads wait by a policy of OpenMP.

    Raises:
        CalledProcessError: the command failed.
    """
    start = perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_WAIT_POLICY": policy})
    return perf_counter() - start


def rows(seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Returns the median seconds of each row, and how many times those alone they are.

    Example:
        >>> rows({"alone": [1.0, 3.0], "busy": [4.0]})[1]
        {'machine': 'busy', 'seconds': 4.0, 'times alone': 2.0}
    """
    alone = median(seconds["alone"])
    return [{"machine": name, "seconds": median(of), "times alone": median(of) / alone} for name, of in seconds.items()]


if __name__ == "__main__":
    main()
