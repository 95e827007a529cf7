"""What is not in memory is waited for without the GIL, or, if the caller wants, not at all."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, ClosedError, L1Cache, SegmentStore
from tests.crash.directories import open_archive, open_segments, open_tiers

COUNT = 2000
MIDDLE = 900  # far from what opening reads
MADV_PAGEOUT = 21


def evict(path: Path) -> None:
    """Have the page cache drop the files of a directory that nobody has mapped."""
    for file in path.iterdir():
        fd = os.open(file, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def is_resident(file: Path) -> bool:
    fd = os.open(file, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(1)], 256 << 10, os.RWF_NOWAIT)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def value_of(i: int) -> bytes:
    return i.to_bytes(4, "little") * 250


def fill(path: Path) -> None:
    """A store with nothing in memory. Skips where the file system keeps it there (tmpfs)."""
    with open_segments(path) as store:
        for i in range(COUNT):
            store.put(i, value_of(i))
        store.put("large", bytes(300_000))
        store.flush()
    evict(path / "l2")
    if is_resident(path / "l2" / "seg.0"):
        pytest.skip("the file system of the temporary folder keeps pages in memory")


@pytest.fixture
def cold(private_tmp: Path) -> Iterator[SegmentStore]:
    fill(private_tmp)
    with open_segments(private_tmp) as store:
        evict(private_tmp / "l2")  # what opening has read of it, and not mapped
        yield store


def test_a_cold_read_is_counted_and_right(cold: SegmentStore) -> None:
    assert cold.stats()["cold_reads"] == 0
    assert all(cold.get(i) == value_of(i) for i in range(COUNT))
    reads = cold.stats()["cold_reads"]
    assert 0 < reads < COUNT / 2  # the device is asked for more than a page at a time
    assert all(cold.get(i) == value_of(i) for i in range(COUNT))
    assert cold.stats()["cold_reads"] == reads
    assert cold.stats()["errors"]["corrupt"] == cold.stats()["faults"] == 0


def test_others_go_on_meanwhile(cold: SegmentStore) -> None:
    turns, stop = [0], threading.Event()

    def take_turns() -> None:
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0)  # lets the GIL go

    interval = sys.getswitchinterval()
    other = threading.Thread(target=take_turns)
    other.start()
    try:
        while not turns[0]:
            time.sleep(0)
        sys.setswitchinterval(1000)  # nobody is made to let it go
        met = 0
        for i in range(COUNT):
            reads, before = cold._engine.log.cold_reads, turns[0]
            cold.get(i)
            if cold._engine.log.cold_reads > reads:
                met += turns[0] > before
            else:
                assert turns[0] == before  # what is in memory keeps it
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        other.join()
    assert met


def test_whoever_does_not_wait_gets_the_default(cold: SegmentStore) -> None:
    default = object()
    assert cold.get(MIDDLE, default, resident_only=True) is default
    assert cold.get("large", default, resident_only=True) is default
    told = cold.stats()
    assert (told["not_resident"], told["misses"], told["hits"], told["cold_reads"]) == (2, 0, 0, 0)
    assert cold.get(MIDDLE) == value_of(MIDDLE)
    assert cold.get(MIDDLE, default, resident_only=True) == value_of(MIDDLE)
    assert cold.get("absent", default, resident_only=True) is default
    told = cold.stats()
    assert (told["not_resident"], told["misses"], told["hits"]) == (2, 1, 2)


def test_a_large_value_that_was_read_is_there(cold: SegmentStore) -> None:
    assert cold.get("large") == bytes(300_000)
    assert cold.get("large", resident_only=True) in (bytes(300_000), None)  # None: as NOWAIT has it
    assert cold.stats()["errors"]["corrupt"] == 0


def test_prewarmed_is_resident(cold: SegmentStore) -> None:
    assert cold.prewarm() >= COUNT * 1000
    assert all(cold.get(i, resident_only=True) == value_of(i) for i in range(COUNT))
    told = cold.stats()
    assert (told["cold_reads"], told["not_resident"], told["hits"]) == (0, 0, COUNT)


def test_prewarming_has_a_limit(cold: SegmentStore) -> None:
    assert cold.prewarm(0) == 0
    assert cold.prewarm(4095) == 0
    assert cold.prewarm(1 << 20) == 1 << 20
    assert cold.prewarm(3 << 20) == cold.prewarm()
    with pytest.raises(ValueError):
        cold.prewarm(-1)
    with pytest.raises(TypeError):
        cold.prewarm(1.5)  # type: ignore[arg-type]
    cold.close()
    with pytest.raises(ClosedError):
        cold.prewarm()


def test_an_archive_too(private_tmp: Path) -> None:
    with open_archive(private_tmp) as archive:
        for i in range(COUNT):
            archive.put(i, os.urandom(700))
        archive.flush()
    evict(private_tmp / "l3")
    if is_resident(private_tmp / "l3" / "cold.0"):
        pytest.skip("the file system of the temporary folder keeps pages in memory")
    with Archive(private_tmp / "l3") as archive:
        evict(private_tmp / "l3")
        assert archive.get(MIDDLE, resident_only=True) is None
        assert archive.get(MIDDLE) is not None
        assert archive.prewarm() >= COUNT * 700
        assert all(archive.get(i, resident_only=True) is not None for i in range(COUNT))
        assert archive.stats()["not_resident"] == 1


def page_out(mapping: Any) -> None:
    """Have the kernel take the pages of a mapping back, mapped as they are."""
    with memoryview(mapping) as view:
        first = ctypes.c_char.from_buffer(view)
        address = ctypes.c_void_p(ctypes.addressof(first))
        ctypes.CDLL(None).madvise(address, ctypes.c_size_t(view.nbytes), MADV_PAGEOUT)
        del first


def test_pages_that_went_again_are_asked_for_again(cold: SegmentStore) -> None:
    log = cold._engine.log
    for i in range(COUNT):
        cold.get(i)
    cold.flush()
    page_out(log.mapping(0, 0))
    touched: Any = log.mapping(0, 0)
    with memoryview(touched) as view:
        assert view[MIDDLE << 10] is not None  # somebody waits for a page
    page_out(log.mapping(0, 1))
    if is_resident(cold._engine.files.directory.path / "seg.1"):
        pytest.skip("this kernel does not take mapped pages back")
    reads = log.cold_reads
    for _ in range(1 << 12):  # within so many looks it is noticed
        cold.get(0)
    assert all(cold.get(i) == value_of(i) for i in range(COUNT))
    assert log.cold_reads > reads


def test_a_memory_too(private_tmp: Path) -> None:
    default = object()
    with open_tiers(private_tmp) as memory:
        for i in range(COUNT):
            memory.put(i, value_of(i))
        memory.flush()
    evict(private_tmp / "l2")
    if is_resident(private_tmp / "l2" / "seg.0"):
        pytest.skip("the file system of the temporary folder keeps pages in memory")
    with open_tiers(private_tmp) as memory:
        evict(private_tmp / "l2")
        assert memory.get(MIDDLE, default, resident_only=True) is default
        assert memory.get(MIDDLE, resident_only=True) is None
        told = memory.get_stats()
        assert (told["l2_not_resident"], told["l2_misses"], told["l2_hits"]) == (2, 0, 0)
        assert memory.get(MIDDLE) == value_of(MIDDLE)
        assert memory.get(MIDDLE, resident_only=True) == value_of(MIDDLE)  # L1's
        assert memory.get(MIDDLE + 1, resident_only=True) == value_of(MIDDLE + 1)
        assert memory.get("absent", default, resident_only=True) is default
        told = memory.get_stats()
        assert (told["l2_not_resident"], told["l2_misses"], told["l2_hits"]) == (2, 1, 2)
        with pytest.raises(TypeError):
            memory.get(MIDDLE, resident=True)  # type: ignore[call-arg]
        assert memory.get(MIDDLE, default=1) == value_of(MIDDLE)
        assert memory.get("absent", default=1) == 1


def test_what_only_a_memory_in_write_back_holds_is_there(private_tmp: Path) -> None:
    with open_tiers(private_tmp, durability="cache") as memory:
        memory.put("k", [1])
        assert memory.get("k", resident_only=True) == [1]


def test_a_cache_has_no_such_keyword() -> None:
    cache: L1Cache[str, int] = L1Cache(1 << 20)
    cache["k"] = 1
    assert cache.get("k", default=2) == 1
    with pytest.raises(TypeError):
        cache.get("k", resident_only=True)  # type: ignore[call-overload]
