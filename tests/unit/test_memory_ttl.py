"""Time to live: what is refused, and one absolute deadline in every tier."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from fastmem import MemoryEntry, MemoryTier, TieredMemorySystem
from fastmem._core.clock import boottime_ns
from fastmem.memory import Durability
from tests.demotion import archive_warm, empty_l1

MIB = 1 << 20


@pytest.mark.parametrize("durability", ["process", "cache"])
@pytest.mark.parametrize(
    ("ttl", "error"),
    [
        (0, ValueError), (0.0, ValueError), (-1, ValueError), (-1e-9, ValueError),
        (float("nan"), ValueError), (float("-inf"), ValueError), (timedelta(0), ValueError),
        (timedelta(seconds=-1), ValueError), (-(10**30), ValueError), (True, TypeError),
        (False, TypeError), ("60", TypeError), (b"60", TypeError), ([60], TypeError),
        (1j, TypeError),
    ],
    ids=repr,
)  # fmt: skip
def test_a_ttl_that_is_refused_changes_nothing(
    opened: Callable[..., TieredMemorySystem],
    durability: Durability,
    ttl: Any,
    error: type[BaseException],
) -> None:
    memory = opened(durability=durability)
    memory.put("k", 1, 60)
    before = memory.entry("k")
    with pytest.raises(error, match="ttl_seconds"):
        memory.put("k", 2, ttl)
    with pytest.raises(error, match="ttl_seconds"):
        memory.touch("k", ttl)
    with pytest.raises(error, match="ttl_seconds"):
        memory.put("new", 2, ttl)
    assert memory.entry("k") == before
    assert "new" not in memory


FOREVER = [None, float("inf"), 1e30, 10**30, timedelta.max]
LONG = [60, 60.5, timedelta(minutes=1), 1e9, 7e9, 9e9, 9.1e9]


@pytest.mark.parametrize("durability", ["process", "cache"])
@pytest.mark.parametrize("ttl", FOREVER + LONG, ids=repr)
def test_a_ttl_is_the_same_in_every_tier(
    opened: Callable[..., TieredMemorySystem], durability: Durability, ttl: Any
) -> None:
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    memory = opened(durability=durability)
    memory.put("k", "v", ttl)

    def agrees(entry: MemoryEntry | None) -> bool:
        assert entry is not None
        if ttl in FOREVER:
            return entry.ttl is None
        # The wall clock's 64 bits end in 2262.
        end = 2**63 / 1e9 - entry.timestamp
        return entry.ttl is not None and min(seconds, end) - 1 <= entry.ttl <= seconds + 1

    assert agrees(memory.entry("k"))
    empty_l1(memory)
    assert agrees(memory.entry("k"))
    assert memory["k"] == "v"
    assert agrees(memory.entry("k"))
    memory = opened()
    assert agrees(memory.entry("k"))
    archive_warm(memory)
    assert memory.entry("k").tier is MemoryTier.L3_COLD
    assert agrees(memory.entry("k"))
    assert memory["k"] == "v"
    assert memory["k"] == "v"
    assert agrees(memory.entry("k"))


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_expired_means_invisible_everywhere(
    opened: Callable[..., TieredMemorySystem], durability: Durability
) -> None:
    memory = opened(durability=durability)
    for key in ("hot", "warm"):
        memory.put(key, key, 0.05)
        memory.put(f"{key} for ever", key)
    deadline = boottime_ns() + 60_000_000
    empty_l1(memory)
    memory.get("hot")
    while boottime_ns() < deadline:
        pass
    for key in ("hot", "warm"):
        assert key not in memory
        assert memory.get(key, "miss") == "miss"
        assert memory.peek(key, "miss") == "miss"
        assert memory.entry(key) is None
        assert memory.pop(key, "miss") == "miss"
        assert memory.delete(key) is False
        assert memory.touch(key, 5) is False
        assert key not in list(memory)
    assert set(opened()) == {"hot for ever", "warm for ever"}
