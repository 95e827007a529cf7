"""Directories of stores as tests want them: copied, patched, rebuilt, compared."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xxhash

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem._core import scan
from fastmem._core.layout import HEADER_UNITS, POINTER
from fastmem.storage.keyed import KeyedStore
from fastmem.storage.values import Pointer

BUDGET = 16 << 20
SEGMENT = 1 << 20
UNIT = 16
TRUST_AT, CLEAN_AT, LOCK_AT, CLOCK_AT, KEY_NOTE_AT = 64, 120, 128, 320, 384
TAIL_AT, HEAD_AT, SYNCED_AT, COLD_TAIL_AT, COLD_HEAD_AT = 192, 200, 208, 216, 224
TAIL_INVERSE_AT = 240

Opener = Callable[[Path], Any]


def open_segments(path: Path, **options: Any) -> SegmentStore:
    return SegmentStore(path / "l2", budget_bytes=BUDGET, **options)


def open_archive(path: Path, **options: Any) -> Archive:
    return Archive(path / "l3", **options)


def open_tiers(path: Path, **options: Any) -> TieredMemorySystem:
    return TieredMemorySystem(1, path / "l2", path / "l3", l2_size_mb=16, **options)


def engine_of(store: Any) -> Any:
    return store._engine


def pointed_to(engine: Any, tier: int) -> set[int]:
    """The value files that records lead to which the index leads to, expired ones included."""
    segments, found = engine.files.segments(tier), set()
    for number in segments.numbers if segments else ():
        at = number * segments.segment_units + HEADER_UNITS
        while at % segments.segment_units:
            record, at = scan.next_record(engine.log, tier, at)
            if record is None:
                break
            if record.live and record.kind == POINTER:
                found.add(Pointer.unpack(record.body).number)
    return found


def word(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        return int(struct.unpack("<Q", file.read(8))[0])


def patch(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes in place: the inode stays."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def set_word(path: Path, offset: int, value: int) -> None:
    patch(path, offset, struct.pack("<Q", value))


def forget_key(path: Path) -> None:
    """As if the first pages had been lost, and their identity recovered from the segments."""
    for page in [*path.glob("*/super"), *path.glob("*/archive")]:
        patch(page, KEY_NOTE_AT, bytes(24))


def copy(source: Path, target: Path) -> Path:
    """Copy stores (open or not) file by file, with the index as trusted as it was.

    A copy has other inodes, so its index would not be believed: the trust line is written anew.
    """
    for folder in ("l2", "l3"):
        if not (source / folder).is_dir():
            continue
        (target / folder).mkdir(parents=True)
        (target / folder).chmod(0o700)
        for file in (source / folder).iterdir():
            shutil.copyfile(file, target / folder / file.name)
        if (target / folder / "super").exists():
            retrust(target / folder, source / folder)
    return target


def retrust(folder: Path, original: Path) -> None:
    """If the index of `original` was trusted, make its copy in `folder` trusted."""
    page = (folder / "super").read_bytes()
    line = page[TRUST_AT : TRUST_AT + 48]
    index = original / "index"
    if not index.exists() or line[16:32] != place_of(index):
        return
    line = line[:16] + place_of(folder / "index") + line[32:]
    check = struct.pack("<Q", xxhash.xxh3_64_intdigest(line))
    patch(folder / "super", TRUST_AT, line + check)


def place_of(path: Path) -> bytes:
    facts = os.stat(path)
    return struct.pack("<QQ", facts.st_dev, facts.st_ino)


def contents(store: KeyedStore | TieredMemorySystem) -> dict[Any, Any]:
    """Every key and value, read one by one."""
    read = store.peek if isinstance(store, TieredMemorySystem) else store.get
    return {key: read(key) for key in list(store)}


def rebuilt_contents(source: Path, target: Path, opener: Opener) -> dict[Any, Any]:
    """What a copy of the directory holds when its index has to be made from the log."""
    copy(source, target)
    for folder in ("l2", "l3"):
        (target / folder / "index").unlink(missing_ok=True)
    with opener(target) as store:
        store.check()
        return contents(store)


def linked_bytes(folder: Path) -> int:
    """What `du` counts of a store's files; other threads may be at work on them."""
    total = 0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat().st_blocks * 512
    return total


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything about the files of a directory that a reader must not change."""
    return {
        file.name: (file.stat().st_mtime_ns, file.stat().st_ino, file.read_bytes())
        for file in sorted(folder.iterdir())
    }
