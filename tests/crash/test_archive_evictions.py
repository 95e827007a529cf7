"""A value that went straight to the archive is evicted there: the older one in L2 stays dead."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastmem import Archive, TieredMemorySystem
from fastmem._core.keys import encode_key
from fastmem._core.log import COLD
from fastmem.codecs import CodecId
from fastmem.storage import files
from tests.crash.directories import SEGMENT, engine_of, open_tiers
from tests.crash.test_evicted import lose_index, restart_machine

KEY = "K" * 60_000
LARGE = 9 << 20  # more than half of L2

Rebuild = Callable[[Path, pytest.MonkeyPatch], None]
rebuilds = pytest.mark.parametrize("rebuild", [lose_index, restart_machine])


def open_small(path: Path) -> TieredMemorySystem:
    return open_tiers(path, l3_size_mb=20)


def fill_tail(memory: TieredMemorySystem, left_bytes: int) -> None:
    """Leave so many bytes at the end of a cold segment of its own, the next one not there yet."""
    engine = engine_of(memory)
    engine.provided(engine.log.roll, COLD)
    segment, header = engine.files.cold.segment_bytes, 48 + 16
    while True:
        left = segment - engine.files.super.get("cold_tail") * 16 % segment - left_bytes
        if left <= 0:
            return
        size = min(left, 32_000)
        if 0 < left - size < 2 * header:
            size -= 4 * header
        engine.log.shadow(b"s" * (size - header), 0, 0)


def evict(memory: TieredMemorySystem, key: str) -> None:
    i = 0
    while key in memory:
        memory[("other", i)] = os.urandom(LARGE + i)
        memory.check()
        i += 1
        assert i < 5


def put_old_and_new(memory: TieredMemorySystem) -> None:
    memory[KEY] = "old"
    memory[KEY] = os.urandom(LARGE)


@rebuilds
@pytest.mark.parametrize("left_bytes", [47_056, 500_000])
def test_no_room_for_a_tombstone_in_the_archive(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, rebuild: Rebuild, left_bytes: int
) -> None:
    with open_small(private_tmp) as memory:
        put_old_and_new(memory)
        fill_tail(memory, left_bytes)
        evict(memory, KEY)
        left = set(memory)
    rebuild(private_tmp, monkeypatch)
    with open_small(private_tmp) as memory:
        assert engine_of(memory).files.rebuilt
        assert memory.get(KEY) is None
        assert set(memory) == left
        memory.check()


@rebuilds
def test_a_tombstone_of_the_archive_leaves_it(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, rebuild: Rebuild
) -> None:
    """It was written while the archive was open alone, so L2 knows nothing of it."""
    with open_small(private_tmp) as memory:
        put_old_and_new(memory)
    with Archive(private_tmp / "l3") as archive:
        del archive[KEY]
    with open_small(private_tmp) as memory:
        assert KEY not in memory
        fill_tail(memory, 47_056)
        engine = engine_of(memory)
        first = engine.files.cold.numbers[0]
        i = 0
        while first in engine.files.cold.numbers:
            memory[("other", i)] = os.urandom(LARGE)
            i += 1
            assert i < 9
        memory.check()
    rebuild(private_tmp, monkeypatch)
    with open_small(private_tmp) as memory:
        assert memory.get(KEY) is None
        memory.check()


def test_keys_as_large_as_their_budget(private_tmp: Path) -> None:
    """What keeps the older values dead takes no room of the archive, and so no put for ever."""
    keys = [f"{i:03}" + "k" * 65_000 for i in range(60)]
    with open_small(private_tmp) as memory:
        for key in keys:
            memory[key] = "old"
        for key in keys:
            memory[key] = os.urandom(LARGE)
            memory.check()
        left = set(memory)
        assert 0 < len(left) < 3
    lose_index(private_tmp, pytest.MonkeyPatch())
    with open_small(private_tmp) as memory:
        assert set(memory) == left


def test_many_tombstones_at_once_stay_within_the_budget_of_l2(private_tmp: Path) -> None:
    """An archive opened with a smaller budget: what goes leaves segments full of tombstones."""
    with open_small(private_tmp) as memory:
        engine = engine_of(memory)
        memory["first"] = 1
        for i in range(310):
            engine.archive_put(encode_key(f"{i:03}" + "k" * 60_000), CodecId.RAW_BYTES, b"new", 0)
        i = 0
        while engine.warm_bytes + 3 * SEGMENT <= engine.warm_budget_bytes:
            memory["filler", i] = b"f" * 200_000
            i += 1
        assert engine.files.warm.numbers[0] == 0
        before = len(memory)
    with open_tiers(private_tmp, l3_size_mb=16) as memory:
        memory.check()
        assert len(memory) < before
        evicted = before - len(memory)
        assert evicted * 60_000 > 3 * SEGMENT


def test_the_eviction_waits_for_a_device_that_is_full(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if there had been no room for it either, no segment is made ahead.
    monkeypatch.setattr("fastmem.storage.ahead.Ahead._look_ahead", lambda *_: None)
    with open_small(private_tmp) as memory:
        put_old_and_new(memory)
        engine = engine_of(memory)
        fill_tail(memory, 64)
        warm = engine.files.warm
        left = warm.segment_bytes - engine.files.super.get("tail") * 16 % warm.segment_bytes
        while left > 50_000:  # no room for the tombstone in L2 either
            memory["filler"] = b"f" * min(left - 45_000, 100_000)
            left = warm.segment_bytes - engine.files.super.get("tail") * 16 % warm.segment_bytes
        create = files.Directory.create

        def full(self: files.Directory, name: str, size: int, head: bytes) -> object:
            if name.startswith("seg."):
                raise OSError(28, os.strerror(28), name)
            return create(self, name, size, head)

        with monkeypatch.context() as patched:
            patched.setattr(files.Directory, "create", full)
            memory["other"] = os.urandom(LARGE)
            assert memory.stats()["l2"]["errors"]["no_space"] == 1
            assert KEY in memory
        memory["small"] = 1
        assert KEY not in memory
        memory.check()
    lose_index(private_tmp, monkeypatch)
    with open_small(private_tmp) as memory:
        assert set(memory) == {"filler", "other", "small"}
