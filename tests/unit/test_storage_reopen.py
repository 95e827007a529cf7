"""Opening again: what is trusted, what is healed, what is refused and then left alone."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fastmem import (
    ClosedError,
    FormatError,
    SegmentStore,
    StoreNotFoundError,
)
from tests.crash.directories import (
    BUDGET,
    CLEAN_AT,
    HEAD_AT,
    SEGMENT,
    SYNCED_AT,
    TAIL_AT,
    UNIT,
    contents,
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
    set_word,
    snapshot,
    word,
)

VALUES = {f"key-{i}": f"value {i} " * (i % 40) for i in range(4000)}


def fill(at: Path) -> Path:
    with open_segments(at) as store:
        store.update(VALUES)
    return at


def test_a_clean_reopen_rebuilds_nothing(private_tmp: Path) -> None:
    fill(private_tmp)
    with open_segments(private_tmp) as store:
        assert not store.stats()["rebuilt"]
        assert store.stats()["redone_records"] == 0
        assert contents(store) == VALUES


def test_read_only_after_the_table_has_grown(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for key in range(30_000):
            store.put(key, key)
    script = (
        "import sys; from fastmem import SegmentStore\n"
        f"s = SegmentStore(sys.argv[1], budget_bytes={BUDGET}, read_only=True)\n"
        "assert all(s.get(k) == k for k in range(30_000)) and not s.stats()['rebuilt']\n"
        "s.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, private_tmp / "l2"], timeout=60, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("at", [TAIL_AT, HEAD_AT, SYNCED_AT])
@pytest.mark.parametrize("bit", [0, 3, 16, 17, 30, 45, 46, 47, 63])
def test_a_flipped_bit_in_the_log_bounds_loses_nothing(
    private_tmp: Path, at: int, bit: int
) -> None:
    page = fill(private_tmp) / "l2" / "super"
    set_word(page, at, word(page, at) ^ 1 << bit)
    with open_segments(private_tmp) as store:
        assert contents(store) == VALUES
        for i in range(3000):
            store.put(("new", i), "x" * 100)
        store.check()
        assert {key: store.get(key) for key in VALUES} == VALUES
        store.flush()
        assert engine_of(store).files.super.get("synced") == engine_of(store).files.super.get(
            "tail"
        )
    (private_tmp / "l2" / "index").unlink()
    with open_segments(private_tmp) as store:
        assert {key: store.get(key) for key in VALUES} == VALUES


def test_deletes_survive_a_tail_moved_back_over_them(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.update(VALUES)
        for key in VALUES:
            store.delete(key)
    page = private_tmp / "l2" / "super"
    set_word(page, TAIL_AT, word(page, TAIL_AT) - 5)  # inside the last tombstone but one
    with open_segments(private_tmp) as store:
        for i in range(100):
            store.put(i, i)
    (private_tmp / "l2" / "index").unlink()
    with open_segments(private_tmp) as store:
        assert contents(store) == {i: i for i in range(100)}


@pytest.mark.parametrize("offset", [16, 64, 68, 71, 128, 136, 144])
@pytest.mark.parametrize("bit", [0, 1, 5])
def test_a_flipped_bit_in_the_index_header_loses_nothing(
    private_tmp: Path, offset: int, bit: int
) -> None:
    with open_segments(private_tmp) as store:
        for key in range(20_000):
            store.put(key, key)
    index = private_tmp / "l2" / "index"
    patch(index, offset, bytes([index.read_bytes()[offset] ^ 1 << bit]))
    size = index.stat().st_size
    with open_segments(private_tmp) as store:
        assert len(store) == 20_000
        assert all(store.get(key) == key for key in range(20_000))
        store.put("one", "more")
        store.check()
        assert index.stat().st_size <= 2 * size


def test_an_older_index_put_back_is_not_believed(private_tmp: Path) -> None:
    """Even under the inode that the store remembers, as file systems like to reuse them."""
    with open_segments(private_tmp) as store:
        store.put("k", "old")
    index = private_tmp / "l2" / "index"
    kept = index.read_bytes()
    with open_segments(private_tmp) as store:
        store.put("k", "new")
        store.put("later", 1)
        store.delete("later")
    patch(index, 0, kept)
    with open_segments(private_tmp) as store:
        assert store.get("k") == "new"
        assert store.stats()["rebuilt"]


def test_a_segment_with_a_damaged_header_keeps_its_records(private_tmp: Path) -> None:
    fill(private_tmp)
    segment = private_tmp / "l2" / "seg.1"
    patch(segment, 20, b"\xff\xff")
    with open_segments(private_tmp) as store:
        assert contents(store) == VALUES
    with open_segments(private_tmp) as store:
        assert not store.stats()["rebuilt"]


def test_a_foreign_segment_is_set_aside(private_tmp: Path) -> None:
    fill(private_tmp / "one")
    fill(private_tmp / "two")
    shutil.copyfile(private_tmp / "two/l2/seg.1", private_tmp / "one/l2/seg.1")
    with open_segments(private_tmp / "one") as store:
        found = contents(store)
        assert store.stats()["dropped_records"] >= 1
        assert found.items() <= VALUES.items()
        assert len(found) > 100
    assert (private_tmp / "one/l2/foreign.seg.1").exists()
    with open_segments(private_tmp / "one") as store:
        assert not store.stats()["rebuilt"]
        assert contents(store) == found


def test_nothing_set_aside_is_overwritten(private_tmp: Path) -> None:
    fill(private_tmp / "one")
    fill(private_tmp / "two")
    folder, theirs = private_tmp / "one/l2", (private_tmp / "two/l2/seg.1").read_bytes()
    others = {"foreign.seg.1": b"first", "foreign.seg.1.1": b"second"}
    for name, content in others.items():
        (folder / name).write_bytes(content)
    (folder / "seg.1").write_bytes(theirs)
    open_segments(private_tmp / "one").close()
    assert not (folder / "seg.1").exists()
    others["foreign.seg.1.2"] = theirs
    assert {name: (folder / name).read_bytes() for name in others} == others


def test_the_identity_is_that_of_most_segments(private_tmp: Path) -> None:
    fill(private_tmp / "one")
    fill(private_tmp / "two")
    shutil.copyfile(private_tmp / "two/l2/seg.0", private_tmp / "one/l2/seg.0")
    (private_tmp / "one/l2/super").unlink()
    with open_segments(private_tmp / "one") as store:
        assert len(contents(store)) > 100


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_missing_segment_costs_its_own_records_and_no_older_ones_return(
    private_tmp: Path, end: str
) -> None:
    with open_segments(private_tmp) as store:
        store.update(dict.fromkeys(VALUES, "older"))
    fill(private_tmp)
    if end == "kill":
        set_word(private_tmp / "l2" / "super", CLEAN_AT, 0)
    (private_tmp / "l2" / "seg.1").unlink()
    with open_segments(private_tmp) as store:
        assert not store.stats()["rebuilt"]
        assert store.stats()["dropped_records"] > 100
        found = contents(store)
        assert len(found) > 100
        assert found.items() <= VALUES.items()
        store.check()
    with open_segments(private_tmp) as store:
        assert not store.stats()["rebuilt"]
        assert contents(store) == found


def test_a_gap_in_the_numbers_is_no_reason_to_rebuild_again(private_tmp: Path) -> None:
    values: dict[Any, Any] = dict.fromkeys(range(3000), "x" * 1000)
    with open_tiers(private_tmp) as memory:
        memory.update(values)
    for _again in range(3):
        (private_tmp / "l2" / "index").unlink()
        with open_tiers(private_tmp) as memory:
            assert memory.stats()["l2"]["rebuilt"]
    with open_tiers(private_tmp) as memory:
        assert not memory.stats()["l2"]["rebuilt"]
        assert contents(memory) == values
        memory.put("after", 1)
    with open_tiers(private_tmp) as memory:
        assert not memory.stats()["l2"]["rebuilt"]
        assert contents(memory) == {**values, "after": 1}


def test_a_segment_cut_short_while_a_spare_one_follows(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", "v")
        engine = engine_of(store)
        with engine.lock:
            engine.room.add_segment(0)  # what a process leaves that dies right after this step
    os.truncate(private_tmp / "l2" / "seg.0", SEGMENT // 2)
    with open_segments(private_tmp) as store:
        assert store.get("k") == "v"
        for i in range(3000):
            store.put(i, "x" * 500)
        store.check()
        assert all(store.get(i) == "x" * 500 for i in range(3000))


def test_holes_in_a_copied_segment_are_filled_before_they_are_written(private_tmp: Path) -> None:
    fill(private_tmp)
    tail = word(private_tmp / "l2" / "super", TAIL_AT)
    segment = private_tmp / "l2" / f"seg.{tail * UNIT // SEGMENT}"
    used = tail * UNIT % SEGMENT
    os.truncate(segment, used)
    os.truncate(segment, SEGMENT)
    assert segment.stat().st_blocks * 512 < SEGMENT
    with open_segments(private_tmp) as store:
        assert contents(store) == VALUES
        assert segment.stat().st_blocks * 512 >= SEGMENT


def test_a_lost_super_takes_its_identity_from_the_segments(private_tmp: Path) -> None:
    fill(private_tmp)
    for damage in (b"", bytes(4096), b"FASTMEM\0" + os.urandom(4088)):
        if damage[8:]:
            damage = damage[:8] + bytes(4) + damage[12:]  # the format is not newer
        (private_tmp / "l2" / "super").write_bytes(damage)
        with open_segments(private_tmp) as store:
            assert contents(store) == VALUES
            store.check()


def test_a_foreign_or_newer_first_page_is_refused_and_nothing_touched(private_tmp: Path) -> None:
    fill(private_tmp)
    folder = private_tmp / "l2"
    page = (folder / "super").read_bytes()
    (folder / "new.plan.txt").write_text("the user's own")
    newer = page[:8] + struct.pack("<I", 9) + page[12:48]
    newer += struct.pack("<Q", xxhash.xxh3_64_intdigest(newer)) + page[56:]
    for damage in (b"SQLite f" + page[8:], newer, b"#!/bin/sh\n"):
        (folder / "super").write_bytes(damage)
        before = snapshot(folder)
        with pytest.raises(FormatError) as caught:
            open_segments(private_tmp)
        assert caught.value.filename == str(folder / "super")
        assert snapshot(folder) == before
    (folder / "super").write_bytes(page)
    with open_segments(private_tmp) as store:
        assert contents(store) == VALUES
    assert (folder / "new.plan.txt").exists()


def test_a_segment_of_a_newer_format_is_refused(private_tmp: Path) -> None:
    fill(private_tmp)
    segment = private_tmp / "l2" / "seg.1"
    head = segment.read_bytes()[:56]
    head = head[:8] + struct.pack("<I", 9) + head[12:]
    patch(segment, 0, head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head)))
    before = snapshot(private_tmp / "l2")
    with pytest.raises(FormatError, match="format 9, this version reads up to 1"):
        open_segments(private_tmp)
    after = snapshot(private_tmp / "l2")
    assert {name: facts[2] for name, facts in after.items()} == {
        name: facts[2] for name, facts in before.items()
    }


def test_a_first_page_grown_huge_is_not_read_whole(private_tmp: Path) -> None:
    fill(private_tmp)
    for name in ("super", "index"):
        os.truncate(private_tmp / "l2" / name, 40 << 30)  # sparse
    with open_segments(private_tmp) as store:
        assert contents(store) == VALUES


def test_read_only_changes_nothing(private_tmp: Path) -> None:
    values = {i: os.urandom(40).hex() * (1 + i % 50) for i in range(2000)}
    with open_tiers(private_tmp) as memory:
        memory.update(values)
        memory.put("large", b"x" * 300_000)
    for damage in ("nothing", "lock", "index", "super"):
        at = copy(private_tmp, private_tmp / damage)
        if damage == "lock":
            set_word(at / "l2" / "super", 128, 1)
        elif damage != "nothing":
            (at / "l2" / damage).unlink()
        before = snapshot(at / "l2"), snapshot(at / "l3")
        with open_tiers(at, read_only=True) as memory:
            assert memory["large"] == b"x" * 300_000
            assert {key: memory[key] for key in values} == values
            memory.check()
            with pytest.raises(OSError, match="read_only"):
                memory.put("k", 1)
            with pytest.raises(OSError, match="read_only"):
                memory.delete(1)
        assert (snapshot(at / "l2"), snapshot(at / "l3")) == before


def test_read_only_of_nothing_makes_nothing(private_tmp: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        open_segments(private_tmp, read_only=True)
    assert list(private_tmp.iterdir()) == []
    (private_tmp / "l2").mkdir(mode=0o700)
    with pytest.raises(StoreNotFoundError):
        open_segments(private_tmp, read_only=True)
    assert list((private_tmp / "l2").iterdir()) == []


def test_a_constructor_that_fails_gives_the_directory_back(private_tmp: Path) -> None:
    fill(private_tmp)
    with pytest.raises((ValueError, TypeError)):
        open_segments(private_tmp, secret_key=b"")
    SegmentStore(private_tmp / "big", budget_bytes=1 << 30).close()
    with pytest.raises(ValueError, match="at least 536,870,912"):
        SegmentStore(private_tmp / "big", budget_bytes=BUDGET)
    with pytest.raises(ValueError):
        open_archive(private_tmp, level=99)
    fill(private_tmp)
    open_archive(private_tmp).close()
    SegmentStore(private_tmp / "big", budget_bytes=1 << 30).close()


def test_a_store_dropped_without_close_gives_the_directory_back(private_tmp: Path) -> None:
    store = open_segments(private_tmp)
    store.put("k", "v")
    del store
    import gc

    gc.collect()
    with open_segments(private_tmp) as again:
        assert again.get("k") == "v"
        assert not engine_of(again).files.attached


def test_every_verb_after_close_says_closed(private_tmp: Path) -> None:
    for opener in (open_segments, open_archive, open_tiers):
        store = opener(private_tmp / opener.__name__)
        store.put("k", "v")
        store.close()
        store.close()
        for call in (
            lambda s=store: s.put("k", 1),
            lambda s=store: s.put("k", b"x" * 300_000),
            lambda s=store: s.get("k"),
            lambda s=store: s.delete("k"),
            lambda s=store: "k" in s,
            lambda s=store: len(s),
            lambda s=store: list(s),
            lambda s=store: s.flush(),
            lambda s=store: s.check(),
            lambda s=store: s.stats(),
            lambda s=store: s.__enter__(),
        ):
            with pytest.raises(ClosedError):
                call()
