"""A campaign of corruptions, run in a process of its own: a crash of the interpreter is its result.

    python -m tests.fuzz.corruptor SEED FIRST COUNT DIRECTORY

Each case copies a store, damages one file, opens it and reads and writes everything. A line tells
when a case begins, so that the parent knows which one killed the process.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastmem import FastmemError, SegmentStore, TieredMemorySystem
from fastmem._core import scan
from fastmem._core.keys import encode_key
from fastmem._core.layout import LOCATION_MASK, POINTER, TIER_BIT, UNIT_BYTES
from fastmem.storage.values import Pointer
from tests.crash.directories import (
    copy,
    engine_of,
    linked_bytes,
    open_archive,
    open_segments,
    open_tiers,
    retrust,
)
from tests.demotion import reclaim

MOST_MEMORY = 400 << 20  # resident, above what the process began with
OPENERS: dict[str, Any] = {
    "segments": open_segments,
    "tiers": open_tiers,
    "archive": open_archive,
}


class Place(NamedTuple):
    """Bytes that a key's value needs to be found whole."""

    file: str
    start: int
    end: int


class Built(NamedTuple):
    """A store, what it holds, and where."""

    at: Path
    values: dict[Any, Any]
    places: dict[Any, list[Place]]


def text(i: int, size: int) -> str:
    return (f"record {i} of the campaign, much like the others; " * (size // 40 + 1))[:size]


def noise(i: int, size: int) -> bytes:
    return random.Random(i).randbytes(size)


def build(kind: str, at: Path, salt: int) -> Built:
    """A store of every sort of file: several segments, value files, in tiers a dictionary."""
    values: dict[Any, Any] = {}
    for i in range(1500):
        values[f"text-{i}"] = text(i + salt, 400 + i % 700)
    for i in range(300):
        values[i] = noise(i + salt, i)
    for i in range(6):
        values["large", i] = noise(i + salt, 300_000)
    with OPENERS[kind](at) as store:
        for key in values:
            store.put(key, f"an older value of {key!r}")
        store.update(values)
        for i in range(200):
            store.put(("gone", i), i)
            store.delete(("gone", i))
        if kind == "tiers":
            engine = engine_of(store)
            engine.room.provide(1)
            engine.log.roll(0)
            while engine.files.warm.numbers[0] < engine.files.tail_segment(0) - 1:
                reclaim(engine, 1 << 20, forward=False)
        if (engine := engine_of(store)).cold:
            engine.cold.dictionaries.close()
        places = {key: places_of(engine, encode_key(key)) for key in values}
    return Built(at, values, places)


def places_of(engine: Any, key: bytes) -> list[Place]:
    """The record of a key and, if it has them, its value file and its dictionary."""
    record = engine.log.get(key)
    tier = 1 if record.word & TIER_BIT else 0
    segments, values = engine.files.segments(tier), engine.files.values(tier)
    address = record.word & LOCATION_MASK
    _record, after = scan.next_record(engine.log, tier, address)
    number = address // segments.segment_units
    first = number * segments.segment_units
    record_at = [(at - first) * UNIT_BYTES for at in (address, after)]
    places = [Place(segments.name(number), record_at[0], record_at[1])]
    if record.kind == POINTER:
        number = Pointer.unpack(record.body).number
        places.append(Place(f"val.{number:016x}", 0, values.bytes_of(number)))
    if record.dictionary:
        places.append(Place(f"dict.{record.dictionary}", 0, 1 << 20))
    return places


def spoilt(built: Built, name: str, before: bytes, after: bytes) -> set[Any]:
    """The keys whose values need a byte of file `name` that is another one now, or gone."""
    kept = min(len(before), len(after))
    changed = np.flatnonzero(
        np.frombuffer(before[:kept], np.uint8) != np.frombuffer(after[:kept], np.uint8)
    )
    return {
        key
        for key, places in built.places.items()
        for place in places
        if place.file == name
        and (
            kept < min(place.end, len(before))
            or np.searchsorted(changed, place.start) < np.searchsorted(changed, place.end)
        )
    }


# -- damage: each takes (file, its foreign twin, draw) ---------------------------------------


def flip(path: Path, _twin: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 1, 8, 200])):
        if data:
            data[place(data, draw)] ^= 1 << draw.randrange(8)
    overwrite(path, data)


