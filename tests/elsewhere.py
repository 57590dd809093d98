"""Runs a script as somebody would who has a saved folder and nothing else of ours."""

import subprocess
import sys
from pathlib import Path

import torch


def run_without_clone(script: Path, *arguments: str, cwd: Path, cache: Path, **variables: str) -> str:
    """What the script prints; it starts in `cwd` with an empty environment and cannot import the clone."""
    environment = {
        "HF_HOME": str(cache),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),  # on which the last bits depend
        "PYTHONPATH": str(Path(__file__).parent),  # for no_clone, which then forbids the rest
        "TQDM_DISABLE": "1",
        **variables,
    }
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
