"""Time to live: what is refused, and one absolute deadline in every tier."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fastmem import MemoryEntry, MemoryTier, TieredMemorySystem
from fastmem._core.clock import boottime_ns
from fastmem._core.log import WARM
from fastmem.memory import Durability

MIB = 1 << 20


@pytest.fixture
def opened(private_tmp: Path) -> Iterator[Callable[..., TieredMemorySystem]]:
    """Opens one place again and again, closing what was open there."""
    memories: list[TieredMemorySystem] = []

    def again(l1_size_mb: float = 1, **options: Any) -> TieredMemorySystem:
        if memories:
            memories.pop().close()
        memory = TieredMemorySystem(
            l1_size_mb, private_tmp / "l2", private_tmp / "l3", **({"l2_size_mb": 16} | options)
        )
        memories.append(memory)
        return memory

    yield again
    if memories:
        memories.pop().close()


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
    memory.resize(1)
    memory.resize(MIB)
    assert agrees(memory.entry("k"))
    assert memory["k"] == "v"
    assert agrees(memory.entry("k"))
    memory = opened()
    assert agrees(memory.entry("k"))
    engine = memory._engine
    engine.provided(engine.log.roll, WARM)
    with engine._lock:
        engine.reclaimer.step(MIB, forward=False)
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
    memory.resize(1)
    memory.resize(MIB)
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
