"""Values that cannot, may not or need not become bytes; values larger than a tier."""

import datetime
import errno
import logging
import os
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import pytest

from fastmem import (
    MemoryTier,
    PickleRefusedError,
    SerializationError,
    TieredMemorySystem,
    ValueTooLargeError,
)
from fastmem.memory import Durability
from fastmem.storage import files
from tests.crash.directories import forget_key

MIB = 1 << 20


class Point:
    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return type(other) is Point and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


class Unpicklable:
    def __reduce__(self) -> tuple[Any, ...]:
        raise ZeroDivisionError("not this one")


def contents(memory: TieredMemorySystem) -> tuple[object, ...]:
    return dict(memory.items()), memory.l1_current_bytes, list(memory.l1)


# -- values that cannot become bytes


def test_an_unpicklable_value_is_named_by_its_place_and_changes_nothing(
    opened: Callable[..., TieredMemorySystem],
) -> None:
    memory = opened()
    memory["k"] = "kept"
    before = contents(memory)
    with pytest.raises(SerializationError, match=r"value\['rows'\]\[1\].*not this one") as caught:
        memory.put("k", {"rows": [1, Unpicklable()]})
    assert caught.value.path == "value['rows'][1]"
    assert contents(memory) == before


def test_a_class_that_is_gone_is_named(
    opened: Callable[..., TieredMemorySystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("module_that_goes")
    exec("class Gone: pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "module_that_goes", module)
    memory = opened()
    memory["k"] = [module.Gone()]
    memory["other"] = 1
    memory = opened()
    monkeypatch.delitem(sys.modules, "module_that_goes")
    for read in (memory.get, memory.peek, memory.entry, memory.pop, memory.__getitem__):
        with pytest.raises(SerializationError, match=r"module_that_goes\.Gone"):
            read("k")
    assert "k" in memory
    assert memory.stats()["l2"]["errors"]["undecodable"] == 5
    assert memory["other"] == 1
    memory["k"] = 2  # it can be replaced, or deleted
    assert memory["k"] == 2


def test_pickle_refused_both_ways(opened: Callable[..., TieredMemorySystem]) -> None:
    memory = opened(allow_pickle=False)
    memory["plain"] = {"t": (1, {2}), "d": datetime.date(2026, 1, 1)}
    with pytest.raises(PickleRefusedError, match=r"value\[0\].*Point"):
        memory["k"] = [Point(1)]
    assert "k" not in memory
    memory = opened()
    memory["k"] = [Point(1)]
    memory = opened(allow_pickle=False)
    assert memory["plain"] == {"t": (1, {2}), "d": datetime.date(2026, 1, 1)}
    with pytest.raises(PickleRefusedError):
        memory.get("k")
    assert opened()["k"] == [Point(1)]


class Custom:
    def __init__(self) -> None:
        self.fail = ""

    def dumps(self, value: Any) -> Any:
        if self.fail == "dumps":
            raise ZeroDivisionError("in dumps")
        return 5 if self.fail == "type" else pickle.dumps(value)

    def loads(self, data: Any) -> object:
        if self.fail == "loads":
            raise ZeroDivisionError("in loads")
        return pickle.loads(data)  # noqa: S301 - our own bytes


def test_a_custom_serializer_that_fails(opened: Callable[..., TieredMemorySystem]) -> None:
    custom = Custom()
    memory = opened(serializer=custom)
    memory["k"] = 1
    before = contents(memory)
    for fail, text in (("dumps", "in dumps"), ("type", "returned int")):
        custom.fail = fail
        with pytest.raises(SerializationError, match=text):
            memory["k"] = 2
        assert contents(memory) == before
    memory.resize(1)
    custom.fail = "loads"
    with pytest.raises(SerializationError, match="in loads"):
        memory.get("k")
    custom.fail = ""
    assert memory["k"] == 1
    memory = opened()
    with pytest.raises(SerializationError, match="custom serializer"):
        memory.get("k")


@pytest.mark.parametrize("answer", [-1, 1.5, True, "9", None, ZeroDivisionError])
@pytest.mark.parametrize("durability", ["process", "cache"])
def test_a_sizer_that_fails_changes_nothing(
    opened: Callable[..., TieredMemorySystem], answer: Any, durability: Durability
) -> None:
    def sizer(value: Any) -> Any:
        if value == "bad":
            if answer is ZeroDivisionError:
                raise answer
            return answer
        return 10

    memory = opened(sizer=sizer, durability=durability)
    memory["k"] = 1
    before = contents(memory)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        memory["k"] = "bad"
    assert contents(memory) == before
    assert memory.stats()["l1"]["errors"]["sizer"] == 1
    memory.check()


# -- a key of its own for the records


def test_secret_keys(
    opened: Callable[..., TieredMemorySystem],
    private_tmp: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = opened(secret_key=b"s" * 32)
    memory["small"] = [1]
    memory["large"] = "x" * 400_000
    memory = opened(secret_key=b"s" * 32)
    assert memory["small"] == [1]
    assert memory["large"] == "x" * 400_000
    memory.close()
    forget_key(private_tmp)
    memory = opened(secret_key=b"t" * 32)
    with caplog.at_level(logging.WARNING, "fastmem"):
        assert memory.get("small", "miss") == "miss"
        assert memory.get("large", "miss") == "miss"
    assert memory.stats()["l2"]["errors"]["corrupt"] == 2
    assert "without a valid MAC" in caplog.text
    with pytest.raises(KeyError):
        memory.popitem()
    memory["small"] = [2]
    memory = opened(secret_key=b"t" * 32)
    assert memory["small"] == [2]


def test_records_without_a_mac_are_misses_where_a_key_is_given(
    opened: Callable[..., TieredMemorySystem], private_tmp: Path
) -> None:
    memory = opened()
    memory["k"] = [1]
    memory.close()
    forget_key(private_tmp)
    memory = opened(secret_key=b"s" * 32)
    assert memory.get("k") is None
    assert memory.stats()["l2"]["errors"]["corrupt"] == 1
    assert dict(memory.items()) == {}


# -- values larger than a tier


@pytest.mark.parametrize("durability", ["process", "cache"])
@pytest.mark.parametrize("l1_size_mb", [1, 64])
def test_larger_than_l2_goes_to_the_archive(
    opened: Callable[..., TieredMemorySystem], durability: Durability, l1_size_mb: float
) -> None:
    """Whatever L1 holds, and whether the put, an eviction, a flush or the close brings it there."""
    memory = opened(l1_size_mb, durability=durability)
    value = os.urandom(9 * MIB)
    memory["put"] = value
    memory["evicted"] = value
    memory.resize(1000)
    assert memory.entry("evicted").tier is MemoryTier.L3_COLD
    memory.resize(64 * MIB)
    memory.put("flushed", value, 3600)
    memory.flush()
    memory["closed"] = value
    memory = opened(l1_size_mb)
    for key in ("put", "evicted", "flushed", "closed"):
        assert memory.entry(key).tier is MemoryTier.L3_COLD
        assert memory[key] == value
    assert memory.entry("flushed").ttl == pytest.approx(3600, abs=1)
    memory.check()


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_larger_than_everything(
    opened: Callable[..., TieredMemorySystem], durability: Durability
) -> None:
    memory = opened(1, l3_size_mb=16, durability=durability)
    memory["k"] = "kept"
    before = contents(memory)
    with pytest.raises(
        ValueTooLargeError, match=r"9,437,184 bytes .* limit of 8,388,608"
    ) as caught:
        memory["k"] = bytes(9 * MIB)
    assert (caught.value.size, caught.value.limit) == (9 * MIB, 8 * MIB)
    assert contents(memory) == before
    assert sorted(path.name for path in memory.l3_path.iterdir()) == ["archive", "procs"]


def test_larger_than_everything_below_but_not_than_l1(
    opened: Callable[..., TieredMemorySystem], caplog: pytest.LogCaptureFixture
) -> None:
    """In "cache" mode it lives while L1 holds it; flush says so, eviction counts it."""
    memory = opened(64, l3_size_mb=16, durability="cache")
    memory["huge"] = bytes(9 * MIB)
    memory["small"] = 1
    with pytest.raises(ValueTooLargeError):
        memory.flush()
    assert memory["huge"] == bytes(9 * MIB)
    with caplog.at_level(logging.WARNING, "fastmem"):
        memory.resize(1000)
    assert "'huge'" in caplog.text
    assert "huge" not in memory
    assert memory.stats()["l1"]["evictions"]["spill_failed"] == 1
    assert memory["small"] == 1
    memory.check()


def test_large_values_share_the_budgets(opened: Callable[..., TieredMemorySystem]) -> None:
    """Value files too: the oldest leave, counted, and no budget is exceeded."""
    memory = opened(1, l3_size_mb=16)
    sizes = [0.3, 0.4, 5, 0.3, 8, 2, 2, 2, 6, 0.3] * 3
    for i, size in enumerate(sizes):
        memory[i] = os.urandom(int(size * MIB))
        stats = memory.stats()
        for tier, path in (("l2", memory.l2_path), ("l3", memory.l3_path)):
            real = sum(entry.stat().st_blocks * 512 for entry in path.iterdir())
            assert real - 4096 <= stats[tier]["bytes"] <= stats[tier]["budget"]
        memory.check()
    assert stats["l3"]["evictions"]["size"] == len(sizes) - len(memory) > 0
    assert len(sizes) - 1 in memory
    for key in memory:
        assert len(memory[key]) == int(sizes[key] * MIB)
    files_there = len(list(memory.l2_path.glob("val.*"))) + len(list(memory.l3_path.glob("val.*")))
    assert files_there == len(memory)


def test_many_values_with_files_of_their_own_do_not_fill_l2_for_ever(
    opened: Callable[..., TieredMemorySystem],
) -> None:
    memory = opened(1)
    for i in range(120):
        memory[i] = os.urandom(300_000)
    assert len(memory) == 120
    assert all(len(memory[i]) == 300_000 for i in range(0, 120, 7))
    memory.check()


def test_a_value_too_large_for_the_archive_is_evicted_not_demoted(
    opened: Callable[..., TieredMemorySystem],
) -> None:
    memory = opened(1, l2_size_mb=64, l3_size_mb=16)
    memory["large"] = os.urandom(20 * MIB)
    for i in range(600):
        memory[i] = os.urandom(200_000)
    assert "large" not in memory
    assert memory.stats()["l2"]["evictions"] == {"size": 1}
    assert 599 in memory
    memory.check()


def test_reopening_with_smaller_budgets_makes_room_at_once(
    opened: Callable[..., TieredMemorySystem],
) -> None:
    memory = opened(1, l2_size_mb=64, l3_size_mb=64)
    for i in range(300):
        memory[i] = os.urandom(250_000)
    memory = opened(1, l2_size_mb=32, l3_size_mb=32)
    stats = memory.stats()
    assert stats["l2"]["bytes"] <= 32 * MIB
    assert stats["l3"]["bytes"] <= 32 * MIB
    assert 299 in memory
    memory.check()


# -- a full disk


@pytest.mark.parametrize("size", [1000, 300_000])
@pytest.mark.parametrize("durability", ["process", "cache"])
def test_a_full_disk_changes_nothing(
    opened: Callable[..., TieredMemorySystem],
    monkeypatch: pytest.MonkeyPatch,
    durability: Durability,
    size: int,
) -> None:
    memory = opened(1, durability=durability)
    for i in range(20):
        memory[i] = os.urandom(100_000)
    memory.flush()

    def refuse(*_: object) -> Never:
        raise OSError(errno.ENOSPC, "No space left on device")

    refused = 0
    with monkeypatch.context() as patch:
        patch.setattr(files, "fallocate", refuse)
        patch.setattr(files, "_write_all", refuse)
        for i in range(3000):
            before = contents(memory) if i % 500 == 0 else None
            try:
                memory[0] = os.urandom(size)
            except OSError:
                refused += 1
                if before:
                    assert contents(memory) == before
            memory.check()
            if i > 20 and size > 1000:
                break
    assert (refused > 0) is (durability == "process")  # one key fits L1, which "cache" fills
    memory[0] = "room again"
    assert opened(1)[0] == "room again"
