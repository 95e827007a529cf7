"""Newest wins, whatever is moved, refused, reclaimed or rebuilt in between."""

from __future__ import annotations

import errno
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from fastmem import SegmentStore, TieredMemorySystem
from fastmem.storage import files, opening
from tests.crash.directories import (
    CLEAN_AT,
    SEGMENT,
    UNIT,
    contents,
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
    rebuilt_contents,
    set_word,
)
from tests.demotion import reclaim


def reclaim_all(memory: TieredMemorySystem | SegmentStore) -> None:
    """Move everything out of the warm segments that are full."""
    engine = engine_of(memory)
    with engine.lock:
        engine.log.roll(0) if engine.log.mapping(0, engine.files.tail_segment(0) + 1) else roll(
            engine
        )
        while engine.files.warm.numbers[0] < engine.files.tail_segment(0):
            reclaim(engine, SEGMENT, forward=False)


def roll(engine: Any) -> None:
    engine.room.add_segment(0)
    engine.log.roll(0)


def test_a_put_that_was_refused_never_comes_to_life(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_segments(private_tmp) as store:
        monkeypatch.setattr(files.Directory, "extend", full_disk)
        put = {}

        def fill() -> None:
            for key in range(200_000):
                store.put(key, key)
                put[key] = key

        with pytest.raises(OSError):
            fill()
        assert engine_of(store).log.buckets[2] == engine_of(store).log.buckets[3]  # overflow full
        assert contents(store) == put
        monkeypatch.undo()
    with open_segments(private_tmp) as store:
        assert contents(store) == put
        assert store.stats()["redone_records"] == 0


def full_disk(*_args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_delete_holds_when_its_tombstone_is_reclaimed_after_a_new_put(private_tmp: Path) -> None:
    """delete, put, reclaim of the tombstone, delete again, reclaim: the archive's copy is dead."""
    with open_tiers(private_tmp) as memory:
        memory.put("k", "first")
        reclaim_all(memory)
        assert engine_of(memory).log.cold_entries == 1
        memory.delete("k")
        roll(engine_of(memory))
        memory.put("k", "second")
        reclaim_one(memory)
        memory.delete("k")
        reclaim_all(memory)
        assert memory.get("k") is None
        assert rebuilt_contents(private_tmp, private_tmp / "copy", open_tiers) == {}


def reclaim_one(memory: TieredMemorySystem) -> None:
    engine = engine_of(memory)
    with engine.lock:
        before = engine.files.warm.numbers[0]
        while engine.files.warm.numbers[0] == before:
            reclaim(engine, SEGMENT, forward=False)


def test_an_expired_record_dropped_just_before_a_crash_stays_shadowed(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", "in the archive")
        reclaim_all(memory)
        memory.put("k", "expires", ttl_seconds=0.02)
        roll(engine_of(memory))
        while memory.get("k") is not None:
            time.sleep(0.005)
        engine = engine_of(memory)
        engine.cold.shadow = lambda *_args, **_more: (_ for _ in ()).throw(OSError("killed"))
        with pytest.raises(OSError, match="killed"):
            reclaim_all(memory)
        copy(private_tmp, private_tmp / "crashed")
        del engine.cold.shadow
    with open_tiers(private_tmp / "crashed") as memory:
        reclaim_all(memory)
        assert memory.get("k") is None
    crashed = private_tmp / "crashed"
    assert rebuilt_contents(crashed, private_tmp / "rebuilt", open_tiers) == {}


def test_an_old_copy_does_not_return_when_the_archive_evicts_a_newer_one(
    private_tmp: Path,
) -> None:
    with open_tiers(private_tmp, l3_size_mb=32) as memory:
        memory.put("k", "small and old")
        memory.put("k", noise(9 << 20))  # too large for L2: straight to the archive
        for i in range(12):
            memory.put(i, noise(9 << 20))
        assert engine_of(memory).log.seek(b"sk") == 0
        found = rebuilt_contents(
            private_tmp, private_tmp / "copy", lambda at: open_tiers(at, l3_size_mb=32)
        )
        assert "k" not in found


def noise(size: int) -> bytes:
    import os

    return os.urandom(size)


def test_records_that_a_flip_hid_leave_no_dangling_slot(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for i in range(300):
            store.put(i, "x" * 1000)
    segment = private_tmp / "l2" / "seg.0"
    patch(segment, 64 + 48 + 1100 * 10, b"\xff" * 40)
    with open_segments(private_tmp) as store:
        lost = {i for i in range(300) if store.get(i) is None}
        assert 0 < len(lost) <= 2
        roll(engine_of(store))
        reclaim_all(store)
        store.check()
        assert len(store) == 0


@pytest.mark.parametrize("damage", ["header", "body"])
def test_reclaim_passes_over_damage(private_tmp: Path, damage: str) -> None:
    with open_tiers(private_tmp) as memory:
        for i in range(20):
            memory.put(i, bytes([i]) * 300_000)
            memory.put((i, "small"), str(i) * 100)
        engine = engine_of(memory)
        word = engine.log.seek(b"i" + bytes([5])) or next(
            record.word for record in records(memory) if record.kind == 4
        )
        path, offset = engine.contents.place(word)
        patch(path, offset + (20 if damage == "header" else 48 + 12), b"\xa5\x5a\xa5")
        roll(engine)
        reclaim_all(memory)
        memory.check()
        left = {key: memory.peek(key) for key in memory}
        assert len([key for key in left if not isinstance(key, tuple)]) == 19
        assert all(left[i, "small"] == str(i) * 100 for i in range(20))
        key: Any
        for key, value in left.items():
            if not isinstance(key, tuple):
                assert value == bytes([key]) * 300_000


def records(memory: Any) -> Any:
    from fastmem._core import scan

    return list(scan.heads(engine_of(memory).log))


# -- deadlines -------------------------------------------------------------------------------


class Boot:
    """Another boot of the machine: its id, and a wall clock moved by `step_s`."""

    def __init__(self, patcher: pytest.MonkeyPatch) -> None:
        self._patcher = patcher
        self._time_ns = time.time_ns

    def again(self, number: int, step_s: float) -> None:
        self._patcher.setattr(opening, "boot_id", lambda: struct.pack("<16B", *[number] * 16))
        self._patcher.setattr(time, "time_ns", lambda: self._time_ns() + int(step_s * 1e9))


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_clock_set_back_never_revives(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any, end: str
) -> None:
    boot = Boot(monkeypatch)
    boot.again(1, 0)
    with opener(private_tmp) as store:
        store.put("short", "v", ttl_seconds=0.05)
        store.put("long", "v", ttl_seconds=3600)
        while store.get("short") is not None:
            time.sleep(0.005)
        if end == "kill":
            copy(private_tmp, private_tmp / "killed")
    at = private_tmp / "killed" if end == "kill" else private_tmp
    for number, step in ((2, -86_400), (3, -3 * 86_400), (4, -1)):
        boot.again(number, step)
        with opener(at) as store:
            assert store.get("short") is None
            assert "short" not in store
            assert store.get("long") == "v"
    boot.again(5, 7200)
    with opener(at) as store:
        assert store.get("long") is None


def test_a_deadline_survives_reopening(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", "v", ttl_seconds=100)
        memory.put("gone", "v", ttl_seconds=0.02)
    for _again in range(3):
        with open_tiers(private_tmp) as memory:
            entry = memory.entry("k")
            assert entry is not None
            assert entry.ttl == pytest.approx(100, abs=0.1)
            reclaim_all(memory)
    time.sleep(0.03)
    with open_tiers(private_tmp) as memory:
        assert memory.get("gone") is None
        assert memory.entry("k").tier.value == "l3_cold"


def test_a_clean_flag_that_lies_costs_nothing_but_orphans(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", b"x" * 300_000)
        copy(private_tmp, private_tmp / "killed")
    set_word(private_tmp / "killed" / "l2" / "super", CLEAN_AT, 1)
    with open_segments(private_tmp / "killed") as store:
        assert store.get("k") == b"x" * 300_000
    assert UNIT == 16
