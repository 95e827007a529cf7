"""`TieredMemorySystem(policy="s3fifo")`: who leaves L1 is all that changes."""

from pathlib import Path
from typing import Literal

import pytest

from fastmem import TieredMemorySystem


@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
@pytest.mark.parametrize("durability", ["process", "cache"])
def test_every_value_is_found_whatever_tier_it_went_to(
    tmp_path: Path,
    policy: Literal["lru", "s3fifo"],
    durability: Literal["process", "cache"],
) -> None:
    with TieredMemorySystem(
        0.25, tmp_path / "l2", tmp_path / "l3", policy=policy, durability=durability
    ) as memory:
        for number in range(2_000):
            memory.put(f"key:{number}", [number, "x" * 300])
            if number % 3 == 0:
                assert memory.get(f"key:{number // 2}") == [number // 2, "x" * 300]
        memory._check()
        assert memory.l1_current_bytes <= 0.25 * 2**20
        assert memory.get_stats()["l1_entries"] < 2_000
        for number in range(2_000):
            assert memory.get(f"key:{number}") == [number, "x" * 300]
        memory.put("key:7", "replaced")
        assert memory.get("key:7") == "replaced"
        memory._check()


def test_a_scan_of_what_lies_below_leaves_in_l1_what_is_used(tmp_path: Path) -> None:
    held = {}
    for policy in ("lru", "s3fifo"):
        with TieredMemorySystem(
            0.25, tmp_path / policy / "l2", tmp_path / policy / "l3", policy=policy
        ) as memory:
            for number in range(2_000):
                memory.put(f"key:{number}", "x" * 300)
            for _ in range(4):
                for number in range(100):
                    memory.get(f"key:{number}")
            for number in range(500, 1_500):
                memory.get(f"key:{number}")
            held[policy] = sum(f"key:{number}" in memory.l1 for number in range(100))
    assert held == {"lru": 0, "s3fifo": 100}


def test_another_policy_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lru, s3fifo"):
        TieredMemorySystem(1, tmp_path / "l2", tmp_path / "l3", policy="fifo")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
