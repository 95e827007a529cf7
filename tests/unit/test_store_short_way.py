"""The compiled verbs of a store are those of the layers below, whatever record they meet."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import KeyTypeError, SegmentStore, SerializationError, ValueTooLargeError
from fastmem._core.keys import encode_key
from fastmem._core.verbs import StoreVerbs
from tests.crash.directories import engine_of, open_segments

KEYS: list[Any] = [
    "", "k", "k" * 239, "k" * 240, "k" * 241, "k" * 65_535, "\u00e9", "\ud800", b"", b"k" * 239,
    b"k" * 240, 0, -1, 127, 128, -128, -129, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**5000,
    (), ("k", 1), ((b"",),),
]  # fmt: skip


def test_keys_are_their_encodings(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        log = engine_of(store).log
        for number, key in enumerate(KEYS):
            store[key] = number
            assert log.seek(encode_key(key)) != 0
            assert log.get(encode_key(key)).key == encode_key(key)
        assert len(store) == len(KEYS)
        for number, key in enumerate(KEYS):
            assert (store[key], store.get(key), key in store) == (number, number, True)
        for key in KEYS:
            del store[key]
            assert key not in store
            with pytest.raises(KeyError):
                del store[key]


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("key", [1.0, True, None, Text("k"), ("k", 1.0), [1], bytearray(b"k")])
def test_keys_of_other_types_are_refused_everywhere(private_tmp: Path, key: Any) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda s: s.get(key), lambda s: s[key], lambda s: key in s, lambda s: s.put(key, 1),
        lambda s: s.__setitem__(key, 1), lambda s: s.delete(key), lambda s: s.__delitem__(key),
    ]  # fmt: skip
    with open_segments(private_tmp) as store:
        for call in calls:
            with pytest.raises(KeyTypeError):
                call(store)
        with pytest.raises(ValueTooLargeError):
            store.get("k" * 65_536)


def test_times_of_a_record(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        log = engine_of(store).log
        before = time.time_ns() // 1_000_000
        store.put("k", 1, ttl_seconds=10)
        store.put("never", 1, ttl_seconds=float("inf"))
        store.put("late", 1, ttl_seconds=9_000_000_000)
        after = time.time_ns() // 1_000_000
        record = log.get(encode_key("k"))
        assert before <= record.written_ms <= after
        assert 9.9e9 < record.deadline_ns - before * 1e6 < 10.1e9
        assert log.get(encode_key("never")).deadline_ns == 0
        assert log.get(encode_key("late")).deadline_ns == 2**63 - 1
        assert store.get("late") == 1


def test_a_read_leaves_no_reference_and_no_shared_value(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store["list"], store["bytes"] = [1], b"x" * 1000
        store["list"].append(2)
        assert store["list"] == [1]
        value, default = store["bytes"], object()
        assert sys.getrefcount(value) == 2
        assert store.get("absent", default) is default
        assert sys.getrefcount(default) == 2
        assert store.get(key="bytes", default=1) == value
        assert not any(gc.is_tracked(found) for found in (value,))


def test_hits_and_misses(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", 1)
        store.get("k"), store["k"], store.get("x")
        with pytest.raises(KeyError):
            store["x"]
        assert "x" not in store
        assert store.peek("k") == 1
        stats = store.stats()
        assert (stats["hits"], stats["misses"]) == (2, 2)


def test_a_body_that_is_no_value_is_told_with_its_key(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        engine = engine_of(store)
        for codec, body in ((2, b"\xff"), (3, b"\xc1"), (99, b"")):
            engine.put(encode_key(codec), codec, body, 0)
            with pytest.raises(SerializationError) as raised:
                store.get(codec)
            assert raised.value.key == codec
            with pytest.raises(SerializationError):
                store.get_many([codec])
        stats = store.stats()
        assert (stats["errors"]["undecodable"], stats["hits"], stats["misses"]) == (6, 0, 0)


@pytest.mark.parametrize("at", [8, 60])
def test_damage_is_a_miss_counted_once(private_tmp: Path, at: int) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", b"x" * 100)
        path, offset = engine_of(store).contents.place(engine_of(store).log.seek(encode_key("k")))
        with path.open("r+b") as file:
            file.seek(offset + at)
            file.write(b"\xff\xfe\xff")
        for _ in range(3):
            assert store.get("k", "miss") == "miss"
        stats = store.stats()
        assert (stats["errors"]["corrupt"], stats["hits"], stats["misses"]) == (1, 0, 3)
        store.put("k", b"again")
        assert store.get("k") == b"again"


def test_a_sizer_hook_that_comes_back_finds_a_whole_store(private_tmp: Path) -> None:
    class Nested:
        def __sizeof__(self) -> int:
            store.put("inner", 1)
            return 16

        def __reduce__(self) -> Any:
            store.delete("inner")
            store.put("k", "from inside")
            return (dict, ())

    with open_segments(private_tmp) as store:
        store.put("k", Nested())
        assert store.get("k") == {}
        assert list(store) == ["k"]
        store.check()


def test_a_subclass_may_change_a_verb(private_tmp: Path) -> None:
    class Upper(SegmentStore):
        def get(self, key: Any, default: Any = None, *, resident_only: bool = False) -> Any:
            return super().get(key.upper(), default, resident_only=resident_only)

    with Upper(private_tmp, budget_bytes=16 << 20) as store:
        store.put("K", 1)
        assert store.get("k") == 1
        assert store.setdefault("K", 2) == 1
        match store:
            case {"K": found}:
                assert found == 1
            case _:
                pytest.fail("a store is a mapping")


def test_one_that_was_not_opened_says_so() -> None:
    empty = StoreVerbs()
    calls: list[Callable[[], object]]
    calls = [lambda: "k" in empty, lambda: empty.get("k"), lambda: empty.put("k", 1)]
    calls.append(lambda: empty.delete("k"))
    for call in calls:
        with pytest.raises((RuntimeError, AttributeError)):
            call()
