"""Processes that do not import torch again: a server that has imported it is forked for each."""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch import multiprocessing

from modeling.training.trainer import PosterCLIPTrainer

METHOD = "forkserver"
multiprocessing.get_context(METHOD).set_forkserver_preload(["tests.modeling.runs"])


def exit_code(function: Callable[..., Any], *arguments: Any, **options: Any) -> int:
    """How a process that calls a function ends; of one that a signal kills, minus the signal."""
    called = function, arguments, options
    process = multiprocessing.get_context(METHOD).Process(target=_call, args=called)
    process.start()
    process.join()
    return process.exitcode


def train_in_two(run: Callable[..., PosterCLIPTrainer], *arguments: Any, **options: Any) -> None:
    """Call a function that trains in two processes, which find each other as those of torchrun do."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    multiprocessing.start_processes(_train, (port, run, arguments, options), nprocs=2, start_method=METHOD)


def _train(rank: int, port: int, run: Callable[..., PosterCLIPTrainer], arguments: tuple, options: dict) -> None:
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)  # as torchrun does
    _call(run, arguments, options).leave_process_group()


def _call(function: Callable[..., Any], arguments: tuple, options: dict) -> Any:
    multiprocessing.set_start_method("fork", force=True)  # or data loaders would have the server's method
    return function(*arguments, **options)
