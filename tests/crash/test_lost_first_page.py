"""The warm first page is destroyed: head, synced address and tails are gone with it."""

from __future__ import annotations

from pathlib import Path

from fastmem import TieredMemorySystem
from fastmem._core.layout import LOCATION_MASK
from tests.crash.directories import copy, engine_of, open_tiers

PAD = bytes(60_000)


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
        files = engine_of(memory).files
        memory.put("k", "old")
        at = engine_of(memory).log.get(b"sk").word & LOCATION_MASK
        for i in range(10_000):
            memory.put(("first", i), PAD)
            if files.super.get("head") > at:
                break
        assert files.warm.numbers[0] == 0  # still linked, while what it held is settled
        without_first_page(private_tmp / "a", private_tmp / "b")
    with open_tiers(private_tmp / "b") as memory:
        assert memory.get("k") == "old"
        assert memory.delete("k")
        fill(memory, "second", 400)
        assert engine_of(memory).files.warm.numbers[0] > 0
    (private_tmp / "b/l2/index").unlink()
    with open_tiers(private_tmp / "b") as memory:
        assert memory.get("k") is None
