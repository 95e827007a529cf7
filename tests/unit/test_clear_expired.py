"""`clear` leaves nothing that counts, expired entries included, now or at any later opening."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import TieredMemorySystem
from fastmem._core import scan
from fastmem._core.clock import boottime_ns
from fastmem.memory import Durability
from tests.crash.directories import engine_of, open_archive, open_segments, open_tiers
from tests.demotion import archive_warm

OPENERS = pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])


def expire(store: Any, key: str, value: object) -> None:
    """Put an entry whose deadline has passed when this returns, though nothing has looked at it."""
    store.put(key, value, ttl_seconds=0.02)
    deadline = boottime_ns() + 40_000_000
    while boottime_ns() < deadline:
        pass
    assert len(store) > 0


@OPENERS
@pytest.mark.parametrize("size", [10, 300_000])
def test_clear_removes_what_has_expired(private_tmp: Path, opener: Any, size: int) -> None:
    with opener(private_tmp) as store:
        store.put("lives", 1)
        expire(store, "expired", os.urandom(size))
        store.clear()
        assert len(store) == 0
        assert list(store) == []
        store.check()
    assert list(private_tmp.rglob("val.*")) == []
    for lost in ("nothing", "index"):
        for path in private_tmp.rglob(lost):
            path.unlink()
        with opener(private_tmp) as store:
            assert len(store) == 0
            store.check()


@OPENERS
def test_clear_counts_the_expired_as_such(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put("lives", 1)
        expire(store, "expired", 2)
        store.clear()
        store.clear()
        stats = store.stats()
        assert stats.get("l2", stats)["expirations"] == 1


def test_clear_removes_what_expired_in_the_archive(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        memory["k"] = "older"
        archive_warm(memory)
        memory.put("k", "newer", ttl_seconds=0.5)
        archive_warm(memory)
        assert memory.stats()["l3"]["entries"] == 1
        deadline = boottime_ns() + 520_000_000
        while boottime_ns() < deadline:
            pass
        memory.clear()
        assert len(memory) == 0
        assert memory.stats()["l3"]["expirations"] == 1
        memory.check()
    (places[0] / "index").unlink()
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        assert len(memory) == 0
        assert memory.get("k") is None


@pytest.mark.parametrize("durability", ["process", "disk", "cache"])
def test_clear_empties_l1_too(places: tuple[Path, Path], durability: Durability) -> None:
    with TieredMemorySystem(1, *places, l2_size_mb=16, durability=durability) as memory:
        memory["lives"] = 1
        expire(memory, "expired", 2)
        memory.clear()
        assert memory.l1_current_bytes == 0
        assert len(memory) == 0
        memory.check()


@OPENERS
def test_clear_leaves_what_is_put_while_it_buries(private_tmp: Path, opener: Any) -> None:
    """Of two expired entries the second is put again right after the first was buried."""
    with opener(private_tmp) as store:
        expire(store, "a", 1)
        expire(store, "b", 2)
        engine = engine_of(store)
        settle = engine.settle
        put: list[str] = []

        def settle_and_put() -> None:
            settle()
            left = [head.key for head in scan.heads(engine.log, only_expired=True)]
            if not put:
                put.append(left[0][1:].decode())
                store.put(put[0], "new")

        engine.settle = settle_and_put
        store.clear()
        assert {key: store.get(key) for key in "ab" if key in store} == {put[0]: "new"}
        stats = store.stats()
        assert stats.get("l2", stats)["expirations"] == 1
        store.check()
