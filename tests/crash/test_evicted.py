"""What was evicted stays away: no rebuild of the index brings it back over what came after."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import TieredMemorySystem
from fastmem._core.keys import encode_key
from fastmem._core.layout import HEADER_UNITS, LOCATION_MASK
from fastmem.storage import opening
from tests.crash.directories import (
    COLD_HEAD_AT,
    HEAD_AT,
    contents,
    engine_of,
    open_segments,
    open_tiers,
    set_word,
    word,
)

SMALL = [f"small-{i}" for i in range(60)]


def open_bounded(path: Path, **options: Any) -> TieredMemorySystem:
    return open_tiers(path, l3_size_mb=16, **options)


def evict_some(store: Any, at: int = 20) -> set[str]:
    """Put small values among large ones till the one numbered `at` is evicted, and some are not.

    Return the keys that are gone.
    """
    for i, key in enumerate(SMALL):
        store.put(key, "old")
        store.put(("large", i), os.urandom(20_000))
    i = 0
    while SMALL[at] in store:
        store.put(("more", i), os.urandom(20_000))
        i += 1
    return {key for key in SMALL if key not in store}


def evict_between_value_files(memory: TieredMemorySystem) -> set[str]:
    """Put small values among ones with files of their own till the archive has evicted some whose
    records L2 still has: its log is short. Return the keys that are gone.
    """
    put: list[str] = []
    while len(gone := {key for key in put if key not in memory}) < 12:
        put.append(f"small-{len(put)}")
        memory.put(put[-1], "old")
        memory.put(("large", len(put)), os.urandom(2_000_000))
    return gone


def lose_index(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (path / "l2" / "index").unlink()


def restart_machine(_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "boot_id", lambda: b"another boot id!")


TIERS = pytest.mark.parametrize(
    ("opener", "evict"),
    [(open_segments, evict_some), (open_bounded, evict_between_value_files)],
)


@pytest.mark.parametrize("rebuild", [lose_index, restart_machine])
@TIERS
def test_evicted_values_stay_away(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    opener: Callable[[Path], Any],
    evict: Callable[[Any], set[str]],
    rebuild: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    with opener(private_tmp) as store:
        gone = evict(store)
        assert not any(store.delete(key) for key in gone)
        left = contents(store)
    rebuild(private_tmp, monkeypatch)
    with opener(private_tmp) as store:
        assert engine_of(store).files.rebuilt
        assert contents(store) == left
        store.check()


@TIERS
def test_a_clear_holds_what_was_evicted_before(
    private_tmp: Path, opener: Callable[[Path], Any], evict: Callable[[Any], set[str]]
) -> None:
    with opener(private_tmp) as store:
        evict(store)
        store.clear()
    (private_tmp / "l2" / "index").unlink()
    with opener(private_tmp) as store:
        assert contents(store) == {}


def test_a_dirty_put_that_is_lost_leaves_no_older_value(private_tmp: Path) -> None:
    with open_bounded(private_tmp, durability="cache") as memory:
        key = min(evict_between_value_files(memory))
    script = (
        "import os, sys; from fastmem import TieredMemorySystem\n"
        "m = TieredMemorySystem(1, sys.argv[1], sys.argv[2], l2_size_mb=16, l3_size_mb=16,\n"
        "                       durability='cache')\n"
        "assert sys.argv[3] not in m\n"
        "m.put(sys.argv[3], 'new'); os.kill(os.getpid(), 9)"
    )
    arguments = [str(private_tmp / "l2"), str(private_tmp / "l3"), key]
    done = subprocess.run([sys.executable, "-c", script, *arguments], timeout=60, check=False)
    assert done.returncode == -9
    (private_tmp / "l2" / "index").unlink()
    with open_bounded(private_tmp, durability="cache") as memory:
        assert memory.peek(key) in (None, "new")


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_death_between_the_two_steps_of_an_eviction(private_tmp: Path, rebuild: bool) -> None:
    """The head has passed a record that is still in the index: it is live, or gone, not stuck."""
    with open_segments(private_tmp) as store:
        evict_some(store)
        left = contents(store)
        engine = engine_of(store)
        head = engine.files.super.get("head")
        oldest = min(engine.log.seek(encode_key(key)) & LOCATION_MASK for key in left)
        assert oldest >= head
    page = private_tmp / "l2" / "super"
    set_word(page, HEAD_AT, oldest + 4)
    if rebuild:
        (private_tmp / "l2" / "index").unlink()
    with open_segments(private_tmp) as store:
        found = contents(store)
        assert found.items() <= left.items()
        assert len(found) == len(left) - rebuild
        for i in range(300):
            store.put(("after", i), os.urandom(20_000))
        store.check()


def test_the_heads_move_record_by_record(private_tmp: Path) -> None:
    with open_bounded(private_tmp) as memory:
        evict_some(memory)
        files = engine_of(memory).files
        for field, segments in (("head", files.warm), ("cold_head", files.cold)):
            start = segments.numbers[0] * segments.segment_units
            head = files.super.get(field)
            assert start <= head <= start + segments.segment_units
            assert head == start or head >= start + HEADER_UNITS
    page = private_tmp / "l2" / "super"
    heads = word(page, HEAD_AT), word(page, COLD_HEAD_AT)
    open_bounded(private_tmp).close()
    assert heads == (word(page, HEAD_AT), word(page, COLD_HEAD_AT))


def test_what_was_moved_on_is_found_where_it_was_when_the_move_is_lost(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device has the head of today and the log of the last sync."""
    with open_segments(private_tmp) as store:
        for i, key in enumerate(SMALL):
            store.put(key, "old")
            store.put(("large", i), os.urandom(20_000))
        super_, segments = engine_of(store).files.super, engine_of(store).files.warm
        store.flush()
        moved: list[str] = []
        i = 0
        while not moved:
            store.put(("more", i), os.urandom(20_000))
            i += 1
            assert all(store.get(key) in ("old", None) for key in SMALL)
            synced, units = super_.get("synced"), segments.segment_units
            moved = [
                key
                for key in SMALL
                if engine_of(store).log.seek(encode_key(key)) & LOCATION_MASK >= synced
            ]
        assert super_.get("head") > segments.numbers[0] * units
        numbers = [number for number in segments.numbers if (number + 1) * units > synced]
    for number in numbers:
        file = private_tmp / "l2" / f"seg.{number}"
        start = max(synced - number * units, HEADER_UNITS) * 16
        content = file.read_bytes()
        file.write_bytes(content[:start].ljust(len(content), b"\0"))
    restart_machine(private_tmp, monkeypatch)
    with open_segments(private_tmp) as store:
        store.check()
        assert {key: store.get(key) for key in moved} == dict.fromkeys(moved, "old")


def test_the_archive_keeps_its_head_up_to_date(private_tmp: Path) -> None:
    """For whoever rebuilds the index without what the store's own first page says of it."""
    with open_bounded(private_tmp) as memory:
        evict_some(memory)
        files = engine_of(memory).files
        assert files.super.get("cold_head") == files.archive.get("cold_head") > 0
