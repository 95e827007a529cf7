"""The warm budget holds whatever is put: small records, large values, many keys."""

import os
from pathlib import Path
from typing import Any, Never

import pytest

from fastmem import SegmentStore, TieredMemorySystem, ValueTooLargeError

MIB = 1 << 20


def used(directory: Path) -> int:
    """Bytes that the store's files take on disk, the lock file and first page aside."""
    return sum(
        entry.stat().st_blocks * 512
        for entry in os.scandir(directory)
        if entry.name not in ("super", "procs")
    )


@pytest.mark.parametrize("size", [300_000, MIB, 5 * MIB])
def test_large_values_make_room_for_one_another(private_tmp: Path, size: int) -> None:
    with SegmentStore(private_tmp, budget_bytes=16 * MIB) as store:
        for number in range(60):
            value = number.to_bytes(8, "big") * (size // 8)
            store.put(number, value)
            assert store.get(number) == value
            assert used(private_tmp) <= 16 * MIB
        stats = store.stats()
        assert stats["entries"] + stats["evictions"]["size"] == 60
        assert stats["value_files"] == stats["entries"] > 0
        store.check()


def test_large_values_beside_small_ones(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=16 * MIB) as store:
        for number in range(300):
            store.put(("large", number), bytes(300_000))
            for small in range(20):
                store.put(("small", number, small), bytes(2_000))
            assert used(private_tmp) <= 16 * MIB
        store.check()


def test_what_is_live_and_fits_is_kept_however_often_the_log_goes_round(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=16 * MIB) as store:
        for number in range(4_000):
            store.put(number, number.to_bytes(1_000, "big"))
        for _ in range(40_000):  # five times the budget, of which one record is live
            store.put("hot", bytes(2_000))
        assert [number for number in range(4_000) if number not in store] == []
        assert store.get(3) == (3).to_bytes(1_000, "big")
        assert store.stats()["evictions"] == {"size": 0}
        store.check()


def test_many_small_keys_and_the_index_they_need(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=16 * MIB) as store:
        for number in range(200_000):
            store.put(number, b"")
            if number % 10_000 == 0:
                assert used(private_tmp) <= 16 * MIB
        assert store.stats()["bytes"] <= 16 * MIB
        assert used(private_tmp) <= 16 * MIB
        store.check()


def test_a_value_over_half_the_budget_is_refused(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=16 * MIB) as store:
        store.put("k", "old")
        with pytest.raises(ValueTooLargeError) as caught:
            store.put("k", bytes(8 * MIB + 1))
        assert caught.value.limit == 8 * MIB
        assert store.get("k") == "old"


def test_demoted_large_values_are_all_kept(private_tmp: Path) -> None:
    with TieredMemorySystem(1, private_tmp / "warm", private_tmp / "cold", l2_size_mb=16) as memory:
        for number in range(80):
            memory.put(number, os.urandom(8) * (MIB // 8))
        assert len(memory) == 80
        assert used(private_tmp / "warm") <= 16 * MIB
        assert memory.get_stats()["l2_demotions"] > 0
        memory.check()


def test_one_large_value_moves_few(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=64 * MIB) as store:
        for number in range(200):
            before = len(store)
            store.put(number, bytes(500_000))
            assert len(store) > before - 5
        store.check()


def test_an_unbounded_archive_sheds_what_is_dead(private_tmp: Path) -> None:
    with TieredMemorySystem(1, private_tmp / "w", private_tmp / "c", l2_size_mb=16) as memory:
        for _ in range(8):
            for key in range(1_500):
                memory.put(key, os.urandom(20_000))
        stats = memory.get_stats()
        assert len(memory) == 1_500
        assert stats["l3_bytes"] < 5 * 16 * MIB
        memory.check()


def test_an_interrupt_in_a_spill_leaves_no_claim(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TieredMemorySystem(
        1, private_tmp / "w", private_tmp / "c", l2_size_mb=16, durability="cache"
    ) as memory:
        spill_one = memory._spill_one

        def interrupted(key: Any) -> Never:
            monkeypatch.setattr(memory, "_spill_one", spill_one)
            raise KeyboardInterrupt

        monkeypatch.setattr(memory, "_spill_one", interrupted)
        memory.put("victim", bytes(300_000))
        with pytest.raises(KeyboardInterrupt):
            memory.update({number: bytes(300_000) for number in range(10)})
        assert memory._spilling == {}
        assert memory.get("victim") == bytes(300_000)
        memory.flush()
        assert memory._limbo == {}
    with TieredMemorySystem(1, private_tmp / "w", private_tmp / "c", l2_size_mb=16) as memory:
        assert memory["victim"] == bytes(300_000)


@pytest.mark.parametrize("size", [float("inf"), float("nan"), 0, -1])
def test_sizes_that_are_none(private_tmp: Path, size: int) -> None:
    with pytest.raises(ValueError, match="l1_size_mb"):
        TieredMemorySystem(size, private_tmp / "w", private_tmp / "c")
