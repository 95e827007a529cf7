"""`get_view`: the bytes of a value where they lie."""

from __future__ import annotations

import array
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastmem import SegmentStore
from fastmem._core.drafts import Draft
from fastmem._core.keys import encode_key
from fastmem.errors import ClosedError, KeyTypeError, SerializationError
from tests.crash.directories import engine_of, forget_key, open_segments, patch
from tests.viewed import mapped_file

ABSENT = object()
SMALL, LARGE = 5_000, 300_000
FORTRAN = np.asfortranarray(np.arange(6_000, dtype="<i4").reshape(60, 100))

BYTES_LIKE: dict[str, tuple[Any, bytes]] = {
    "bytes": (b"abc" * 2_000, b"abc" * 2_000),
    "no bytes": (b"", b""),
    "few bytes": (b"x", b"x"),
    "bytearray": (bytearray(b"abc" * 2_000), b"abc" * 2_000),
    "short bytearray": (bytearray(b"abc"), b"abc"),
    "no bytearray": (bytearray(), b""),
    "middling bytearray": (bytearray(200), bytes(200)),
    "array.array": (array.array("d", [1.5, 2.5]), array.array("d", [1.5, 2.5]).tobytes()),
    "empty array.array": (array.array("i"), b""),
    "numpy": (np.arange(3_000.0), np.arange(3_000.0).tobytes()),
    "numpy, Fortran": (FORTRAN, FORTRAN.tobytes("A")),
    "numpy, no elements": (np.zeros((0, 3)), b""),
    "numpy, no dimensions": (np.array(7, ">i8"), (7).to_bytes(8, "big")),
}
OTHERS: dict[str, Any] = {
    "str": "abc" * 2_000,
    "number": 7,
    "None": None,
    "list": [b"abc"],
    "one bytearray in a list": [bytearray(b"abc")],
    "dict": {"a": b"abc"},
    "two bytearrays": (bytearray(b"a"), bytearray(b"b")),
    "objects": np.array([None, 1], object),
    "object": range(3),
}


