"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import modeling
import processing
import scripts

MODULES = [
    module.name
    for package in (modeling, processing, scripts)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0
