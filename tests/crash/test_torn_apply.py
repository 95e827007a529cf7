"""Death between any two stores of one append, made by laying the bytes in the order of the code.

Two snapshots, before and after an operation, give every byte that it changed; each test state
takes the earlier snapshot and applies a prefix of those stores under a held lock.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from tests.crash.directories import (
    COLD_TAIL_AT,
    LOCK_AT,
    SEGMENT,
    TAIL_AT,
    UNIT,
    contents,
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
    rebuilt_contents,
    set_word,
    word,
)

DIRECTORY, WARM, COLD, OVERFLOW_NEXT = 64, 128, 136, 144
REDO = 192  # armed, slot, word, home, warm, cold, overflow
OVERFLOW_ID = 1 << 40
Patch = tuple[str, int, bytes]


def u64(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<Q", data, at)[0])


def stores(before: Path, after: Path, tail_at: int, segment: str) -> Iterator[Patch]:
    """The stores of one append, in the order of `Log.append`, `store_slot` and `apply_redo`."""
    folder = "l2" if (after / "l2" / "index").exists() else "l3"
    index = (after / folder / "index").read_bytes()
    old_index = (before / folder / "index").read_bytes()
    unit = SEGMENT if segment.startswith("l2") else 16 << 20
    tail = word(before / folder / "super", tail_at)
    end = word(after / folder / "super", tail_at)
    at = tail * UNIT % unit
    if at == 0:
        at = 64
    record = (after / segment).read_bytes()[at : end * UNIT % unit or unit]
    for cut in (16, 40, 49, len(record.rstrip(b"\0")) - 1):  # not visible until it is whole
        yield segment, at, record[:cut]
    yield segment, at, record
    redo = index[REDO + 8 : REDO + 56]
    slot, new_word, home = (u64(index, REDO + 8 * i) for i in (1, 2, 3))
    yield f"{folder}/index", REDO + 8, redo[:24]
    yield f"{folder}/index", REDO + 8, redo
    yield f"{folder}/index", REDO, struct.pack("<Q", 1)
    moved, home = home >> 63, home & (1 << 63) - 1
    home_at = 4096 + 64 * home
    version = u64(old_index, home_at)
    assert u64(index, home_at) == version + (0 if moved else 2)
    if not moved:
        yield f"{folder}/index", home_at, struct.pack("<Q", version | 1)
    bucket, position = divmod(slot - 1, 8)
    if bucket >= OVERFLOW_ID:
        name, slot_at = f"{folder}/overflow", 64 * (bucket - OVERFLOW_ID) + 8 + 8 * position
    else:
        name, slot_at = f"{folder}/index", 4096 + 64 * bucket + 8 + 8 * position
    yield f"{folder}/index", OVERFLOW_NEXT, index[OVERFLOW_NEXT : OVERFLOW_NEXT + 8]
    yield name, slot_at, struct.pack("<Q", new_word)
    for field in (WARM, COLD):
        yield f"{folder}/index", field, index[field : field + 8]
    if not moved:
        yield f"{folder}/index", home_at, struct.pack("<Q", version + 2)
    yield f"{folder}/index", REDO, struct.pack("<Q", 0)
    if tail_at == COLD_TAIL_AT:  # the version that the record takes, if it takes one
        version = word(after / folder / "super", TAIL_AT)
        yield f"{folder}/super", TAIL_AT, struct.pack("<Q", version)
    yield f"{folder}/super", tail_at, struct.pack("<Q", end)


def torn(before: Path, patches: list[Patch], at: Path) -> Path:
    copy(before, at)
    for name, offset, data in patches:
        patch(at / name, offset, data)
    folder = at / ("l2" if (at / "l2" / "index").exists() else "l3")
    set_word(folder / "super", LOCK_AT, 1 << 48 | 7)
    return at


def overflow_delta(before: Path, after: Path) -> list[Patch]:
    """A fresh overflow bucket is filled before anything leads to it."""
    folder = "l2" if (after / "l2" / "index").exists() else "l3"
    old = (before / folder / "overflow").read_bytes()
    new = (after / folder / "overflow").read_bytes()
    fresh = u64((before / folder / "index").read_bytes(), OVERFLOW_NEXT)
    if new[64 * fresh : 64 * fresh + 64] == old[64 * fresh : 64 * fresh + 64]:
        return []
    return [(f"{folder}/overflow", 64 * fresh, new[64 * fresh : 64 * fresh + 64])]


def segment_of(path: Path, at: int, segment_bytes: int) -> int:
    return word(path, at) * UNIT // segment_bytes


OPERATIONS: dict[str, Any] = {
    "put new": lambda store: store.put("new", "value of the new key"),
    "replace": lambda store: store.put("key-7", "another value"),
    "delete": lambda store: store.delete("key-9"),
    "ttl": lambda store: store.put("key-3", "v", ttl_seconds=3600),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_every_prefix_of_an_append_recovers(private_tmp: Path, opener: Any, name: str) -> None:
    with opener(private_tmp) as store:
        for i in range(300):
            store.put(f"key-{i}", f"value {i}")
        before = copy(private_tmp, private_tmp / "before")
        old = contents(store)
        OPERATIONS[name](store)
        new = contents(store)
        after = copy(private_tmp, private_tmp / "after")
    assert old != new or name == "ttl"
    steps = list(stores(before, after, TAIL_AT, "l2/seg.0"))
    whole = next(i for i, step in enumerate(steps) if step[0].endswith("index"))
    for count in range(len(steps) + 1):
        at = torn(before, steps[:count], private_tmp / f"torn-{count}")
        with opener(at) as store:
            store.check()
            wanted = new if count >= whole else old
            assert contents(store) == wanted, f"after {count} stores"
            assert not (engine_of(store).files.rebuilt), f"after {count} stores"
            store.put("later", 1)
            store.check()
        assert rebuilt_contents(at, private_tmp / f"rebuilt-{count}", opener) == {
            **wanted,
            "later": 1,
        }


@pytest.mark.parametrize("kept", [0, 1, 7])
def test_links_into_the_overflow_recover(private_tmp: Path, kept: int) -> None:
    """The put that turns a full bucket's last slot into a link."""
    with open_segments(private_tmp) as store:
        key = 0
        while True:
            before_next = u64((private_tmp / "l2/index").read_bytes(), OVERFLOW_NEXT)
            if before_next > kept:
                break
            key += 1
            store.put(key, key)
        # Find the next put that takes an overflow bucket, with snapshots on both sides of it.
        while True:
            key += 1
            before = copy(private_tmp, private_tmp / f"before-{key}")
            taken = engine_of(store).log.buckets[2]
            store.put(key, key)
            if engine_of(store).log.buckets[2] > taken and not splits(before, private_tmp):
                break
            rmtree(before)
        after = copy(private_tmp, private_tmp / "after")
    steps = overflow_delta(before, after) + list(stores(before, after, TAIL_AT, "l2/seg.0"))
    for count in range(len(steps) + 1):
        at = torn(before, steps[:count], private_tmp / f"torn-{count}")
        with open_segments(at) as store:
            store.check()
            found = contents(store)
            assert set(range(1, key)) <= set(found) <= set(range(1, key + 1))
            assert all(found[i] == i for i in found)


