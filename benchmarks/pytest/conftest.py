"""pytest-benchmark over the shared workloads. Informational: no time fails a test.

    pytest benchmarks/pytest                                            measure
    pytest benchmarks/pytest --benchmark-save=before                    keep it in .benchmarks/
    pytest benchmarks/pytest --benchmark-compare                        against the last kept one
    pytest benchmarks/pytest --benchmark-compare=benchmarks/baselines/baseline.json

The hooks below keep saved files free of what names a machine or a person.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Last on the path: an installed fastmem is measured rather than the tree's.
sys.path.append(str(Path(__file__).resolve().parents[2]))

MACHINE_FACTS = {"machine", "system", "python_implementation", "python_version"}


def pytest_benchmark_update_machine_info(config: object, machine_info: dict[str, Any]) -> None:
    """Only what explains a number: no host name, no kernel build, no cpu serial facts."""
    del config
    for name in set(machine_info) - MACHINE_FACTS:
        del machine_info[name]


def pytest_benchmark_update_commit_info(config: object, commit_info: dict[str, Any]) -> None:
    """The commit, without the folder, branch and author's time."""
    del config
    for name in set(commit_info) - {"id", "dirty"}:
        del commit_info[name]


def pytest_benchmark_update_json(
    config: object, benchmarks: object, output_json: dict[str, Any]
) -> None:
    """The statistics without each round's time, to nanoseconds: small enough to commit."""
    del config, benchmarks
    for entry in output_json["benchmarks"]:
        entry["stats"].pop("data", None)
        for name, value in entry["stats"].items():
            if isinstance(value, float):
                entry["stats"][name] = round(value, 9)


@pytest.fixture
def need() -> Callable[[str], Any]:
    """A public name of fastmem, or a skip that says it is missing."""

    def find(name: str) -> Any:
        module = importlib.import_module("fastmem")
        if not hasattr(module, name):
            pytest.skip(f"fastmem.{name} does not exist yet")
        return getattr(module, name)

    return find


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[Callable[[Path], Any]], Any]]:
    """Opens a store in a private directory and closes it after the test."""
    stores: list[Any] = []

    def make(opener: Callable[[Path], Any]) -> Any:
        private = tmp_path / "store"
        private.mkdir(mode=0o700)
        stores.append(opener(private))
        return stores[-1]

    yield make
    for store in stores:
        store.close()
