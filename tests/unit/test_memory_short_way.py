"""What the compiled put and miss of a memory do is what the layers do for all other values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError, KeyTypeError, SerializationError, TieredMemorySystem
from fastmem._core.keys import encode_key
from tests.crash.directories import copy, engine_of, open_tiers

# Of the short way, and of the long one: a tuple is no MessagePack, a large body no inline record.
VALUES = [
    None, 7, 1.5, "text", "t\u00e9xt", b"raw", {"a": [1]}, "\ud800", (1, 2), {3}, 2**70,
    b"x" * 300_000, "x" * 300_000,
]  # fmt: skip


def small_l1(at: Path, **keywords: Any) -> TieredMemorySystem:
    at.mkdir(mode=0o700, exist_ok=True)
    return TieredMemorySystem(1, at / "l2", at / "l3", l2_size_mb=64, **keywords)


def evict_all(memory: TieredMemorySystem) -> None:
    budget = memory.budget_bytes
    memory.resize(1)
    memory.resize(budget)
    assert memory.stats()["l1"]["entries"] == 0


@pytest.mark.parametrize("way", [{}, {"secret_key": bytes(32)}, {"durability": "cache"}])
def test_values_come_back_from_below(tmp_path: Path, way: dict[str, Any]) -> None:
    with small_l1(tmp_path, **way) as memory:
        for number, value in enumerate(VALUES):
            memory.put(number, value)
            memory[("set", number)] = value
        memory.put_many({("many", number): value for number, value in enumerate(VALUES)})
        evict_all(memory)
        for number, value in enumerate(VALUES):
            for key in (number, ("set", number), ("many", number)):
                assert memory.get(key) == value
                assert memory[key] == value
        evict_all(memory)
        found = memory.get_many(range(-1, len(VALUES)))
        assert found == dict(enumerate(VALUES))
        memory._check()
        memory.check()
    with small_l1(tmp_path, **way) as memory:
        assert [memory[number] for number in range(len(VALUES))] == VALUES


def test_counts_of_a_miss_and_of_a_promotion(tmp_path: Path) -> None:
    with small_l1(tmp_path) as memory:
        memory.put("k", 1, ttl_seconds=3600)
        deadline = memory._deadline("k")
        evict_all(memory)
        entry = memory.entry("k")
        assert (memory.get("k"), memory.get("absent", 5)) == (1, 5)
        stats = memory.stats()
        assert [stats["l2"][name] for name in ("hits", "misses", "promotions")] == [1, 1, 1]
        assert [stats["l3"][name] for name in ("hits", "misses", "promotions")] == [0, 1, 0]
        assert [stats["l1"][name] for name in ("hits", "misses")] == [0, 2]
        assert abs(memory._deadline("k") - deadline) < 2
        again = memory.entry("k")
        assert entry is not None
        assert again is not None
        assert abs(again.timestamp - entry.timestamp) < 0.002


def test_a_promoted_value_does_not_take_the_place_of_a_newer_one(tmp_path: Path) -> None:
    """The sizer runs between the read and the promotion."""

    def sizer(value: Any) -> int:
        if armed:
            armed.clear()
            memory.put("k", "newer")
        return sys.getsizeof(value)

    armed: list[int] = []
    with small_l1(tmp_path, sizer=sizer) as memory:
        memory.put("k", "older")
        evict_all(memory)
        armed.append(1)
        memory.get("k")
        assert memory.get("k") == "newer"
        assert memory.stats()["l2"]["promotions"] == 0


def test_a_sizer_that_closes_the_memory_is_told(tmp_path: Path) -> None:
    def sizer(_: Any) -> int:
        if armed:
            armed.clear()
            memory.close()
        return 100

    armed: list[int] = []
    calls: list[Callable[[TieredMemorySystem], object]]
    calls = [lambda m: m.put("k", 2), lambda m: m.get("k"), lambda m: m.get_many(["k", "l"])]
    for number, call in enumerate(calls):
        memory = small_l1(tmp_path / str(number), sizer=sizer)
        memory.put("k", 1)
        memory.put("l", 1)
        evict_all(memory)
        armed.append(1)
        with pytest.raises(ClosedError):
            call(memory)
        assert memory.closed


def test_listeners_hear_what_a_put_replaced(tmp_path: Path) -> None:
    heard: list[Any] = []
    with small_l1(tmp_path) as memory:
        memory.put("k", "first")
        memory.add_listener(lambda *event: heard.append(event))
        memory.put("k", "second")
        memory["k"] = "third"
        memory.put_many({"k": "fourth"})
        assert [event[:2] for event in heard] == [("k", "first"), ("k", "second"), ("k", "third")]


def test_what_a_put_has_done_outlives_a_kill(private_tmp: Path) -> None:
    with open_tiers(private_tmp / "at") as memory:
        memory.put("k", {"a": 1})
        memory["l"] = "text"
        killed = copy(private_tmp / "at", private_tmp / "killed")
    with open_tiers(killed) as memory:
        assert (memory["k"], memory["l"]) == ({"a": 1}, "text")


def test_a_clean_victim_counts_as_used_below(tmp_path: Path) -> None:
    with small_l1(tmp_path) as memory:
        log = engine_of(memory).log
        memory.put("kept", 1)
        memory.put("moved", 1)
        encoded = encode_key("moved")
        assert log.forward(encoded, log.seek(encoded))
        evict_all(memory)
        assert log.was_touched(encode_key("kept"))
        assert log.was_touched(encoded)


def test_what_is_refused_changes_nothing(tmp_path: Path) -> None:
    with small_l1(tmp_path, allow_pickle=False) as memory:
        memory.put("k", 1)
        for key, value, error in (("k", object(), SerializationError), (1.0, 1, KeyTypeError)):
            with pytest.raises(error):
                memory.put(key, value)
            with pytest.raises(error):
                memory[key] = value
        with pytest.raises(ValueError, match="ttl_seconds"):
            memory.put("k", 2, ttl_seconds=0)
        assert memory["k"] == 1
        with pytest.raises(KeyTypeError):
            memory.get_many(["k", 1.0])