@pytest.mark.parametrize("size", [0, LARGE], ids=["as it is", "with a file of its own"])
@pytest.mark.parametrize("kind", BYTES_LIKE)
def test_bytes_like_values_are_seen_where_they_lie(private_tmp: Path, kind: str, size: int) -> None:
    value, expected = BYTES_LIKE[kind]
    if size and expected:
        repeats = -(-size // len(expected))
        value = np.tile(value, repeats) if isinstance(value, np.ndarray) else value * repeats
        expected = value.tobytes("A") if isinstance(value, np.ndarray) else expected * repeats
    with open_segments(private_tmp) as store:
        store.put("k", value)
        for _ in range(3):  # verified, then not any more, then by a header that was met
            view = store.get_view("k")
            assert type(view) is memoryview
            assert (view.readonly, view.format, view.ndim) == (True, "B", 1)
            assert bytes(view) == expected
            if expected:
                assert mapped_file(view).startswith("val." if size else "seg.")
                with pytest.raises(TypeError, match="read-only"):
                    view[0] = 0


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_value_is_refused_by_name(private_tmp: Path, kind: str) -> None:
    with open_segments(private_tmp) as store:
        store.put(("a", "key"), OTHERS[kind])
        with pytest.raises(SerializationError, match="no bytes to view") as refused:
            store.get_view(("a", "key"))
        assert isinstance(refused.value, TypeError)
        assert refused.value.key == ("a", "key")
        assert store.stats()["errors"]["undecodable"] == 0


def test_what_a_serializer_made_is_refused(private_tmp: Path) -> None:
    class Reversing:
        def dumps(self, value: Any) -> bytes:
            return bytes(reversed(value))

        def loads(self, body: bytes) -> Any:
            return bytes(reversed(body))

    with open_segments(private_tmp, serializer=Reversing()) as store:
        store.put("k", b"abc")
        with pytest.raises(SerializationError, match="a serializer"):
            store.get_view("k")


def test_what_is_not_there_is_the_default(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        assert store.get_view("k") is None
        assert store.get_view("k", ABSENT) is ABSENT
        store.put("k", b"value")
        assert bytes(store.get_view("k", ABSENT)) == b"value"
        store.delete("k")
        assert store.get_view("k") is None
        with pytest.raises(KeyTypeError):
            store.get_view(1.5)  # type: ignore[arg-type]
        assert (store.stats()["hits"], store.stats()["misses"]) == (1, 3)
    with pytest.raises(ClosedError):
        store.get_view("k")


@pytest.mark.parametrize("size", [100, SMALL, LARGE])
def test_a_view_counts_as_a_read(private_tmp: Path, size: int) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", bytes(size))
        log = engine_of(store).log
        encoded = next(iter(store._records())).key
        for _ in range(2):
            assert not log.was_touched(encoded)
            store.get_view("k")
            assert log.was_touched(encoded)


@pytest.mark.parametrize("size", [100, SMALL, LARGE])
@pytest.mark.parametrize("read", [SegmentStore.get_view, SegmentStore.get], ids=["view", "array"])
def test_a_damaged_body_is_a_counted_miss(
    private_tmp: Path, size: int, read: Callable[..., Any]
) -> None:
    value = np.frombuffer(os.urandom(size), np.uint8)
    with open_segments(private_tmp) as store:
        store.put("k", value)
        (path,) = (private_tmp / "l2").glob("val.*" if size == LARGE else "seg.0")
        at = path.read_bytes().find(value.tobytes()[:64])
        patch(path, at + size - 1, bytes([value[-1] ^ 1]))
        assert read(store, "k", ABSENT) is ABSENT
        assert read(store, "k") is None
        stats = store.stats()
        assert (stats["hits"], stats["misses"], stats["errors"]["corrupt"]) == (0, 2, 1)


@pytest.mark.parametrize("cut", [0, 100, LARGE // 2])
def test_a_value_file_that_was_cut_is_a_counted_miss(private_tmp: Path, cut: int) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", bytes(LARGE))
        (path,) = (private_tmp / "l2").glob("val.*")
        os.truncate(path, cut)
        assert store.get_view("k") is None
        assert store.stats()["errors"]["corrupt"] == 1


def test_a_value_file_that_is_gone_is_a_counted_miss(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", bytes(LARGE))
        (path,) = (private_tmp / "l2").glob("val.*")
        path.unlink()
        assert store.get_view("k") is None
        assert store.stats()["errors"]["corrupt"] == 1


@pytest.mark.parametrize(("size", "looks"), [(4_000, 2), (SMALL, 1), (LARGE, 1)])
def test_a_body_is_verified_once_unless_it_is_small(
    private_tmp: Path, size: int, looks: int
) -> None:
    """Damage that comes after the first look shows how often there was one."""
    with open_segments(private_tmp) as store:
        store.put("k", b"value" * (size // 5))
        assert store.get_view("k") is not None
        (path,) = (private_tmp / "l2").glob("val.*" if size == LARGE else "seg.0")
        patch(path, path.read_bytes().find(b"value"), b"V")
        assert (store.get_view("k") is None) == (looks > 1)
    with open_segments(private_tmp) as store:  # nothing is taken over
        assert store.get_view("k") is None


def test_neighbours_are_verified_each_for_itself(private_tmp: Path) -> None:
    sizes = [4_096, 4_097, 5_000, 4_096, 70_000, 4_096]
    with open_segments(private_tmp) as store:
        for number, size in enumerate(sizes):
            store.put(number, bytes([65 + number]) * size)
        for number, _ in enumerate(sizes):
            if number % 2:
                store.get_view(number)
        path = private_tmp / "l2" / "seg.0"
        for number, size in enumerate(sizes):
            patch(path, path.read_bytes().find(bytes([65 + number]) * size), b"z")
        seen = [store.get_view(number) is not None for number, _ in enumerate(sizes)]
        assert seen == [False, True] * 3


@pytest.mark.parametrize("size", [100, SMALL, LARGE])
def test_a_signed_value_is_seen_and_an_unsigned_one_is_not(private_tmp: Path, size: int) -> None:
    value = os.urandom(size)
    with open_segments(private_tmp, secret_key=b"a" * 16) as store:
        store.put("k", value)
        store.put("array", np.frombuffer(value, np.uint8))
        for _ in range(2):
            assert bytes(store.get_view("k")) == value
            assert store.get("array").tobytes() == value
    forget_key(private_tmp)
    with open_segments(private_tmp, secret_key=b"b" * 16) as store:
        for _ in range(2):
            assert store.get_view("k") is None
            assert store.get("array") is None
        assert store.stats()["errors"]["corrupt"] == 2


def test_whoever_forges_a_record_of_another_file_is_not_believed(private_tmp: Path) -> None:
    """The file is mapped and verified, but not for this record."""
    value = os.urandom(LARGE)
    with open_segments(private_tmp, secret_key=b"a" * 16) as store:
        store.put("k", value)
        assert bytes(store.get_view("k")) == value
        log = engine_of(store).log
        (record,) = store._records()
        sound = log.get(record.key)
        forged = Draft(sound.body, sound.codec, 0, sound.written_ms, sound.kind, 0, sound.mac_key)
        assert log.put(encode_key("other"), forged)
        assert store.get_view("other") is None
        assert bytes(store.get_view("k")) == value
        log.delete(encode_key("other"))


def test_a_read_only_store_shows_views_and_writes_nothing(private_tmp: Path) -> None:
    values = {size: os.urandom(size) for size in (100, SMALL, LARGE)}
    with open_segments(private_tmp) as store:
        store.update(values)
    folder = private_tmp / "l2"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    with open_segments(private_tmp, read_only=True) as store:
        for _, (size, value) in itertools.product(range(2), values.items()):
            assert bytes(store.get_view(size)) == value
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
