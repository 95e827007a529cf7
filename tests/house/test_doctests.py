"""Every example in a docstring runs, those of compiled modules too."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import fastmem

MODULES = [
    "fastmem",
    *(
        found.name
        for found in pkgutil.walk_packages(fastmem.__path__, "fastmem.")
        if not found.name.endswith("__main__")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(private_tmp)  # an example may use default paths
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("name", ["l1", "events", "conditional", "bulk", "sizing"])
def test_examples_of_compiled_modules_are_found(name: str) -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(importlib.import_module(f"fastmem._core.{name}"))
    assert any(each.examples for each in found)
