"""Conditional verbs of a memory from many threads, while entries go up and down: none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmem import NOT_LOADED, TieredMemorySystem, memoize
from tests.crowd import together
from tests.demotion import empty_l1


@pytest.fixture(params=["process", "cache"])
def memory(
    request: pytest.FixtureRequest, places: tuple[Path, Path]
) -> Iterator[TieredMemorySystem]:
    options: dict[str, Any] = {"l2_size_mb": 16, "durability": request.param}
    with TieredMemorySystem(1, *places, **options) as memory:
        yield memory
        memory.check()


def amid_demotion(memory: TieredMemorySystem, bodies: list[Callable[[], object]]) -> None:
    """Runs the bodies in threads while another one has L1 let go of everything."""
    done = threading.Event()

    def demote() -> None:
        while not done.is_set():
            empty_l1(memory)

    def all_of_them() -> None:
        try:
            assert together(bodies) == []
        finally:
            done.set()

    assert together([demote, all_of_them]) == []


@pytest.mark.usefixtures("eager_switches")
def test_no_increment_is_lost(memory: TieredMemorySystem) -> None:
    def count() -> None:
        for number in range(300):
            memory.incr(f"n{number % 3}")

    amid_demotion(memory, [count] * 4)
    assert sum(memory.values()) == 1_200


@pytest.mark.usefixtures("eager_switches")
def test_compare_and_set_loses_no_update(memory: TieredMemorySystem) -> None:
    memory["list"] = [0]

    def count() -> None:
        for _ in range(100):
            while True:
                held = memory["list"]
                if memory.compare_and_set("list", held, [held[0] + 1]):
                    break

    amid_demotion(memory, [count] * 4)
    assert memory["list"] == [400]


@pytest.mark.usefixtures("eager_switches")
def test_of_all_that_add_one_key_one_succeeds(memory: TieredMemorySystem) -> None:
    won: list[int] = []

    def add_all(me: int) -> None:
        won.extend(number for number in range(200) if memory.add(number, me))

    amid_demotion(memory, [partial(add_all, me) for me in range(4)])
    assert sorted(won) == list(range(200))


@pytest.mark.usefixtures("eager_switches")
def test_listeners_hear_every_change_in_order(memory: TieredMemorySystem) -> None:
    last: dict[Any, int] = {}
    wrong: list[Any] = []
    count = [0]

    @memory.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        count[0] += 1
        if cause != "replaced" or (value is not NOT_LOADED and value <= last.get(key, -1)):
            wrong.append((key, value, cause))
        if value is not NOT_LOADED:
            last[key] = value

    memory.update(dict.fromkeys(range(3), 0))

    def change() -> None:
        for number in range(300):
            memory.incr(number % 3)

    amid_demotion(memory, [change] * 4)
    assert wrong == []
    assert count == [1_200]


@pytest.mark.usefixtures("eager_switches")
def test_no_memoized_call_returns_what_was_invalidated_before_it(
    memory: TieredMemorySystem,
) -> None:
    version, invalid, done = [0], [0], threading.Event()
    memo = memoize(memory, key=lambda: "key")(lambda: version[0])

    def read() -> None:
        while not done.is_set():
            before = invalid[0]
            assert memo() >= before

    def invalidate() -> None:
        try:
            for number in range(1, 300):
                version[0] = number
                memo.invalidate()
                invalid[0] = number
        finally:
            done.set()

    amid_demotion(memory, [read, read, invalidate])
