"""The archive of a memory, opened alone: what it lets go of must not let older values return."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastmem import Archive, DirectoryRefusedError, TieredMemorySystem
from tests.crash.directories import engine_of, snapshot

LARGE = os.urandom(9 << 20)  # more than half of L2: it goes straight to the archive


def open_memory(path: Path) -> TieredMemorySystem:
    return TieredMemorySystem(16, path / "l2", path / "l3", l2_size_mb=16)


@pytest.fixture
def parted(private_tmp: Path) -> Path:
    """A memory whose archive holds a newer value of "k" than its L2."""
    with open_memory(private_tmp) as memory:
        memory.put("k", "old")
        memory.put("k", LARGE)
    return private_tmp


def test_no_budget_without_its_l2(parted: Path) -> None:
    before = snapshot(parted / "l3")
    with pytest.raises(DirectoryRefusedError, match="L3 of a memory; open it without a budget"):
        Archive(parted / "l3", budget_bytes=64 << 20)
    assert snapshot(parted / "l3") == before
    with Archive(parted / "l3", budget_bytes=64 << 20, read_only=True) as archive:
        assert archive["k"] == LARGE
    assert snapshot(parted / "l3") == before
    with Archive(parted / "l3") as archive:
        assert archive["k"] == LARGE
    with pytest.raises(DirectoryRefusedError, match="together with its L2"):
        Archive(parted / "l3", budget_bytes=64 << 20)


def test_what_was_deleted_alone_stays_dead(parted: Path) -> None:
    with Archive(parted / "l3") as archive:
        assert archive.delete("k")
        for i in range(600):
            archive.put(i % 50, os.urandom(60_000))
        assert len(engine_of(archive).files.cold.numbers) > 2
    with open_memory(parted) as memory:
        assert memory.get("k") is None
        memory.check()


def test_an_archive_that_was_always_alone_sheds_and_evicts(private_tmp: Path) -> None:
    with Archive(private_tmp / "l3") as archive:
        for i in range(600):
            archive.put(i % 50, os.urandom(60_000))
        assert engine_of(archive).files.cold.numbers[0] > 0
    with Archive(private_tmp / "l3", budget_bytes=128 << 20) as archive:
        assert len(archive) == 50


def test_value_files_whose_keys_were_replaced_alone_go(private_tmp: Path) -> None:
    """No record leads to them once the memory is whole again: they may not fill L2 for ever."""
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3", l2_size_mb=24) as memory:
        for key in range(2):
            memory.put(key, LARGE)
        assert len(list((private_tmp / "l2").glob("val.*"))) == 2
    with Archive(private_tmp / "l3") as archive:
        for key in range(2):
            archive.put(key, "new")
    with open_memory(private_tmp) as memory:
        assert [memory.get(key) for key in range(2)] == ["new", "new"]
        assert not list((private_tmp / "l2").glob("val.*"))
        for i in range(60):
            memory.put(("more", i), os.urandom(100_000))
        memory.flush()
        memory.check()
