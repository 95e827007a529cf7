"""What `used_bytes` says of values that change after their put.

L1 counts the size of the last put, and takes just that off again when the entry leaves; below, and
on the way up, a value counts what it is then. So no mistake outlives the entry's stay in L1.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fastmem import L1Cache, MemoryTier, TieredMemorySystem
from fastmem._core.sizing import deep_size
from tests.demotion import empty_l1

MIB = 1 << 20
LARGE = bytes(50_000)


def size(key: object, value: object) -> int:
    return deep_size(key) + deep_size(value) + 80


def test_a_hit_counts_the_size_of_the_put_and_a_put_the_new_one() -> None:
    cache, value = L1Cache(1_000_000), [b"small"]
    cache["k"] = value
    before = cache.used_bytes
    assert before == size("k", value)
    value.append(LARGE)
    assert cache.get("k") is value
    assert cache.touch("k", 60)
    assert cache.used_bytes == before
    cache["k"] = value
    assert cache.used_bytes == size("k", value) > before + len(LARGE)
    value.clear()
    assert cache.compare_and_set("k", value, value)
    assert cache.used_bytes == size("k", value)


@pytest.mark.parametrize("leave", ["delete", "pop", "clear", "evict", "replace"])
@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_what_leaves_takes_along_what_it_counted(leave: str, policy: str) -> None:
    cache = L1Cache(1_000_000, policy=policy)  # type: ignore[arg-type]
    cache["other"] = 1
    before = cache.used_bytes
    value = [b"small"]
    cache["k"] = value
    value.append(LARGE)
    if leave == "evict":
        cache.get("other")
        cache.get("other")
        cache.resize(cache.used_bytes - 1)
        assert "k" not in cache
    elif leave == "replace":
        cache["k"] = 1
        cache.delete("k")
    elif leave == "clear":
        cache.clear()
        cache["other"] = 1
    else:
        getattr(cache, leave)("k")
    assert cache.used_bytes == before
    cache._check()


@pytest.fixture
def memory(places: tuple[Path, Path]) -> TieredMemorySystem:
    return TieredMemorySystem(200_000 / MIB, *places, l2_size_mb=16, durability="cache")


def test_a_demoted_value_goes_below_and_comes_back_at_its_size_then(
    memory: TieredMemorySystem,
) -> None:
    value = [b"small"]
    memory["k"] = value
    small = memory.used_bytes
    assert small == size("k", value)
    value.append(LARGE)
    empty_l1(memory)
    assert memory.used_bytes == 0
    assert memory.entry("k").tier is MemoryTier.L2_WARM
    assert memory.stats()["l2"]["bytes"] > len(LARGE)
    promoted = memory.get("k")
    assert promoted == [b"small", LARGE]
    assert memory.used_bytes == size("k", promoted) > small + len(LARGE)
    memory.check()
    memory.close()


def test_what_grew_too_large_for_l1_stays_below(memory: TieredMemorySystem) -> None:
    value = [b"small"]
    memory["k"] = value
    value.append(bytes(300_000))
    empty_l1(memory)
    assert memory.get("k") == [b"small", bytes(300_000)]
    assert memory.used_bytes == 0
    assert memory.entry("k").tier is MemoryTier.L2_WARM
    memory.close()


def test_what_grew_too_large_for_every_tier_is_dropped_counted_and_logged(
    places: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    memory = TieredMemorySystem(
        200_000 / MIB, *places, l2_size_mb=16, l3_size_mb=16, durability="cache"
    )
    value = [b"small"]
    memory["k"] = value
    value.append(bytes(9 * MIB))
    empty_l1(memory)
    assert "k" not in memory
    assert memory.stats()["l1"]["evictions"]["spill_failed"] == 1
    assert "could not be spilled" in caplog.text
    memory.check()
    memory.close()


def test_budgets_hold_however_values_grow(memory: TieredMemorySystem) -> None:
    """Values that grow while they are in L1 go through it again and again."""
    values: list[list[bytes]] = [[b"x"] for _ in range(50)]
    for turn in range(20):
        for number, value in enumerate(values):
            memory[f"k{number}"] = value
            assert memory.used_bytes <= memory.budget_bytes
            value.append(bytes(100 * turn))
    for number in range(50):
        memory.get(f"k{number}")
        assert memory.used_bytes <= memory.budget_bytes
    empty_l1(memory)
    assert memory.used_bytes == 0
    memory.check()
    memory.close()
