"""What reclaim removes leaves the device in an order in which nothing old returns."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.keys import encode_key
from fastmem._core.log import COLD
from fastmem.storage import opening
from fastmem.storage.values import ValueFiles
from tests.crash.device import Device
from tests.crash.directories import Opener, engine_of, open_segments, open_tiers, pointed_to
from tests.demotion import archive_warm, reclaim

LARGE = os.urandom(300_000)
STRAIGHT_DOWN = os.urandom(9 << 20)
DRAWS = 24


@pytest.fixture
def device(private_tmp: Path) -> Iterator[Device]:
    at = private_tmp / "a"
    at.mkdir(mode=0o700)
    device = Device(at, random.Random(1))
    with device.watched():
        yield device


@pytest.fixture
def found(private_tmp: Path, device: Device, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lose the power many times at the same moment; return what "k" was each time."""

    def look(opener: Opener) -> list[Any]:
        images = [private_tmp / f"lost-{i}" for i in range(DRAWS)]
        for image in images:
            device.lose_power(image)
        monkeypatch.setattr(opening, "boot_id", lambda: b"after the outage")
        values = []
        for image in images:
            with opener(image) as store:
                store.check()
                values.append(store.get("k"))
        return values

    return look


def open_bounded(path: Path) -> Any:
    return open_tiers(path, l3_size_mb=20)


def fill(store: Any, segments: int) -> None:
    for i in range(segments * 18):
        store.put(("filler", i), os.urandom(60_000))


def is_gone(store: Any) -> bool:
    return not engine_of(store).log.seek(encode_key("k"))


def test_a_deleted_value_whose_tombstone_has_left(device: Device, found: Any) -> None:
    """Both segments are gone, but the device may have the older one's name still."""
    with open_segments(device.root) as store:
        store.put("k", "old")
        fill(store, 1)
        store.delete("k")
        fill(store, 1)
        store.flush()
        numbers = engine_of(store).files.warm.numbers
        while numbers[0] < 2:
            reclaim(engine_of(store), 1 << 20, forward=False)
        assert found(open_segments) == [None] * DRAWS


def test_an_evicted_value_with_a_file(device: Device, found: Any) -> None:
    """The file is gone; the device may not know of the record, which an older one lies before."""
    with open_segments(device.root) as store:
        store.put("k", "old")
        store.put("k", LARGE)
        fill(store, 1)
        store.flush()
        while not is_gone(store):
            reclaim(engine_of(store), 1, forward=False)
        assert engine_of(store).files.warm.numbers[0] == 0
        assert "old" not in found(open_segments)


def test_an_evicted_value_with_a_file_over_a_segment_that_has_left(
    device: Device, found: Any
) -> None:
    with open_segments(device.root) as store:
        store.put("k", "old")
        fill(store, 1)
        store.put("k", LARGE)
        fill(store, 1)
        store.flush()
        while not is_gone(store):
            reclaim(engine_of(store), 1, forward=False)
        assert engine_of(store).files.warm.numbers[0] == 1
        assert "old" not in found(open_segments)


def test_an_expired_value_with_a_file_over_an_archived_one(
    device: Device, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is to keep a tombstone of it, which the device may not have yet."""
    with open_tiers(device.root) as memory:
        engine = engine_of(memory)
        memory.put("k", "old")
        archive_warm(memory)
        memory.put("k", LARGE, ttl_seconds=3_600)
        fill(memory, 1)
        memory.flush()
        monkeypatch.setattr(engine.reclaimer, "_now_ns", lambda: 1 << 62)
        while not is_gone(memory):
            reclaim(engine, 1, forward=False)
        assert "old" not in found(open_tiers)


def test_an_archived_value_with_a_file_over_a_warm_one(device: Device, found: Any) -> None:
    """The warm log is to keep a tombstone of it, which the device may not have yet."""
    with open_bounded(device.root) as memory:
        engine = engine_of(memory)
        memory.put("k", "old")
        memory.put("k", STRAIGHT_DOWN)
        memory.flush()
        with engine.lock:
            engine.provided(engine.log.roll, 1)
            while not is_gone(memory):
                engine.cold_reclaimer.step(1)
        assert not pointed_to(engine, 1)
        assert "old" not in found(open_bounded)


def test_an_evicted_value_whose_file_an_opening_removes(
    device: Device, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill comes between the record's leaving and the file's."""
    store = open_segments(device.root)
    store.put("k", "old")
    store.put("k", LARGE)
    fill(store, 1)
    page = device.root / "l2/super"
    before = page.read_bytes()
    store.flush()
    with monkeypatch.context() as killed:
        killed.setattr(ValueFiles, "remove", lambda *_: None)
        while not is_gone(store):
            reclaim(engine_of(store), 1, forward=False)
    device.bytes[page.stat().st_ino] = bytearray(before)  # the device has not heard of it
    engine_of(store).files.close(clean=False)
    with open_segments(device.root):
        assert not list(device.root.glob("l2/val.*"))
        assert "old" not in found(open_segments)


def test_an_older_warm_value_whose_tombstone_is_lost(
    private_tmp: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went straight to the archive, a small frame, is evicted. The head of the cold log has
    reached the device, and the tombstone in the warm one has not.
    """
    device.chances = (0.0,)
    with open_tiers(device.root, l3_size_mb=64) as memory:
        memory.put("k", "old")
        memory.put("other", 1)
        memory.flush()
        memory.put("k", bytes(9 << 20))
        memory.flush()
        engine = engine_of(memory)
        engine.room.add_segment(COLD)
        engine.log.roll(COLD)
        with engine.lock:
            engine.cold_reclaimer.step(1)
        assert "k" not in memory
        engine.files.super.sync()
        device.lose_power(private_tmp / "lost")
    monkeypatch.setattr(opening, "boot_id", lambda: b"after the outage")
    with open_tiers(private_tmp / "lost", l3_size_mb=64) as memory:
        memory.check()
        assert dict(memory.items()) == {"other": 1}
