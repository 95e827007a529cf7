"""`get_many`, `put_many` and `delete_many` of the stores: as many single verbs, and all or nothing
until the first pair is stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem import (
    Archive,
    ClosedError,
    KeyTypeError,
    ReadOnlyError,
    SegmentStore,
    SerializationError,
    ValueTooLargeError,
)
from fastmem._core.keys import encode_key
from tests.crash.directories import engine_of, open_archive, open_segments

OPENERS = pytest.mark.parametrize("opener", [open_segments, open_archive])
LARGE = 300_000
VALUES = [
    None, True, 7, 2**70, 1.5, "text", "t\u00e9xt", "\ud800", b"raw", {"a": [1]}, (1, 2), {3}, ""
]  # fmt: skip


def pairs(count: int) -> dict[Any, Any]:
    """More than two lock holds of all kinds of keys and values, some with a file of their own."""
    made: dict[Any, Any] = {}
    for i in range(count):
        key = (f"k{i}", b"k%d" % i, i, ("t", i), "\u00e9" * 300 + str(i))[i % 5]
        made[key] = os.urandom(LARGE) if i % 70 == 69 else VALUES[i % len(VALUES)]
    return made


@OPENERS
def test_what_is_put_is_got(private_tmp: Path, opener: Any) -> None:
    wanted = pairs(300)
    with opener(private_tmp) as store:
        store.put_many(wanted)
        store.check()
        assert store.get_many([*wanted, "absent"]) == wanted
        stats = store.stats()
        assert (stats["hits"], stats["misses"]) == (300, 1)
    with opener(private_tmp) as store:
        assert store.get_many(iter(wanted)) == wanted
        assert {key: store.get(key) for key in wanted} == wanted


@OPENERS
def test_the_last_of_one_key_wins(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put("k", os.urandom(LARGE))
        store.put_many([("k", i) for i in range(200)] + [("other", 1)])
        assert (store.get("k"), len(store)) == (199, 2)
        store.check()


def test_large_values_that_are_replaced_go(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for i in range(10):
            store.put(i, os.urandom(LARGE))
        store.put_many((i, i) for i in range(10))
        assert list(private_tmp.rglob("val.*")) == []
        store.check()


@OPENERS
def test_reading_many_counts_as_reading_each(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put_many({"a": 1, "b": 2})
        log = engine_of(store).log
        for key in ("a", "b"):
            log.was_touched(encode_key(key))
        store.get_many(["a"])
        assert log.was_touched(encode_key("a"))
        assert not log.was_touched(encode_key("b"))


@OPENERS
def test_deadlines(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put_many({"short": 1}, ttl_seconds=1e-9)
        store.put_many({"long": 1}, ttl_seconds=3600)
        while "short" in store:
            pass
        assert store.get_many(["short", "long"]) == {"long": 1}
        for wrong in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="ttl_seconds"):
                store.put_many({"never": 1}, ttl_seconds=wrong)


def interrupted() -> Iterator[tuple[str, int]]:
    yield "a", 1
    raise ZeroDivisionError


@OPENERS
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ([("a", 1), (1.5, 2)], KeyTypeError),
        ([("a", 1), ("b", lambda: 0)], SerializationError),
        ([("a", 1), ("b", bytes(10 << 20))], ValueTooLargeError),
    ],
    ids=["key", "value", "size"],
)
def test_what_is_refused_changes_nothing_and_is_named(
    private_tmp: Path, opener: Any, bad: Any, error: type[Exception]
) -> None:
    keywords = {} if opener is open_segments else {"budget_bytes": 16 << 20}
    with opener(private_tmp, **keywords) as store:
        with pytest.raises(error) as raised:
            store.put_many(bad)
        assert len(store) == 0
        assert any(
            note.startswith(f"put_many: pair 2, of the key {bad[1][0]!r}")
            for note in raised.value.__notes__
        )
        with pytest.raises(ZeroDivisionError):
            store.put_many(interrupted())
        assert len(store) == 0


def test_an_early_end_tells_how_many(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "no space")

    with open_segments(private_tmp) as store:
        values = engine_of(store).files.warm_values
        assert values is not None
        with monkeypatch.context() as patch:
            patch.setattr(type(values), "write", refuse)
            with pytest.raises(OSError, match="no space") as raised:
                store.put_many([(i, i) for i in range(70)] + [("large", bytes(LARGE)), ("z", 1)])
        assert raised.value.__notes__ == ["put_many stored 70 of 72 pairs"]
        assert set(store) == set(range(70))
        store.check()


@OPENERS
def test_one_key_is_no_iterable_of_keys(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        for verb in (store.get_many, store.delete_many):
            for one in ("key", b"key"):
                with pytest.raises(TypeError, match="iterable of keys"):
                    verb(one)
            with pytest.raises(KeyTypeError):
                verb(["a", None])


@OPENERS
def test_delete_many(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put_many({i: i for i in range(100)})
        assert store.delete_many([*range(90), *range(90), "absent"]) == 90
        assert sorted(store) == list(range(90, 100))
        with pytest.raises(KeyTypeError):
            store.delete_many([99, 1.0])
        assert 99 in store


def test_damage_is_a_miss_and_counted(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put_many(dict.fromkeys(range(10), b"x" * 100))
        path, offset = engine_of(store).contents.place(engine_of(store).log.seek(encode_key(3)))
        with path.open("r+b") as file:
            file.seek(offset + 100)
            file.write(b"yyyy")
        assert set(store.get_many(range(10))) == set(range(10)) - {3}
        assert store.stats()["errors"]["corrupt"] == 1


def test_closed_and_read_only(private_tmp: Path) -> None:
    store = SegmentStore(private_tmp, budget_bytes=16 << 20)
    store.put_many({"a": 1})
    store.close()
    for call in (
        lambda: store.get_many(["a"]), lambda: store.put_many({"a": 2}),
        lambda: store.delete_many(["a"]), lambda: store.get("a"), lambda: store.put("a", 1),
        lambda: store.delete("a"), lambda: "a" in store, lambda: store["a"],
    ):  # fmt: skip
        with pytest.raises(ClosedError):
            call()
    with SegmentStore(private_tmp, budget_bytes=16 << 20, read_only=True) as store:
        assert store.get_many(["a"]) == {"a": 1}
        for change in (lambda: store.put_many({"a": 2}), lambda: store.delete_many(["a"])):
            with pytest.raises(ReadOnlyError):
                change()


def test_every_way_of_opening(tmp_path: Path) -> None:
    """Signed, waiting for the device, with a serializer: the long way, with the same outcome."""
    import pickle

    class Pickles:
        dumps, loads = staticmethod(pickle.dumps), staticmethod(pickle.loads)

    ways: list[dict[str, Any]] = [
        {"secret_key": bytes(32)}, {"durability": "disk"}, {"serializer": Pickles()},
    ]  # fmt: skip
    for number, way in enumerate(ways):
        kinds: list[tuple[Any, dict[str, Any]]] = [
            (SegmentStore, {"budget_bytes": 16 << 20}), (Archive, {}),
        ]  # fmt: skip
        for kind, keywords in kinds:
            at = tmp_path / f"{kind.__name__}{number}"
            at.mkdir(0o700)
            with kind(at, **way, **keywords) as store:
                wanted = pairs(100)
                store.put_many(wanted)
                store.put("k0", "newer")
                assert store.get_many(wanted) == {**wanted, "k0": "newer"}
                assert store.delete_many(["k0"]) == 1
                store.check()
