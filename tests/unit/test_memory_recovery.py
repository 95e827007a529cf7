"""What the law machine and the thread hammer found in the tiers below, as short stories."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import pytest

from fastmem import MemoryTier, TieredMemorySystem
from fastmem._core.log import WARM
from tests.demotion import archive_warm, reclaim

MIB = 1 << 20


@pytest.fixture
def memory(places: tuple[Path, Path]) -> Iterator[TieredMemorySystem]:
    memory = TieredMemorySystem(1, *places, l2_size_mb=16)
    yield memory
    memory.close()


def test_a_large_value_survives_a_kill_in_the_middle_of_its_demotion(
    memory: TieredMemorySystem, private_tmp: Path
) -> None:
    """Its warm record is still there, the file that it points to has gone to the archive."""
    memory["large"] = value = os.urandom(300_000)
    memory["next"] = 1
    engine = memory._engine
    engine.provided(engine.log.roll, WARM)
    with engine.lock:
        reclaim(engine, 1, forward=False)
    memory["settles"] = 1
    assert memory._engine.log.cold_entries == 1
    copies = private_tmp / "k2", private_tmp / "k3"
    for place, copy in zip((memory.l2_path, memory.l3_path), copies, strict=True):
        shutil.copytree(place, copy)
        copy.chmod(0o700)
    with TieredMemorySystem(1, *copies, l2_size_mb=16) as after:
        assert after["large"] == value
        assert after.entry("large").tier is MemoryTier.L1_HOT
        assert set(after) == {"large", "next", "settles"}
        after.check()


def test_an_archived_copy_stays_dead_when_its_tombstone_is_reclaimed_under_a_newer_value(
    memory: TieredMemorySystem, places: tuple[Path, Path]
) -> None:
    """The newer value's own tombstone does not know of the archive."""
    memory["k"] = "old"
    archive_warm(memory)
    assert memory.stats()["l3"]["entries"] == 1
    del memory["k"]
    memory._engine.provided(memory._engine.log.roll, WARM)
    memory["k"] = "new"
    with memory._engine.lock:  # the tombstone's segment goes
        reclaim(memory._engine, MIB, forward=False)
    assert memory["k"] == "new"
    memory.check()
    del memory["k"]
    archive_warm(memory)
    memory.close()
    (places[0] / "index").unlink()
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        assert dict(memory.items()) == {}


def test_a_tombstone_in_the_archive_does_not_harm_the_value_that_came_back(
    memory: TieredMemorySystem, places: tuple[Path, Path]
) -> None:
    memory["k"] = "old"
    archive_warm(memory)
    del memory["k"]
    memory._engine.provided(memory._engine.log.roll, WARM)
    memory["k"] = "new"
    with memory._engine.lock:
        reclaim(memory._engine, MIB, forward=False)
    memory.close()
    for lost in (False, True):
        if lost:
            (places[0] / "index").unlink()
        with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
            assert memory["k"] == "new"
            memory.check()


def test_closing_leaves_no_value_file_that_nothing_leads_to(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16, durability="disk") as memory:
        for _ in range(3):
            memory["k"] = os.urandom(300_000)
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        assert len(list(memory.l2_path.glob("val.*"))) == 1
        memory.check()


def test_the_last_interrupted_reclaim_is_taken_up_again(
    memory: TieredMemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt between unmapping a segment and unlinking its file."""
    memory["k"] = 1
    engine = memory._engine
    engine.provided(engine.log.roll, WARM)
    unlink = engine.files.warm.unlink

    def interrupted(number: int) -> Never:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.files.warm, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt), engine.lock:
        reclaim(engine, MIB, forward=False)
    monkeypatch.setattr(engine.files.warm, "unlink", unlink)
    archive_warm(memory)
    assert memory["k"] == 1
    assert not (memory.l2_path / "seg.0").exists()
    memory.check()


@pytest.mark.parametrize("size", [300_000, 9 * MIB])
def test_an_interrupt_right_after_the_append_keeps_the_value_file(
    memory: TieredMemorySystem, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The record is in the log, but the call that put it there never heard of it."""
    value = os.urandom(size)
    commit = memory._commit

    def interrupted(*args: Any) -> Never:
        commit(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(memory, "_commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        memory["k"] = value
    monkeypatch.undo()
    memory.resize(1)
    assert memory["k"] == value
    memory.check()
