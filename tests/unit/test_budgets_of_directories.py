"""Budgets against directories that were made with other ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem.storage import files
from tests.crash.directories import engine_of

MIB = 1 << 20


def segment_bytes(store: object) -> int:
    engine = engine_of(store)
    return int((engine.files.warm or engine.files.cold).segment_bytes)


def test_a_smaller_l1_on_the_same_directories(private_tmp: Path) -> None:
    paths = private_tmp / "l2", private_tmp / "l3"
    with TieredMemorySystem(512, *paths) as memory:
        memory.put("k", "v")
        assert segment_bytes(memory) == 64 * MIB
    with TieredMemorySystem(16, *paths) as memory:
        assert memory["k"] == "v"
        assert memory.stats()["l2"]["budget"] == 8 * 64 * MIB
        memory.check()
    with TieredMemorySystem(512, *paths) as memory:
        assert memory.stats()["l2"]["budget"] == 2048 * MIB
    with TieredMemorySystem(16, *paths, read_only=True) as memory:
        assert memory["k"] == "v"


def test_too_small_ones_are_named_with_the_least(private_tmp: Path) -> None:
    paths = private_tmp / "l2", private_tmp / "l3"
    TieredMemorySystem(1, *paths, l2_size_mb=1024, l3_size_mb=512).close()
    with pytest.raises(ValueError, match=r"l2_size_mb must be at least 512 \(.*not 100: .*/l2 was"):
        TieredMemorySystem(1, *paths, l2_size_mb=100)
    with pytest.raises(ValueError, match=r"l3_size_mb must be at least 256 \(.*not 20.5: .*/l3 "):
        TieredMemorySystem(1, *paths, l2_size_mb=512, l3_size_mb=20.5)
    TieredMemorySystem(1, *paths, l2_size_mb=512, l3_size_mb=256).close()
    SegmentStore(private_tmp / "s", budget_bytes=1024 * MIB).close()
    with pytest.raises(ValueError, match=r"budget_bytes must be at least 536,870,912, not 16,777"):
        SegmentStore(private_tmp / "s", budget_bytes=16 * MIB)
    Archive(private_tmp / "a", budget_bytes=1024 * MIB).close()
    with pytest.raises(ValueError, match=r"budget_bytes must be at least 536,870,912, not 16,777"):
        Archive(private_tmp / "a", budget_bytes=16 * MIB)


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_first_opening_that_fails_settles_nothing(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    paths = private_tmp / "l2", private_tmp / "l3"
    real, left = files.fallocate, [failing]

    def full(fd: int, start: int, length: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, start, length)

    with monkeypatch.context() as patch:
        patch.setattr(files, "fallocate", full)
        try:
            TieredMemorySystem(1, *paths, l2_size_mb=4096, l3_size_mb=4096).close()
        except OSError as error:
            failed = error.errno == errno.ENOSPC
        else:
            failed = False
    assert failed == (failing <= 3)  # of index, overflow and procs
    if failed:
        with TieredMemorySystem(1, *paths, l2_size_mb=16, l3_size_mb=16) as memory:
            assert segment_bytes(memory) == MIB
            memory.put("k", "v")


def test_a_later_opening_that_fails_takes_nothing_away(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SegmentStore(private_tmp / "s", budget_bytes=64 * MIB) as store:
        store.put("k", "v")
    for name in ("index", "super"):
        (private_tmp / "s" / name).unlink()

        def full(_fd: int, _start: int, _length: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(files, "fallocate", full)
            with pytest.raises(OSError, match="No space"):
                SegmentStore(private_tmp / "s", budget_bytes=64 * MIB)
        with SegmentStore(private_tmp / "s", budget_bytes=64 * MIB) as store:
            assert store["k"] == "v"
        (private_tmp / "s" / "index").unlink()
