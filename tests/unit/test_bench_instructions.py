"""Every operation whose instructions are counted can be run, and the count comes from callgrind."""

import shutil

import pytest

from benchmarks import instructions, peers


def available(name: str) -> bool:
    needed = next((p for p in peers.L1_PEERS if name.startswith(p.name)), None)
    return needed is None or peers.why_absent(needed) is None


@pytest.mark.parametrize("name", instructions.CONTENDERS)
def test_an_operation_runs(name: str) -> None:
    if not available(name):
        pytest.skip(f"{name} is not installed")
    instructions.run(name, 1)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_more_rounds_execute_more_instructions() -> None:
    few, many = (instructions.executed(instructions.EMPTY, rounds) for rounds in (1, 50))
    assert many > few > 1_000_000
