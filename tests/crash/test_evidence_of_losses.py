"""What tells a loss from what only looks like one, and the other way round."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, DirectoryRefusedError
from fastmem._core.keys import encode_key
from fastmem._core.layout import LOCATION_MASK, TIER_BIT, UNIT_BYTES
from fastmem._core.log import WARM
from fastmem.storage.files import Directory
from fastmem.storage.segments import Segments
from fastmem.storage.superblock import Superblock
from tests.crash.directories import (
    TAIL_AT,
    Opener,
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
)
from tests.crash.test_torn_twice import restart as restart_fixture
from tests.crash.test_torn_twice import tear
from tests.demotion import archive_warm, reclaim

restart = restart_fixture
LARGE = 9 << 20  # more than half of L2: straight to the archive


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_value_file_that_cannot_be_read_for_now(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, restart: Any, code: int
) -> None:
    value = os.urandom(300_000)
    with open_segments(private_tmp) as store:
        store.put("k", value)
    restart()
    real = Directory.read

    def read(self: Directory, name: str, limit: int, offset: int = 0) -> bytes:
        if name.startswith("val.") and limit > 200_000:
            raise OSError(code, os.strerror(code))
        return real(self, name, limit, offset)

    with monkeypatch.context() as failing:
        failing.setattr(Directory, "read", read)
        with open_segments(private_tmp) as store:
            assert store.get("k") is None
    (private_tmp / "l2/index").unlink()
    with open_segments(private_tmp) as store:
        assert store.get("k") == value


def test_a_head_at_the_very_end(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is evicted, the last record ends with its segment, and the next is not there yet."""
    monkeypatch.setattr("fastmem.storage.ahead.Ahead._look_ahead", lambda *_: None)
    with open_segments(private_tmp) as store:
        engine = engine_of(store)
        page, units = engine.files.super, engine.files.warm.segment_units
        store.put("k", "old")
        while page.get("tail") < units:
            size = min((units - page.get("tail")) * UNIT_BYTES, 40_000)
            if size == 40_000 and (units - page.get("tail")) * UNIT_BYTES - size < 200:
                size -= 1_008
            store.put("f", bytes(size - 48 - 2))
        assert (page.get("tail"), engine.files.warm.numbers) == (units, [0])
        monkeypatch.setattr(Segments, "unlink", lambda *_: None)  # a kill comes before it
        reclaim(engine, 1 << 30, forward=False)
        assert page.get("head") == units
        copy(private_tmp, private_tmp / "b")
        monkeypatch.undo()
    (private_tmp / "b/l2/index").unlink()
    with open_segments(private_tmp / "b") as store:
        assert dict(store) == {}


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("clean", [False, True])
def test_a_spare_segment_stands_in_for_no_lost_one(
    private_tmp: Path, spare: bool, clean: bool
) -> None:
    """Values of the lost one are missed; a rebuild would find older ones."""
    store = open_segments(private_tmp / "a")
    engine = engine_of(store)
    page, units = engine.files.super, engine.files.warm.segment_units
    store.put("k", "old")
    i = 0
    while page.get("tail") < 3 * units:
        store.put("k" if i == 60 else i, os.urandom(20_000))
        i += 1
    assert engine.log.seek(encode_key("k")) & LOCATION_MASK // units >= 1
    if spare:
        engine.room.add_segment(WARM)  # as a put does that is refused, or killed, after it
    if clean:
        store.close()
    at = copy(private_tmp / "a", private_tmp / "b")
    store.close()
    (at / "l2/seg.1").unlink()
    with open_segments(at) as store:
        assert store.get("k") is None


