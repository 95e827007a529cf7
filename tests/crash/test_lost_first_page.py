"""The warm first page is destroyed: head, synced address and tails are gone with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastmem import TieredMemorySystem
from fastmem._core.layout import TIER_BIT
from fastmem.storage import opening
from tests.crash.directories import contents, copy, engine_of, open_tiers
from tests.demotion import archive_warm, reclaim

PAD = bytes(60_000)
LARGE = os.urandom(9 << 20)  # more than half of L2: it goes straight to the archive


def fill(memory: TieredMemorySystem, name: str, count: int) -> None:
    for i in range(count):
        memory.put((name, i), PAD)


def without_first_page(source: Path, target: Path) -> Path:
    copy(source, target)
    (target / "l2/super").write_bytes(bytes(4096))
    return target


def test_what_was_archived_stays_dead_once_deleted(private_tmp: Path) -> None:
    """The rebuild finds a value twice, in its warm segment and in the archive. Whoever replaces
    it must know of the archived one, or that returns once its tombstone has left the warm log.
    """
    with open_tiers(private_tmp / "a") as memory:
        memory.put("k", "old")
        fill(memory, "first", 40)
        reclaim(engine_of(memory), 1, forward=False)
        assert engine_of(memory).log.get(b"sk").word & TIER_BIT
        assert engine_of(memory).files.warm.numbers[0] == 0
        without_first_page(private_tmp / "a", private_tmp / "b")
    with open_tiers(private_tmp / "b") as memory:
        assert memory.get("k") == "old"
        assert memory.delete("k")
        archive_warm(memory)
    (private_tmp / "b/l2/index").unlink()
    with open_tiers(private_tmp / "b") as memory:
        assert memory.get("k") is None


def test_what_the_archive_evicted_stays_away(private_tmp: Path) -> None:
    """Its cold segment is still there, with an older value of the same key before it."""
    with open_tiers(private_tmp / "a", l3_size_mb=20) as memory:
        segments = engine_of(memory).files.cold.numbers
        memory.put("k", "old")
        archive_warm(memory)
        memory.put("k", LARGE)
        archive_warm(memory)
        (first,) = segments
        i = 0
        while "k" in memory:
            memory.put(("large", i), LARGE)
            i += 1
        assert segments[0] == first
        memory.check()
        without_first_page(private_tmp / "a", private_tmp / "b")
    for _ in range(2):
        with open_tiers(private_tmp / "b", l3_size_mb=20) as memory:
            assert memory.get("k") is None
            memory.check()
        (private_tmp / "b/l2/index").unlink()


def test_a_restart_of_the_machine_after_it_takes_nothing_for_torn(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value files of what was evicted are gone; that says nothing of the power."""
    with open_tiers(private_tmp / "a", l3_size_mb=20) as memory:
        memory.put("k", os.urandom(900_000))
        fill(memory, "small", 40)
        reclaim(engine_of(memory), 1, forward=False)
        i = 0
        while "k" in memory:
            memory.put(("large", i), LARGE)
            i += 1
        assert engine_of(memory).files.warm.numbers[0] == 0
        without_first_page(private_tmp / "a", private_tmp / "b")
    with open_tiers(private_tmp / "b", l3_size_mb=20) as memory:
        held = contents(memory)
    monkeypatch.setattr(opening, "boot_id", lambda: b"another boot id!")
    with open_tiers(private_tmp / "b", l3_size_mb=20) as memory:
        assert engine_of(memory).files.rebuilt
        assert contents(memory) == held
        assert memory.stats()["l2"]["errors"]["dropped"] == 0
        memory.check()
