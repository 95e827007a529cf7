"""A put that fails has cost no other key anything, and one that succeeds costs what it must."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, StoreError
from fastmem._core.log import WARM
from fastmem.storage import files
from fastmem.storage.files import Directory
from tests.crash.directories import BUDGET, contents, engine_of, linked_bytes, open_tiers

MIB = 1 << 20
DOOR: list[tuple[Any, str]] = [
    (Directory, name) for name in ("open", "unlink", "rename", "publish", "sync", "extend", "stat")
]
DOOR += [(files, name) for name in ("fallocate", "map_file", "_write_all")]


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def bounded_archive(at: Path) -> Archive:
    return Archive(at / "l3", budget_bytes=BUDGET)


def bounded_tiers(at: Path) -> Any:
    return open_tiers(at, l3_size_mb=16)


def segments(at: Path) -> SegmentStore:
    return SegmentStore(at / "l2", budget_bytes=BUDGET)


OPENERS = [segments, bounded_archive, bounded_tiers, open_tiers]


def fill(store: Any) -> None:
    """To the brim: small records, large values, and a budget that the next file exceeds."""
    for number in range(80):
        store.put(number, noise(number, 200_000))
        store.put(("large", number), noise(number, 600_000))


@contextlib.contextmanager
def failing(
    call: int, error: Callable[[], BaseException], *, for_ever: bool
) -> Iterator[list[int]]:
    """Make the `call`th call of the door raise (and, `for_ever`, all after it)."""
    count = [0]
    with pytest.MonkeyPatch.context() as patch:
        for holder, name in DOOR:
            real = getattr(holder, name)

            def faulty(*args: Any, real: Any = real, **options: Any) -> Any:
                count[0] += 1
                if count[0] == call or (for_ever and count[0] > call):
                    raise error()
                return real(*args, **options)

            patch.setattr(holder, name, faulty)
        yield count


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def io_error() -> OSError:
    return OSError(errno.EIO, "Input/output error")


def evictions(store: Any) -> int:
    stats = store.stats()
    last = stats if "evictions" in stats else stats["l3"]
    return int(last["evictions"]["size"])


def corrupt(store: Any) -> int:
    stats = store.stats()
    tiers = [stats] if "errors" in stats else [stats["l2"], stats["l3"]]
    return sum(tier["errors"]["corrupt"] for tier in tiers)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    ("error", "for_ever"),
    [
        (no_space, False),
        (no_space, True),
        (io_error, False),
        (io_error, True),
        (KeyboardInterrupt, False),
    ],
)
def test_a_put_that_fails_evicts_nothing(
    private_tmp: Path, opener: Any, error: Any, for_ever: bool
) -> None:
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(opener(private_tmp))
        fill(store)
        failed = 0
        call, reached = 0, True
        while reached:
            call += 1
            before, lost, damaged = contents(store), evictions(store), corrupt(store)
            key, value = ("large", 79), noise(1000 + call, 7 * MIB if call % 2 else 700_000)
            with failing(call, error, for_ever=for_ever) as count:
                try:
                    store.put(key, value)
                except (OSError, KeyboardInterrupt):
                    put = False
                else:
                    put = True
            reached = count[0] >= call
            if put or store.get(key) == value:
                # Done before the fault, which came while room was made for it.
                assert store.get(key) == value
            else:
                failed += 1
                found = contents(store)
                # A value that the device did not give when it was to be moved is lost, and counted.
                unreadable = before.keys() - found.keys()
                assert found == {key: before[key] for key in before if key not in unreadable}
                assert len(unreadable) == corrupt(store) - damaged
                assert not unreadable or error is io_error
                assert evictions(store) == lost
            if engine_of(store).files.super.get("sync_failed"):
                # Nothing is freed after a sync that was refused until the store is opened again.
                store.close()
                store = opened.enter_context(opener(private_tmp))
            with contextlib.suppress(OSError):
                store.put("settles what a fault left", call)
            for name in ("l2",) if opener is open_tiers else ("l2", "l3"):
                assert used(private_tmp / name) <= BUDGET
        assert failed >= 3
        store.check()


def used(folder: Path) -> int:
    return linked_bytes(folder) if folder.exists() else 0


def test_a_small_put_that_finds_no_segment_evicts_nothing(private_tmp: Path) -> None:
    with segments(private_tmp) as store:
        fill(store)
        number = 0
        before, lost = contents(store), evictions(store)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "fallocate", lambda *_: (_ for _ in ()).throw(no_space()))
            with contextlib.suppress(OSError):
                while True:
                    number += 1
                    before, lost = contents(store), evictions(store)
                    store.put("small", noise(number, 150_000))
        assert number > 1
        assert contents(store) == before
        assert evictions(store) == lost
        store.put("small", "again")
        store.check()


@pytest.mark.parametrize("opener", [segments, bounded_archive])
def test_replacing_a_large_value_by_one_as_large_evicts_nothing(
    private_tmp: Path, opener: Any
) -> None:
    with opener(private_tmp) as store:
        store.put("large", os.urandom(7 * MIB))
        for number in range(100):
            store.put(number, noise(number, 30_000))
        for size in (7 * MIB, 7 * MIB, 6 * MIB):
            value = os.urandom(size)
            store.put("large", value)
            assert store.get("large") == value
            assert used(private_tmp / "l2") <= BUDGET
            assert used(private_tmp / "l3") <= BUDGET
        assert evictions(store) == 0
        assert all(store.get(number) == noise(number, 30_000) for number in range(100))
        store.check()


def test_replacing_a_synced_large_value_evicts_nothing(private_tmp: Path) -> None:
    """Its file has to wait for a sync: the sync comes, not the eviction."""
    with segments(private_tmp) as store:
        for number in range(100):
            store.put(number, noise(number, 30_000))
        for _ in range(3):
            store.put("large", os.urandom(7 * MIB))
            store.flush()
            assert used(private_tmp / "l2") <= BUDGET
            assert used(private_tmp / "l3") <= BUDGET
        assert evictions(store) == 0
        store.check()


def test_room_that_cannot_be_had_costs_nothing(private_tmp: Path) -> None:
    """Nothing is evicted for what would not fit however much was."""
    with segments(private_tmp) as store:
        fill(store)
        before, lost = contents(store), evictions(store)
        engine = engine_of(store)
        with engine.lock, pytest.raises(StoreError, match="no room for 15,000,000 bytes"):
            engine.room.take(WARM, 15_000_000, spare=True)
        assert contents(store) == before
        assert evictions(store) == lost
        store.check()
