"""L1 beside a real second process that puts and deletes in the same directories."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastmem import TieredMemorySystem
from tests.children import forked

ROUNDS = 200
OTHER = """
import sys
from fastmem import TieredMemorySystem
with TieredMemorySystem(1, sys.argv[1], sys.argv[2], l2_size_mb=16, coherent=True) as memory:
    for line in sys.stdin:
        verb, number = line.split()
        if verb == "put":
            memory.put("k", int(number))
        elif verb == "delete":
            memory.delete("k")
        elif verb == "incr":
            for _ in range(int(number)):
                memory.incr("n")
        print(memory.get("k"), flush=True)
"""


class Other:
    """The other process."""

    def __init__(self, places: tuple[Path, Path]) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", OTHER, *map(str, places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, verb: str, number: int = 0) -> None:
        assert self.child.stdin is not None
        print(verb, number, file=self.child.stdin, flush=True)

    def end(self) -> str:
        """What it gets afterwards."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def does(self, verb: str, number: int = 0) -> str:
        self.begin(verb, number)
        return self.end()


@pytest.fixture
def other(places: tuple[Path, Path], memory: TieredMemorySystem) -> Iterator[Other]:
    process = Other(places)
    process.does("get")  # it has opened the directories, too
    yield process
    process.child.communicate()


@pytest.fixture
def memory(places: tuple[Path, Path]) -> Iterator[TieredMemorySystem]:
    with TieredMemorySystem(1, *places, l2_size_mb=16, coherent=True) as opened:
        opened.put("before", 1)
        yield opened


def test_what_the_other_does_is_seen(memory: TieredMemorySystem, other: Other) -> None:
    for number in range(ROUNDS):
        assert other.does("put", number) == str(number)
        assert memory.get("k") == number
        memory.put("k", -number)
        assert other.does("get") == str(-number)
        if number % 3 == 0:
            assert other.does("delete") == "None"
            assert memory.get("k") is None
            assert "k" not in memory
    assert memory.get("before") == 1


def test_no_increment_of_either_is_lost(memory: TieredMemorySystem, other: Other) -> None:
    other.begin("incr", 1000)
    for _ in range(1000):
        memory.incr("n")
    other.end()
    assert memory.get("n") == 2000


def test_a_child_and_its_parent(memory: TieredMemorySystem) -> None:
    memory.put("k", 1)
    assert forked(lambda: (memory.get("k"), memory.put("k", 2), memory.get("k"))) == "(1, None, 2)"
    assert memory.get("k") == 2
    for number in range(3, 6):
        assert forked(lambda: (memory.incr("k"), memory.get("k"))) == f"({number}, {number})"
        assert memory.get("k") == number
