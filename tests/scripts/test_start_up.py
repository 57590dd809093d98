import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if path.stem != "__init__")
# Each of these takes from a part of a second to some seconds to import.
HEAVY = "torch datasets pandas pyarrow scipy sklearn matplotlib gradio onnx cv2 modeling processing"

ASK = f"""
import importlib, sys

before = set(sys.modules)
for name in sys.argv[1:]:
    for flag in ("--help", "--no_such_flag"):
        try:
            importlib.import_module("scripts." + name).main([flag])
        except SystemExit:
            pass
    print(name, "imports", *(module for module in "{HEAVY}".split() if module in sys.modules.keys() - before))
"""


def imported(*commands: str, after: str = "") -> list[str]:
    """The heavy modules that commands import before they answer --help and a wrong flag, a line for each command."""
    words = [sys.executable, "-c", after + ASK, *commands]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("usage: ") == len(commands)
    assert done.stderr.count("error: ") == len(commands)
    return [line for line in done.stdout.splitlines() if line.split()[1:2] == ["imports"]]


def test_help_and_a_wrong_flag_import_nothing_heavy():
    commands = [command for command in COMMANDS if command != "train"]
    assert imported(*commands) == [f"{command} imports" for command in commands]


def test_train_imports_what_the_training_arguments_of_transformers_need_and_no_more():
    assert imported("train", after="from transformers import TrainingArguments\n") == ["train imports"]


def test_threads_that_wait_sleep_unless_the_user_says_otherwise():
    ask = "import scripts, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    for given, policy in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        environment |= {"OMP_WAIT_POLICY": given} if given else {}
        done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.stdout.split() == [policy, "False"]