@pytest.mark.parametrize("older_page", [False, True])
def test_later_segments_stand_in_for_no_lost_one(
    private_tmp: Path, restart: Any, older_page: bool
) -> None:
    """A power loss takes the segment into which reclaim had moved synced values."""
    small = [f"small-{i}" for i in range(20)]
    with open_segments(private_tmp) as store:
        engine = engine_of(store)
        page, units = engine.files.super, engine.files.warm.segment_units
        for key in small:
            store.put(key, "old")
        i = 0
        while page.get("tail") < 4.97 * units:
            store.put(i, os.urandom(20_000))
            i += 1
        store.flush()
        while page.get("tail") < 5 * units:
            store.put(i, os.urandom(20_000))
            i += 1
        assert all(store.get(key) for key in small)
        reclaim(engine, 8_000)
        places = {key: engine.log.seek(encode_key(key)) & LOCATION_MASK for key in small}
        moved = [key for key, place in places.items() if place // units == 5]
        assert len(moved) > 4
        bounds = (private_tmp / "l2/super").read_bytes()[TAIL_AT : TAIL_AT + 16]
        while page.get("tail") < 7 * units:
            store.put(i, os.urandom(20_000))
            i += 1
    (private_tmp / "l2/seg.5").unlink()
    if older_page:
        patch(private_tmp / "l2/super", TAIL_AT, bounds)
    restart()
    with open_segments(private_tmp) as store:
        assert {key: store.get(key) for key in moved} == dict.fromkeys(moved, "old")


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_a_synced_value_file_stays_until_its_copy_below_is_synced(
    private_tmp: Path, restart: Any, durability: Any
) -> None:
    value = os.urandom(300_000)
    with open_tiers(private_tmp / "a", durability=durability) as memory:
        memory.put("k", value)
        for i in range(20):
            memory.put(i, os.urandom(1 << 17))
        memory.flush()
        engine = engine_of(memory)
        reclaim(engine, 1, forward=False)
        with engine.lock:
            engine.syncer.free_values()
        assert engine.log.get(b"sk").word & TIER_BIT
        synced = engine.files.super.get("cold_synced")
        at = copy(private_tmp / "a", private_tmp / "b")
    segment = at / "l3/cold.0"
    kept = segment.read_bytes()[: max(synced, 4) * UNIT_BYTES]
    segment.write_bytes(kept.ljust(segment.stat().st_size, b"\0"))
    for file in (at / "l3").glob("val.*"):
        file.unlink()
    restart()
    with open_tiers(at) as memory:
        assert memory.get("k") == value
        memory.check()


@pytest.mark.parametrize("read_only", [None, True, False])
def test_an_archive_that_is_looked_at_alone_first(
    private_tmp: Path, restart: Any, read_only: bool | None
) -> None:
    synced, torn = os.urandom(LARGE), os.urandom(LARGE)
    with open_tiers(private_tmp / "a") as memory:
        memory.put("k", synced)
        memory.flush()
        before = set((private_tmp / "a/l3").glob("val.*"))
        memory.put("k", torn)
        (newer,) = set((private_tmp / "a/l3").glob("val.*")) - before
        at = copy(private_tmp / "a", private_tmp / "b")
    (at / "l3" / newer.name).write_bytes(bytes(newer.stat().st_size if newer.exists() else LARGE))
    restart()
    if read_only is not None:
        Archive(at / "l3", read_only=read_only).close()
    with open_tiers(at) as memory:
        assert memory.get("k") == synced


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_a_torn_record_at_the_end_is_reported_once(
    private_tmp: Path, restart: Any, opener: Opener
) -> None:
    torn = os.urandom(40_000)
    with opener(private_tmp / "a") as store:
        store.put("a", "synced")
        store.flush()
        store.put("k", torn)
        at = copy(private_tmp / "a", private_tmp / "b")
    tear(at, torn)
    ends = []
    for number in range(5):
        restart()
        with opener(at) as store:
            files = engine_of(store).files
            assert files.dropped_records == (number == 0)
            ends.append(files.ends)
            if number == 2:
                store.put("b", 1)
            store.check()
    assert ends == sorted(ends)  # no address twice


def test_an_archive_that_another_l2_has_written_to(
    private_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", "old")
    (private_tmp / "l2").rename(private_tmp / "first")
    with open_tiers(private_tmp) as memory:
        memory.put("k", "new")
    (private_tmp / "l2").rename(private_tmp / "second")
    (private_tmp / "first").rename(private_tmp / "l2")
    with pytest.raises(DirectoryRefusedError, match="is no L2 for"):
        open_tiers(private_tmp)
    (private_tmp / "l3").rename(private_tmp / "elsewhere")
    with open_tiers(private_tmp):
        assert "what that holds is missed" in caplog.text


def test_a_death_while_l2_and_l3_are_made_known_to_each_other(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", "kept")
    (private_tmp / "l3").rename(private_tmp / "elsewhere")

    trust, calls = Superblock.trust, []

    def die(page: Superblock, *line: Any) -> None:
        calls.append(page)
        if len(calls) == 2:  # the archive's is written
            raise KeyboardInterrupt
        trust(page, *line)

    with monkeypatch.context() as planted:
        planted.setattr(Superblock, "trust", die)
        planted.setattr(Directory, "unlink", lambda *_: None)  # a death undoes nothing
        with pytest.raises(KeyboardInterrupt):
            open_tiers(private_tmp)
    with open_tiers(private_tmp) as memory:
        assert memory.get("k") == "kept"


@pytest.mark.parametrize("read_only", [True, False])
def test_an_archive_alone_shows_no_value_that_was_replaced_there(
    private_tmp: Path, read_only: bool
) -> None:
    """What replaced it has gone for good since: the newest value is in L2."""
    with open_tiers(private_tmp) as memory:
        memory.put("k", "old")
        archive_warm(memory)
        memory.put("k", os.urandom(LARGE))
        memory.put("k", "new")
        assert not list((private_tmp / "l3").glob("val.*"))
    with Archive(private_tmp / "l3", read_only=read_only) as archive:
        assert archive.get("k") is None
    with open_tiers(private_tmp) as memory:
        assert memory.get("k") == "new"


def test_a_value_file_that_is_away_while_its_archive_is_opened_alone(private_tmp: Path) -> None:
    value = os.urandom(LARGE)
    with open_tiers(private_tmp) as memory:
        memory.put("k", value)
    (file,) = (private_tmp / "l3").glob("val.*")
    file.rename(private_tmp / "away")
    with Archive(private_tmp / "l3") as archive:
        assert archive.get("k") is None
    (private_tmp / "away").rename(file)
    with open_tiers(private_tmp) as memory:
        assert memory.get("k") == value


def test_a_file_that_was_synced_stays_when_its_moved_record_is_replaced(
    private_tmp: Path, restart: Any
) -> None:
    """The record at the tail was never synced, but the one it was moved from was."""
    value = os.urandom(300_000)
    with open_segments(private_tmp / "a") as store:
        store.put("k", value)
        for i in range(20):
            store.put(i, os.urandom(1 << 17))
        store.flush()
        store.get("k")
        engine = engine_of(store)
        reclaim(engine, 1)
        synced = engine.files.super.get("synced")
        assert engine.log.seek(encode_key("k")) & LOCATION_MASK >= synced
        store.put("k", "newer")
        units = engine.files.warm.segment_units
        at = copy(private_tmp / "a", private_tmp / "b")
    for segment in (at / "l2").glob("seg.*"):  # all that was not synced is lost
        start = max(synced - int(segment.suffix[1:]) * units, 4) * UNIT_BYTES
        kept = segment.read_bytes()[:start]
        segment.write_bytes(kept.ljust(segment.stat().st_size, b"\0"))
    restart()
    with open_segments(at) as store:
        assert store.get("k") == value
