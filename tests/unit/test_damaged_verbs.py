"""Verbs that look before they write take a damaged entry for none, as `get` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import TieredMemorySystem
from tests.crash.directories import forget_key, open_tiers, patch
from tests.demotion import empty_l1

MOST_TRIES = 5
OPTIONS = pytest.mark.parametrize("durability", ["process", "cache"])


def flip_record(top: Path) -> None:
    segment = top / "l2" / "seg.0"
    patch(segment, segment.read_bytes().find(b"VALUE"), b"v")


def lose_file(top: Path) -> None:
    for file in (top / "l2").glob("val.*"):
        file.unlink()


def with_damaged(top: Path, how: str, durability: str) -> TieredMemorySystem:
    """A memory whose "k" leads to a record, and `get` finds nothing."""
    key = b"a" * 16 if how == "unsigned" else None
    with open_tiers(top, secret_key=key) as memory:
        memory.put("k", os.urandom(300_000) if how == "missing" else b"VALUE" * 20)
    if how == "unsigned":
        forget_key(top)
        return open_tiers(top, secret_key=b"b" * 16, durability=durability)
    memory = open_tiers(top, durability=durability)
    (lose_file if how == "missing" else flip_record)(top)
    return memory


@pytest.fixture
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that tries for ever fails instead."""
    stored: list[object] = []
    store = TieredMemorySystem._store

    def count(self: TieredMemorySystem, *args: Any) -> bool:
        stored.append(args[0])
        assert len(stored) <= MOST_TRIES, "it tries again and again"
        return store(self, *args)

    monkeypatch.setattr(TieredMemorySystem, "_store", count)


@OPTIONS
@pytest.mark.usefixtures("few_tries")
@pytest.mark.parametrize("how", ["flipped", "missing", "unsigned"])
@pytest.mark.parametrize(
    ("verb", "told", "left"),
    [
        (lambda memory: memory.incr("k", 3), 3, 3),
        (lambda memory: memory.setdefault("k", "new"), "new", "new"),
        (lambda memory: memory.add("k", "new"), True, "new"),
        (lambda memory: memory.compare_and_set("k", None, "new"), False, None),
        (lambda memory: memory.touch("k", 60), False, None),
        (lambda memory: memory.pop("k", "none"), "none", None),
    ],
    ids=["incr", "setdefault", "add", "compare_and_set", "touch", "pop"],
)
def test_it_is_as_good_as_absent(
    private_tmp: Path,
    durability: str,
    how: str,
    verb: Callable[[TieredMemorySystem], Any],
    told: Any,
    left: Any,
) -> None:
    with with_damaged(private_tmp, how, durability) as memory:
        assert memory.get("k") is None
        assert verb(memory) == told
        assert memory.get("k") == left
        empty_l1(memory)
        assert memory.get("k") == left
        assert memory.stats()["l2"]["errors"]["corrupt"] == 1
        if left is not None:
            memory.check()


@OPTIONS
def test_incr_of_one_that_must_be_there(private_tmp: Path, durability: str) -> None:
    with with_damaged(private_tmp, "flipped", durability) as memory, pytest.raises(KeyError):
        memory.incr("k", initial=None)


@OPTIONS
def test_add_of_what_can_be_read_reads_it_and_no_more(private_tmp: Path, durability: str) -> None:
    with open_tiers(private_tmp, durability=durability) as memory:
        memory.put("k", os.urandom(300_000))
        memory.flush()
        empty_l1(memory)
        before = memory.stats()
        assert not memory.add("k", "new")
        assert memory.stats() == before
