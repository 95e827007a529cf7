"""What L1 lets go of is counted once: as demoted, when a tier below has it, or as evicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastmem import TieredMemorySystem
from fastmem.memory import Durability
from tests.demotion import empty_l1


@pytest.mark.parametrize("durability", ["process", "disk", "cache"])
def test_what_goes_down_is_demoted_and_not_evicted(
    places: tuple[Path, Path], durability: Durability
) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16, durability=durability) as memory:
        memory.update({i: i for i in range(100)})
        empty_l1(memory)
        flat = memory.get_stats()
        assert flat["l1_demotions"] == 100
        assert flat["l1_evictions"] == flat["l2_evictions"] == flat["l3_evictions"] == 0
        assert all(memory.get(i) == i for i in range(100))
        empty_l1(memory)  # they are copies now of what the tier below has
        assert memory.stats()["l1"]["demotions"] == 200


def test_what_cannot_go_down_is_evicted_and_not_demoted(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16, durability="cache") as memory:
        memory.update({i: i if i % 10 else lambda: 0 for i in range(100)})
        empty_l1(memory)
        stats = memory.stats()
        assert len(memory) == stats["l1"]["demotions"] == 90
        assert stats["l1"]["evictions"] == {"spill_failed": 10}
        assert memory.get_stats()["l1_evictions"] == 10


def test_what_is_replaced_on_its_way_down_is_neither(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16, durability="cache") as memory:

        class Nested:
            def __reduce__(self) -> tuple[type[int], tuple[int]]:
                memory["k"] = 2  # while it is being written
                return int, (1,)

        memory["k"] = Nested()
        empty_l1(memory)
        assert memory["k"] == 2
        stats = memory.stats()["l1"]
        assert (stats["demotions"], stats["evictions"]) == (0, {"spill_failed": 0})