def splits(before: Path, after: Path) -> bool:
    return word(before / "l2/index", DIRECTORY) != word(after / "l2/index", DIRECTORY)


def test_a_split_half_done_recovers(private_tmp: Path) -> None:
    """The directory leads to the new half; the old bucket still holds the words that moved."""
    with open_segments(private_tmp) as store:
        key = 0
        found = 0
        while found < 6:
            key += 1
            engine_of(store).log.buckets  # noqa: B018 - the index is mapped and current
            old_word = word(private_tmp / "l2/index", DIRECTORY)
            near = engine_of(store).log.warm_entries >= 5 * 1024 - 1
            before = copy(private_tmp, private_tmp / "before") if near else None
            store.put(key, key)
            new_word = word(private_tmp / "l2/index", DIRECTORY)
            if before is not None:
                if new_word != old_word:
                    check_split(private_tmp, before, new_word, key)
                    found += 1
                rmtree(before)


def check_split(current: Path, before: Path, directory: int, newest: int) -> None:
    level, split = directory >> 56, directory & (1 << 56) - 1
    last = split - 1 if split else (1 << level - 1) - 1
    at = copy(current, current / "torn")
    whole = 4096 + 64 * last
    old_bucket = (before / "l2/index").read_bytes()[whole : whole + 64]
    now = (at / "l2/index").read_bytes()
    slots = set(struct.unpack_from("<7Q", now, whole + 8)) - {0}
    kept = struct.unpack_from("<7Q", old_bucket, 8)
    linked = any(slot >> 46 & 1 for slot in (*kept, *slots))
    if not linked and slots <= set(kept):  # else the put itself went to this bucket
        patch(at / "l2/index", whole, struct.pack("<Q", u64(now, whole) | 1) + old_bucket[8:])
    set_word(at / "l2/super", LOCK_AT, 1)
    with open_segments(at) as store:
        store.check()
        assert not store.stats()["rebuilt"]
        assert contents(store) == {i: i for i in range(1, newest + 1)}
    rmtree(at)


