"""Addresses that no warm record takes are no lost records: nothing evicted returns for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastmem import TieredMemorySystem
from fastmem._core import shadowing
from fastmem._core.keys import encode_key
from fastmem._core.layout import HEADER_UNITS, LOCATION_MASK
from fastmem._core.log import WARM
from fastmem.storage import opening
from tests.crash.directories import TRUST_AT, UNIT, contents, engine_of, patch

STRAIGHT_DOWN_BYTES = 9_000_000
Restart = Callable[[TieredMemorySystem], None]


def open_memory(path: Path, l2_size_mb: int, l3_size_mb: int) -> TieredMemorySystem:
    return TieredMemorySystem(
        1, path / "l2", path / "l3", l2_size_mb=l2_size_mb, l3_size_mb=l3_size_mb
    )


def open_shallow(path: Path) -> TieredMemorySystem:
    """The archive takes values that are too large for L2."""
    return open_memory(path, 16, 32)


def open_deep(path: Path) -> TieredMemorySystem:
    """The archive evicts what L2 has just demoted, and not unlinked yet."""
    return open_memory(path, 32, 16)


def evict_in_place(memory: TieredMemorySystem) -> set[str]:
    """Put small values among ones with files of their own till the archive has evicted some whose
    records the oldest segment of L2 still has, and that segment is not done. Return their keys.
    """
    files = engine_of(memory).files
    addresses: dict[str, int] = {}
    while True:
        key = f"small-{len(addresses)}"
        memory.put(key, "old")
        addresses[key] = engine_of(memory).log.seek(encode_key(key)) & LOCATION_MASK
        memory.put(("large", key), os.urandom(2_000_000))
        oldest, head = files.warm.numbers[0] * files.warm.segment_units, files.super.get("head")
        gone = {key for key, at in addresses.items() if key not in memory and at >= oldest}
        left = [at for at in addresses.values() if head <= at < oldest + files.warm.segment_units]
        if gone and len(left) > 4:
            return gone


def put_straight_down(memory: TieredMemorySystem, how_many: int) -> None:
    page = engine_of(memory).files.super
    for i in range(how_many):
        cold_tail = page.get("cold_tail")
        memory.put(("straight", i), os.urandom(STRAIGHT_DOWN_BYTES))
        assert page.get("cold_tail") > cold_tail


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Restart:
    """End a memory without a word, and the machine in good order: what was written is there."""
    # No tombstone: the head alone keeps the copy in L2 dead.
    monkeypatch.setattr(shadowing, "uncovers", lambda *record: False)
    boots = [b"boot %011d" % i for i in range(9)]
    monkeypatch.setattr(opening, "boot_id", lambda: boots[0])

    def stop(memory: TieredMemorySystem) -> None:
        engine_of(memory).abandon()
        del boots[0]

    return stop


@pytest.mark.parametrize("power_lost", [False, True])
def test_versions_that_the_archive_took_are_no_holes(
    private_tmp: Path, stop: Restart, power_lost: bool
) -> None:
    """Unless what says so is lost too: then a record may be."""
    memory = open_shallow(private_tmp)
    for i in range(20):
        memory.put(("small", i), "old")
        memory.put(("large", i), os.urandom(2_000_000))
    page, warm = engine_of(memory).files.super, engine_of(memory).files.warm
    number, offset = divmod(page.get("tail"), warm.segment_units)
    put_straight_down(memory, 4)
    memory.put("after", 1)
    left = contents(memory)
    head, oldest = page.get("head"), warm.numbers[0] * warm.segment_units
    assert head > oldest + HEADER_UNITS
    stop(memory)
    if power_lost:
        patch(private_tmp / "l2" / warm.name(number), offset * UNIT, bytes(4 * UNIT))
    with open_shallow(private_tmp) as memory:
        assert engine_of(memory).files.rebuilt
        if power_lost:
            assert engine_of(memory).files.super.get("head") == oldest
        else:
            assert engine_of(memory).files.super.get("head") >= head
            assert contents(memory) == left
        memory.check()


def test_two_restarts_without_a_sync(private_tmp: Path, stop: Restart) -> None:
    """After the first the log goes on in another segment, and leaves the rest of the last."""
    memory = open_deep(private_tmp)
    gone = evict_in_place(memory)
    page = engine_of(memory).files.super
    head, synced = page.get("head"), page.get("synced")
    stop(memory)
    for i in range(3):
        memory = open_deep(private_tmp)
        assert not gone & contents(memory).keys()
        page = engine_of(memory).files.super
        assert page.get("head") >= head  # nothing is taken for lost
        memory.put(("new", i), i)
        head = page.get("head")
        page.set("synced", synced)
        stop(memory)
    with open_deep(private_tmp) as memory:
        assert not gone & contents(memory).keys()
        assert [memory.get(("new", i)) for i in range(3)] == [0, 1, 2]
        memory.check()


def test_a_segment_that_was_begun_and_not_written_to(private_tmp: Path, stop: Restart) -> None:
    """Its process was killed right then; the next one makes the index anew, and goes on behind."""
    memory = open_deep(private_tmp)
    evict_in_place(memory)
    files = engine_of(memory).files
    engine_of(memory).room.add_segment(WARM)
    spare, synced = files.warm.numbers[-1], files.super.get("synced")
    assert synced <= spare * files.warm.segment_units
    engine_of(memory).abandon()
    (private_tmp / "l2/index").unlink()
    memory = open_deep(private_tmp)
    files = engine_of(memory).files
    assert files.rebuilt
    assert spare in files.warm.numbers
    assert spare < files.tail_segment(WARM)
    memory.put("new", 1)
    head, left = files.super.get("head"), contents(memory)
    assert head > files.warm.numbers[0] * files.warm.segment_units + HEADER_UNITS
    files.super.set("synced", synced)  # as where no budget had been paid meanwhile
    stop(memory)
    with open_deep(private_tmp) as memory:
        assert engine_of(memory).files.rebuilt
        assert engine_of(memory).files.super.get("head") >= head  # nothing is taken for lost
        assert contents(memory) == left
        memory.check()


def test_the_archive_takes_versions_in_a_segment_that_is_not_there_yet(
    private_tmp: Path, stop: Restart
) -> None:
    memory = open_shallow(private_tmp)
    memory.put("before", 1)
    stop(memory)
    memory = open_shallow(private_tmp)
    files = engine_of(memory).files
    assert files.tail_segment(WARM) not in files.warm.numbers
    put_straight_down(memory, 1)
    assert files.tail_segment(WARM) in files.warm.numbers
    files.super.set("head", head := HEADER_UNITS + 1)
    left = contents(memory)
    del left["before"]
    stop(memory)
    with open_shallow(private_tmp) as memory:
        assert engine_of(memory).files.super.get("head") == head
        assert contents(memory) == left
        memory.check()


def test_a_first_value_that_goes_straight_down(private_tmp: Path, stop: Restart) -> None:
    memory = open_shallow(private_tmp)
    put_straight_down(memory, 1)
    assert engine_of(memory).files.super.get("tail") == HEADER_UNITS + 1
    memory.put("after", 1)
    left = contents(memory)
    stop(memory)
    with open_shallow(private_tmp) as memory:
        assert contents(memory) == left
        memory.check()


def test_no_version_is_given_twice_when_nothing_tells_of_it(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The skip of an archive's put is lost, and what its first page says of versions."""
    with open_shallow(private_tmp) as memory:
        memory.put("first", 1)
        at = engine_of(memory).files.super.get("tail")
        memory.put("k", os.urandom(STRAIGHT_DOWN_BYTES))
    patch(private_tmp / "l2/seg.0", at * UNIT, bytes(UNIT))
    patch(private_tmp / "l3/archive", TRUST_AT, bytes(56))
    (private_tmp / "l2/index").unlink()
    with open_shallow(private_tmp) as memory:
        memory.put("k", "new")
    (private_tmp / "l2/index").unlink()
    with open_shallow(private_tmp) as memory:
        assert memory.get("k") == "new"
        memory.check()
