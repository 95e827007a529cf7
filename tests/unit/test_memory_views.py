"""`get_view` of a memory: the newest value, whichever tier holds it, and L1 hears nothing of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastmem import TieredMemorySystem
from fastmem._core.keys import encode_key
from fastmem._core.layout import TIER_BIT
from fastmem.errors import ClosedError, SerializationError
from tests.demotion import archive_warm, empty_l1
from tests.viewed import SEGMENT, mapped_file

ABSENT = object()
Opened = Callable[..., TieredMemorySystem]
LARGE = 300_000


def text(size: int) -> bytes:
    """What compresses."""
    return (b"some words, again and again; " * (size // 29 + 1))[:size]


@pytest.mark.parametrize("size", [100, 40_000, LARGE])
@pytest.mark.parametrize("durability", ["process", "disk"])
def test_what_l2_holds_is_not_copied(opened: Opened, size: int, durability: str) -> None:
    memory = opened(durability=durability)
    value = os.urandom(size)
    memory.put("k", value)
    for empty in (False, True):  # also while L1 has it
        if empty:
            empty_l1(memory)
        used = memory.used_bytes
        view = memory.get_view("k")
        assert view.readonly
        assert bytes(view) == value
        assert mapped_file(view).startswith(("seg.", "val."))
        assert memory.used_bytes == used
    stats = memory.stats()
    assert (stats["l1"]["hits"], stats["l1"]["misses"], stats["l2"]["hits"]) == (0, 0, 2)
    assert stats["l2"]["promotions"] == 0


def test_what_only_l1_holds_is_copied(opened: Opened) -> None:
    memory = opened(durability="cache")
    values: dict[str, Any] = {
        "bytes": b"abc",
        "bytearray": bytearray(b"abc"),
        "array": np.arange(9),
    }
    for key, value in values.items():
        memory.put(key, value)
        view = memory.get_view(key)
        assert bytes(view) == bytes(value)
        assert view.readonly
    view = memory.get_view("bytearray")
    values["bytearray"][0] = 0
    assert bytes(view) == b"abc"
    memory.put("str", "abc")
    with pytest.raises(SerializationError, match="no bytes to view"):
        memory.get_view("str")
    memory.flush()
    assert mapped_file(memory.get_view("bytes")).startswith("seg.")


@pytest.mark.parametrize("size", [30_000, LARGE])
def test_l3_is_seen_as_it_lies_or_decompressed(opened: Opened, size: int) -> None:
    memory = opened()
    values = {"compresses": text(size * 4), "does not": os.urandom(size)}
    for key, value in values.items():
        memory.put(key, value)
    archive_warm(memory)
    for key, value in values.items():
        view = memory.get_view(key)
        assert bytes(view) == value
        assert view.readonly
        assert bool(mapped_file(view)) == (key == "does not")
    stats = memory.stats()
    assert (stats["l2"]["misses"], stats["l3"]["hits"], stats["l3"]["misses"]) == (2, 2, 0)


@pytest.mark.parametrize("signed", [None, b"a" * 16], ids=["", "signed"])
def test_what_l3_holds_compressed_moves_up_when_read_again(
    opened: Opened, signed: bytes | None
) -> None:
    memory = opened(secret_key=signed)
    values = {"compresses": text(50_000), "does not": os.urandom(30_000)}
    for key, value in values.items():
        memory.put(key, value)
    archive_warm(memory)
    for key, value in values.items():
        for _ in range(3):
            assert bytes(memory.get_view(key)) == value
        found = memory._engine.read(encode_key(key))
        assert found is not None
        assert bool(found[0].word & TIER_BIT) == (key == "does not")


def test_absent_expired_deleted_and_closed(opened: Opened) -> None:
    memory = opened()
    assert memory.get_view("k") is None
    assert memory.get_view("k", ABSENT) is ABSENT
    memory.put("k", b"abc")
    view = memory.get_view("k")
    memory.delete("k")
    assert memory.get_view("k") is None
    stats = memory.stats()
    assert (stats["l2"]["misses"], stats["l3"]["misses"]) == (3, 3)
    memory.close()
    with pytest.raises(ClosedError):
        memory.get_view("k")
    assert bytes(view) == b"abc"


def test_the_newest_value_is_seen(opened: Opened) -> None:
    memory = opened(durability="cache")
    kept = []
    for number in range(200):
        memory.put("k", bytes([number]) * 5_000)
        kept.append(memory.get_view("k"))
        if number % 3 == 0:
            memory.flush()
        elif number % 3 == 1:
            empty_l1(memory)
        assert memory.get_view("k")[4_999] == number
    assert all(view[0] == number for number, view in enumerate(kept))


def test_l1_takes_copies_and_counts_them(opened: Opened) -> None:
    memory = opened(2)
    array = np.random.default_rng(1).random(50_000)
    memory.put("k", array)
    empty_l1(memory)
    found = memory.get("k")
    assert mapped_file(found) == ""
    assert array.nbytes < memory.used_bytes < array.nbytes + 1_000
    archive_warm(memory)
    assert memory.stats()["l2"]["pinned_bytes"] == 0


def test_each_tier_counts_what_is_pinned_there(opened: Opened) -> None:
    memory = opened()
    memory.put("k", os.urandom(30_000))
    warm = memory.get_view("k")
    archive_warm(memory)
    assert memory.stats()["l2"]["pinned_bytes"] == SEGMENT
    cold = memory.get_view("k")
    assert mapped_file(cold).startswith("cold.")
    assert memory.stats()["l3"]["pinned_bytes"] == 0
    assert bytes(cold) == bytes(warm)
    warm.release()
    assert memory.get_stats()["l2_pinned_bytes"] == 0


def test_directories_of_two_memories_do_not_meet(opened: Opened, private_tmp: Path) -> None:
    one = opened()
    one.put("k", b"one" * 2_000)
    view = one.get_view("k")
    with TieredMemorySystem(1, private_tmp / "a", private_tmp / "b", l2_size_mb=16) as other:
        other.put("k", b"two" * 2_000)
        assert bytes(other.get_view("k")[:3]) == b"two"
        assert bytes(view[:3]) == b"one"
