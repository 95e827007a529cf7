"""setdefault of the stores is one conditional step: one thread puts, and all return what it put."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmem import SerializationError
from tests.crash.directories import engine_of, open_archive, open_segments
from tests.crowd import together

KEYS = range(400)
LARGE = 300_000
OPENERS = pytest.mark.parametrize("opener", [open_segments, open_archive])


class Meddling:
    """A serializer that does something else first: between the look of a call and its change."""

    def __init__(self) -> None:
        self.first: Callable[[], object] | None = None

    def dumps(self, value: object) -> bytes:
        first, self.first = self.first, None
        if first is not None:
            first()
        return pickle.dumps(value)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)  # noqa: S301 - what this test wrote


@pytest.mark.usefixtures("eager_switches")
@OPENERS
def test_one_of_the_threads_puts_and_all_return_its_value(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        told: list[list[int]] = [[], [], []]

        def ask(me: int) -> None:
            told[me].extend(store.setdefault(key, me) for key in KEYS)

        assert not together([partial(ask, me) for me in range(3)])
        assert told[0] == told[1] == told[2] == [store.get(key) for key in KEYS]
        store.check()


@pytest.mark.usefixtures("eager_switches")
@OPENERS
def test_pop_and_setdefault_hand_every_value_on(private_tmp: Path, opener: Any) -> None:
    """A value that setdefault says it put is popped once; none is overwritten."""
    with opener(private_tmp) as store:
        put: list[list[int]] = [[], []]
        popped: list[int] = []

        def ask(me: int) -> None:
            for number in range(1_000):
                mine = 2 * number + me
                if store.setdefault("k", mine) == mine:
                    put[me].append(mine)

        def pop() -> None:
            while len(done) < 2:
                value = store.pop("k", None)
                if value is not None:
                    popped.append(value)

        done: list[int] = []

        def ask_and_tell(me: int) -> None:
            try:
                ask(me)
            finally:
                done.append(me)

        assert not together([partial(ask_and_tell, 0), partial(ask_and_tell, 1), pop])
        rest = store.pop("k", None)
        assert sorted([*popped, *([] if rest is None else [rest])]) == sorted(put[0] + put[1])


@OPENERS
@pytest.mark.parametrize("size", [10, LARGE])
def test_a_value_put_in_between_stays(private_tmp: Path, opener: Any, size: int) -> None:
    serializer = Meddling()
    with opener(private_tmp, serializer=serializer) as store:
        for older in (None, "deleted"):
            if older is not None:
                store.put("k", older)
                store.delete("k")
            other = [older, os.urandom(size)]
            serializer.first = partial(store.put, "k", other)
            assert store.setdefault("k", os.urandom(size)) == other
            assert store.get("k") == other
            store.delete("k")
        store.put("settles", 1)
        store.check()
        assert store.stats()["value_files"] == 0


@OPENERS
def test_a_value_deleted_in_between_is_no_obstacle(private_tmp: Path, opener: Any) -> None:
    serializer = Meddling()
    with opener(private_tmp, serializer=serializer) as store:

        def puts_and_deletes() -> None:
            store.put("k", "other")
            assert store.delete("k")

        serializer.first = puts_and_deletes
        assert store.setdefault("k", "mine") == "mine"
        assert store.get("k") == "mine"


def expire(store: Any, key: str) -> None:
    """Let a key's deadline pass for the log, whose clock is put forward for good."""
    engine_of(store).log.wall_offset_ns += 3_600_000_000_000
    assert key not in store


@OPENERS
@pytest.mark.parametrize("size", [10, LARGE])
def test_an_expired_value_is_none(private_tmp: Path, opener: Any, size: int) -> None:
    with opener(private_tmp) as store:
        store.put("k", os.urandom(size), 1)
        expire(store, "k")
        assert len(store) == 1  # it still counts as an entry
        new = os.urandom(size)
        assert store.setdefault("k", new) == new
        assert store.get("k") == new
        store.check()
        assert len(store) == 1
        assert store.stats()["value_files"] == (size == LARGE)


@OPENERS
def test_a_lost_value_is_replaced(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put("k", os.urandom(LARGE))
        files = list(private_tmp.glob("l*/val.*"))
        assert files
        for file in files:
            file.write_bytes(b"")
        assert store.get("k") is None
        assert store.setdefault("k", "new") == "new"
        assert store.get("k") == "new"


@OPENERS
def test_what_it_put_is_the_newest_after_a_rebuild(private_tmp: Path, opener: Any) -> None:
    """Each kind of absence gives the new record a version above all that went before."""
    with opener(private_tmp) as store:
        for key in ("never", "deleted", "expired", "popped"):
            if key != "never":
                store.put(key, "older")
                store.put(key, "old", 1 if key == "expired" else None)
        store.delete("deleted")
        store.pop("popped")
        expire(store, "expired")
        for key in ("never", "deleted", "expired", "popped"):
            assert store.setdefault(key, "new") == "new"
        store.put("last", "new")
        versions = [record.version for record in store._records()]
        assert len(set(versions)) == len(versions)
    for index in private_tmp.glob("*/index"):
        index.unlink()
    with opener(private_tmp) as store:
        assert dict(store) == dict.fromkeys(
            ("never", "deleted", "expired", "popped", "last"), "new"
        )
        store.check()


def test_counts_and_refusals_are_those_of_get_and_put(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        assert store.setdefault("k") is None
        assert store.setdefault("k", 5) is None
        assert (store.stats()["hits"], store.stats()["misses"]) == (1, 1)
        with pytest.raises(SerializationError):
            store.setdefault("other", lambda: None)
        assert "other" not in store