def place(data: bytearray, draw: random.Random) -> int:
    """Anywhere, or where something stands: the first page, or a byte that is not zero."""
    where = draw.random()
    if where < 0.3:
        return draw.randrange(min(len(data), 512))
    for _ in range(50 if where < 0.9 else 0):
        at = draw.randrange(len(data))
        if data[at]:
            return at
    return draw.randrange(len(data))


def zero(path: Path, _twin: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        start = place(data, draw)
        end = min(len(data), start + draw.choice([1, 8, 64, 4096, 1 << 20]))
        data[start:end] = bytes(end - start)
    overwrite(path, data)


def garbage(path: Path, _twin: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        start = place(data, draw)
        end = min(len(data), start + draw.choice([8, 64, 4096, 1 << 20]))
        data[start:end] = draw.randbytes(end - start)
    overwrite(path, data)


def extreme_word(path: Path, _twin: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if len(data) >= 8:
        at = draw.randrange(min(len(data), 4096 * 4) // 8) * 8
        value = draw.choice([0, 1, (1 << 64) - 1, 1 << 63, 1 << 46, 1 << 32, draw.getrandbits(64)])
        struct.pack_into("<Q", data, at, value)
    overwrite(path, data)


def truncate(path: Path, _twin: Path, draw: random.Random) -> None:
    size = path.stat().st_size
    os.truncate(
        path, draw.choice([0, 1, 63, 64, size // 2, max(size - 1, 0), draw.randint(0, size)])
    )


def extend(path: Path, _twin: Path, draw: random.Random) -> None:
    os.truncate(path, path.stat().st_size + draw.choice([1, 4096, 1 << 20, 1 << 40]))


def swap(path: Path, twin: Path, _draw: random.Random) -> None:
    """A foreign store's file of the same name, over ours in place."""
    if twin.exists():
        overwrite(path, bytearray(twin.read_bytes()))


def copy_over(path: Path, _twin: Path, draw: random.Random) -> None:
    """Another file of the same store over this one: a segment over a segment, most of all."""
    prefix = path.name.split(".")[0]
    others = [other for other in path.parent.iterdir() if other.name.split(".")[0] == prefix]
    overwrite(path, bytearray(draw.choice(sorted(others)).read_bytes()))


def newer(path: Path, _twin: Path, _draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if len(data) >= 12:
        struct.pack_into("<I", data, 8, 7)
    overwrite(path, data)


def remove(path: Path, _twin: Path, _draw: random.Random) -> None:
    path.unlink()


def overwrite(path: Path, data: bytearray) -> None:
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


DAMAGES: list[Callable[[Path, Path, random.Random], None]] = [
    flip, flip, flip, zero, garbage, extreme_word, extreme_word, truncate, extend, swap, copy_over,
    newer, remove,
]  # fmt: skip


def case(number: int, seed: int, work: Path, stores: dict[str, tuple[Built, Path]]) -> str:
    draw = random.Random(f"{seed} {number}")
    kind = draw.choice(list(OPENERS))
    built, twin = stores[kind]
    at = copy(built.at, work / "case")
    targets: dict[str, list[Path]] = {}
    for folder in ("l2", "l3"):
        for path in sorted((at / folder).iterdir()) if (at / folder).exists() else ():
            targets.setdefault(path.name.split(".")[0], []).append(path)
    name = draw.choice(sorted(targets))
    path = draw.choice(targets[name])
    damage = draw.choice(DAMAGES)
    print(f"case {number} {kind} {path.parent.name}/{path.name} {damage.__name__}", flush=True)
    folder = path.parent.name
    # A third of the cases are found after a kill rather than a close.
    clean = draw.random() > 0.3
    if not clean:
        for super_page in at.glob("*/super"):
            with super_page.open("r+b") as file:
                file.seek(120)
                file.write(bytes(8))
    before = path.read_bytes()
    damage(path, twin / folder / path.name, draw)
    after = path.open("rb").read(len(before)) if path.exists() else b""
    retrust_if_same(at, built.at)
    may_miss = spoilt(built, path.name, before, after)
    # The index has a checksum only after a clean close; else a damaged slot loses its key.
    slots = 200 if name in ("index", "overflow") and not clean else 0
    told = verify(kind, at, built.values, name, may_miss, slots)
    shutil.rmtree(at)
    return told


def retrust_if_same(at: Path, base: Path) -> None:
    """A file cut and written again keeps its inode, so the index stays as trusted as it was."""
    for folder in ("l2", "l3"):
        page = at / folder / "super"
        whole = page.exists() and page.stat().st_size == 4096
        if not whole or not (at / folder / "index").exists():
            continue
        if page.read_bytes()[:320] == (base / folder / "super").read_bytes()[:320]:
            retrust(at / folder, base / folder)


def verify(
    kind: str, at: Path, values: dict[Any, Any], hit: str, may_miss: set[Any], slots: int = 0
) -> str:
    """Open, read and write everything. A file called `hit` is damaged: of what there was, only the
    values of `may_miss` may be missing, and `slots` others.
    """
    opener = OPENERS[kind]
    try:
        store = opener(at)
    except (FastmemError, OSError) as error:
        if hit in ("super", "archive", "seg", "cold", "index", "overflow"):
            return type(error).__name__
        raise
    try:
        found = {key: value for key in values if (value := read(store, key)) is not None}
        wrong = [key for key, value in found.items() if value != values[key]]
        assert not wrong, f"wrong values: {wrong[:5]} of {len(wrong)}"
        missing = values.keys() - found.keys() - may_miss
        assert len(missing) <= slots, (
            f"{len(missing)} values missing after damage to {hit} that does not touch them: "
            f"{list(missing)[:5]}"
        )
        for i in range(0, 200, 20):
            assert read(store, ("gone", i)) is None, "a deleted key came back"
        iterate(store, found)
        check(store, hit)
        for i in range(30):
            store.put(("new", i), noise(i, 5_000 * (i % 3 + 1)))
        assert all(read(store, ("new", i)) == noise(i, 5_000 * (i % 3 + 1)) for i in range(30))
        store.put(("new", "large"), noise(1, 400_000))
        assert read(store, ("new", "large")) == noise(1, 400_000)
        store.delete(("new", 3))
        store.stats()
        for folder in ("l2", "l3"):
            if (at / folder).exists():
                assert linked_bytes(at / folder) < 80 << 20, "grown without end"
    finally:
        store.close()
    with opener(at) as store:
        assert read(store, ("new", 3)) is None
        assert read(store, ("new", 4)) == noise(4, 10_000)
        check(store, hit)
    return "opened"


def iterate(store: SegmentStore | TieredMemorySystem, found: dict[Any, Any]) -> None:
    """Keys, values and items pass over what is damaged, and over nothing else."""
    assert found.keys() <= set(store)
    if isinstance(store, TieredMemorySystem):
        assert dict(store.items()) == found
        assert len(list(store.values())) == len(found)


def check(store: SegmentStore | TieredMemorySystem, hit: str) -> None:
    """What was damaged is still there to be counted; nothing else is amiss."""
    problems = scan.check_index(engine_of(store).log)
    if hit not in ("index", "overflow"):
        assert all("leads to no whole record" in problem for problem in problems), problems[:5]
        assert hit in ("seg", "cold") or not problems, problems[:5]
    if problems:
        try:
            store.check()
        except AssertionError as error:
            told = str(error).split("; ")
            assert set(told) <= set(problems), told
    else:
        store.check()


def read(store: SegmentStore | TieredMemorySystem, key: Any) -> Any:
    return store.get(key)


def main(seed: int, first: int, count: int, work: Path) -> None:
    import logging

    logging.disable(logging.CRITICAL)
    built = {}
    for kind in OPENERS:
        for name in ("base", "twin"):
            (work / f"{kind}-{name}").mkdir()
        build(kind, work / f"{kind}-twin", 7)
        built[kind] = build(kind, work / f"{kind}-base", 0), work / f"{kind}-twin"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: dict[str, int] = {}
    for number in range(first, first + count):
        told = case(number, seed, work, built)
        outcomes[told] = outcomes.get(told, 0) + 1
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        assert grown < MOST_MEMORY, f"{grown:,} bytes more in memory"
    print("done", outcomes, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
