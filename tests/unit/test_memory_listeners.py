"""What listeners of a memory hear: what leaves the hierarchy, and not what moves in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fastmem import NOT_LOADED, MemoryTier, TieredMemorySystem
from tests.demotion import archive_warm, empty_l1, reclaim

MIB = 1 << 20
Told = list[tuple[Any, Any, str]]


def to_archive(memory: TieredMemorySystem) -> None:
    empty_l1(memory)
    archive_warm(memory)
    empty_l1(memory)


PLACES: dict[MemoryTier, Callable[[TieredMemorySystem], object]] = {
    MemoryTier.L1_HOT: lambda memory: None,
    MemoryTier.L2_WARM: empty_l1,
    MemoryTier.L3_COLD: to_archive,
}


@pytest.fixture(params=["process", "cache"])
def memory(
    request: pytest.FixtureRequest, places: tuple[Path, Path]
) -> Iterator[TieredMemorySystem]:
    options: dict[str, Any] = {"l2_size_mb": 16, "durability": request.param}
    with TieredMemorySystem(1, *places, **options) as memory:
        yield memory
        memory.check()


@pytest.fixture
def told(memory: TieredMemorySystem) -> Told:
    events: Told = []
    memory.add_listener(lambda *event: events.append(event))
    return events


@pytest.fixture(params=PLACES, ids=[tier.value for tier in PLACES])
def placed(
    request: pytest.FixtureRequest, memory: TieredMemorySystem, told: Told
) -> TieredMemorySystem:
    """A memory whose "k" (7) is in one tier; going there was no leaving."""
    memory["k"] = 7
    PLACES[request.param](memory)
    assert memory.entry("k").tier is request.param
    assert told == []
    return memory


CHANGES: dict[str, Callable[[TieredMemorySystem], object]] = {
    "replaced by put": lambda m: m.put("k", 8),
    "replaced by a large put": lambda m: m.put("k", bytes(2 * MIB)),
    "replaced by []=": lambda m: m.__setitem__("k", 8),
    "replaced by put_many": lambda m: m.put_many({"k": 8, "other": 1}),
    "replaced by incr": lambda m: m.incr("k"),
    "replaced by compare_and_set": lambda m: m.compare_and_set("k", 7, 8),
    "deleted by delete": lambda m: m.delete("k"),
    "deleted by pop": lambda m: m.pop("k"),
    "deleted by popitem": lambda m: m.popitem(),
    "deleted by delete_many": lambda m: m.delete_many(["absent", "k"]),
    "cleared by clear": lambda m: m.clear(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_told_once(placed: TieredMemorySystem, told: Told, name: str) -> None:
    held = placed.entry("k").tier is MemoryTier.L1_HOT
    CHANGES[name](placed)
    assert told == [("k", 7 if held else NOT_LOADED, name.split()[0])]
    assert placed.stats()["l1"]["untold"] == {"entries": 0, "bytes": 0}


def test_what_loses_nothing_tells_nothing(placed: TieredMemorySystem, told: Told) -> None:
    placed.get("k")
    placed.touch("k", 60)
    placed.touch("k")
    placed.add("k", 8)
    placed.setdefault("k", 8)
    placed.delete("absent")
    placed.pop("absent", None)
    placed.compare_and_set("k", 1, 2)
    empty_l1(placed)
    placed.get("k")
    archive_warm(placed)
    placed.flush()
    assert placed["k"] == 7
    assert told == []


def test_closing_tells_nothing(places: tuple[Path, Path]) -> None:
    told: Told = []
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        memory.add_listener(lambda *event: told.append(event))
        memory["a"] = 1
    assert told == []


def test_values_are_told_when_only_limbo_has_them(places: tuple[Path, Path]) -> None:
    opened: list[TieredMemorySystem] = []

    class Serializer:
        def dumps(self, value: object) -> bytes:
            opened[0].delete("k")  # in the middle of its demotion
            return b""

        def loads(self, data: bytes) -> object:
            raise AssertionError

    with TieredMemorySystem(
        1, *places, l2_size_mb=16, durability="cache", serializer=Serializer()
    ) as memory:
        opened.append(memory)
        told: Told = []
        memory.add_listener(lambda *event: told.append(event))
        memory["k"] = "value"
        empty_l1(memory)
        assert told == [("k", "value", "deleted")]


@pytest.mark.parametrize("way", ["get", "put", "delete", "expire", "add"])
def test_what_expires_in_l1_is_told(memory: TieredMemorySystem, told: Told, way: str) -> None:
    memory.put("k", 7, 60)
    memory._set_deadline("k", 1)
    if way == "get":
        memory.get("k")
    elif way == "put":
        memory.put("k", 8)
    elif way == "delete":
        memory.delete("k")
    elif way == "expire":
        memory.expire()
    elif memory._write_back:
        assert memory.add("k", 8)
    else:
        memory.peek("k")  # below it lives on: the test moved L1's deadline alone
    assert told[0] == ("k", 7, "expired")
    assert [event for event in told[1:] if event[1] != NOT_LOADED] == []


def test_what_the_last_tier_evicts_is_told(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16, l3_size_mb=16) as memory:
        told: dict[str, tuple[Any, str]] = {}
        memory.add_listener(lambda key, *event: told.setdefault(key, event))
        keys = [f"k{number}" for number in range(60)]
        for number, key in enumerate(keys):
            memory[key] = Random(number).randbytes(800_000)
        gone = [key for key in keys if key not in memory]
        assert gone
        assert sorted(told) == sorted(gone)
        assert set(told.values()) == {(NOT_LOADED, "size")}
        memory.check()


def test_what_cannot_be_spilled_is_told(places: tuple[Path, Path]) -> None:
    class Unpicklable:
        def __reduce__(self) -> tuple[Any, ...]:
            raise ZeroDivisionError

    value = Unpicklable()
    with TieredMemorySystem(1, *places, l2_size_mb=16, durability="cache") as memory:
        told: Told = []
        memory.add_listener(lambda *event: told.append(event))
        memory["k"] = value
        empty_l1(memory)
        assert told == [("k", value, "size")]
        memory["j"] = value
    assert told[1:] == [("j", value, "size")]


def test_listeners_may_use_the_memory(memory: TieredMemorySystem) -> None:
    told: list[str] = []

    @memory.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        memory.check()
        told.append(f"{key} {cause}")
        if cause == "deleted":
            memory[f"{key}'"] = value
            memory.delete("b")

    memory.update(a=1, b=2)
    memory.delete("a")
    assert told == ["a deleted", "b deleted"]
    assert sorted(memory) == ["a'", "b'"]


def test_an_interrupt_leaves_the_change_done(memory: TieredMemorySystem) -> None:
    @memory.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        raise KeyboardInterrupt

    memory["a"] = 1
    with pytest.raises(KeyboardInterrupt):
        memory["a"] = 2
    assert memory["a"] == 2
    memory.check()


def test_without_listeners_nothing_is_queued(memory: TieredMemorySystem, told: Told) -> None:
    memory["a"] = 1
    listener = memory.add_listener(lambda *event: None)
    memory.remove_listener(listener)
    memory["a"] = 2
    assert told == [("a", 1, "replaced")]
    assert memory._listening
    reclaim(memory._engine, 1 << 20)
    assert memory.stats()["l1"]["untold"]["entries"] == 0