def test_every_prefix_of_a_demotion_recovers(private_tmp: Path) -> None:
    """A move to the archive: the record in the cold log, the slot's word, the cold tail."""
    with open_tiers(private_tmp) as memory:
        for i in range(50):
            memory.put(f"key-{i}", f"value {i}" * 30)
        engine = engine_of(memory)
        engine.room.provide(1)
        engine.log.roll(0)
        engine.reclaimer.step(1)  # the first demotion makes the cold segment
        before = copy(private_tmp, private_tmp / "before")
        old = contents(memory)
        engine.reclaimer.step(1)
        after = copy(private_tmp, private_tmp / "after")
    steps = list(stores(before, after, COLD_TAIL_AT, "l3/cold.0"))
    assert steps[-1][2] != struct.pack("<Q", word(before / "l2/super", COLD_TAIL_AT))
    for count in range(len(steps) + 1):
        at = torn(before, steps[:count], private_tmp / f"torn-{count}")
        with open_tiers(at) as memory:
            memory.check()
            assert contents(memory) == old, f"after {count} stores"
            assert not memory.stats()["l2"]["rebuilt"]
        assert rebuilt_contents(at, private_tmp / f"rebuilt-{count}", open_tiers) == old


@pytest.mark.parametrize("name", ["put new", "replace", "delete"])
def test_every_prefix_of_an_archive_append_recovers(private_tmp: Path, name: str) -> None:
    """An archive alone: the slot is the commit point, what was never in it is taken back."""
    with open_archive(private_tmp) as archive:
        for i in range(50):
            archive.put(f"key-{i}", f"value {i}")
        before = copy(private_tmp, private_tmp / "before")
        old = contents(archive)
        OPERATIONS[name](archive)
        new = contents(archive)
        after = copy(private_tmp, private_tmp / "after")
    for count in range(len(steps := list(stores(before, after, COLD_TAIL_AT, "l3/cold.0"))) + 1):
        at = torn(before, steps[:count], private_tmp / f"torn-{count}")
        with open_archive(at) as archive:
            archive.check()
            found = contents(archive)
            assert found in (old, new), f"after {count} stores"
            assert not engine_of(archive).files.rebuilt
            for key in ("key-9", "key-7", "new"):
                archive.put(key, "later")  # by a version of its own
                found[key] = "later"
        assert rebuilt_contents(at, private_tmp / f"rebuilt-{count}", open_archive) == found
