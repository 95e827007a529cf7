"""`clear` leaves nothing that counts, though nobody knows any more whose it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import TieredMemorySystem
from fastmem._core.keys import encode_key
from tests.crash.directories import (
    contents,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
)
from tests.demotion import archive_warm

OPENERS = pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])


def damage_head(store: Any, key: str) -> None:
    engine = engine_of(store)
    path, offset = engine.contents.place(engine.log.seek(encode_key(key)))
    patch(path, offset + 8, b"\xff\xff\xff\xff")


@OPENERS
@pytest.mark.parametrize("size", [10, 300_000])
def test_clear_removes_what_is_damaged(private_tmp: Path, opener: Any, size: int) -> None:
    with opener(private_tmp) as store:
        store.put("k", "older")
        store.put("k", os.urandom(size))
        store.put("lives", 1)
        damage_head(store, "k")
        assert len(store) == 2
        store.clear()
        assert len(store) == 0
        assert list(store) == []
        assert "k" not in store
        assert store.get("k") is None
        stats = store.stats()
        assert stats.get("l2", stats)["errors"]["dropped"] == 1
        store.check()
        store.put("after", 2)
    assert list(private_tmp.rglob("val.*")) == []
    for lost in ("nothing", "index"):
        for path in private_tmp.rglob(lost):
            path.unlink()
        with opener(private_tmp) as store:
            assert contents(store) == {"after": 2}
            store.check()


def test_clear_removes_what_is_damaged_in_the_archive(places: tuple[Path, Path]) -> None:
    """The tombstone of the older version in L3 outlives its segment of L2."""
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        memory["k"] = "older"
        archive_warm(memory)
        memory["k"] = "newer"
        damage_head(memory, "k")
        memory.clear()
        assert len(memory) == 0
        archive_warm(memory)
        memory.check()
    (places[0] / "index").unlink()
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        assert contents(memory) == {}


def test_clear_buries_nothing_twice(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", "v")
        tail = engine_of(store).files.super.get("tail")
        store.clear()
        store.clear()
        # One tombstone of 48 bytes and a key.
        assert engine_of(store).files.super.get("tail") == tail + 4
