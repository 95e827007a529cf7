"""A finalizer or a signal handler calls the store in the middle of a call of the same thread.

Law: whatever it calls, and wherever it comes, both calls do what they would do one after the other,
or the inner one is refused before it has changed anything.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fastmem import Archive, FastmemError, SegmentStore
from fastmem.storage import files
from fastmem.storage.files import Directory
from tests.crash.directories import BUDGET, contents, engine_of, open_archive, open_tiers
from tests.crash.interrupts import Interrupter, monitored, traced
from tests.places import places

DOOR: list[tuple[Any, str]] = [
    (Directory, name) for name in ("open", "publish", "unlink", "rename", "sync", "extend", "stat")
]
DOOR += [(files, name) for name in ("fallocate", "map_file", "_write_all")]
BODY = 180_000
LARGE = 400_000


def segments(at: Path) -> SegmentStore:
    return SegmentStore(at / "l2", budget_bytes=BUDGET)


def synced(at: Path) -> SegmentStore:
    return SegmentStore(at / "l2", budget_bytes=BUDGET, durability="disk")


def bounded_archive(at: Path) -> Archive:
    return Archive(at / "l3", budget_bytes=BUDGET)


OPENERS = [segments, synced, open_archive, bounded_archive, open_tiers]


class Nested(Interrupter):
    """Calls `act` at the nth place, once, where an Interrupter would raise."""

    def __init__(self, nth: int, act: Callable[[], object]) -> None:
        super().__init__(nth, lambda: None)
        self.act = act

    def instruction(self, frame: FrameType, offset: int) -> None:
        try:
            super().instruction(frame, offset)
        except KeyboardInterrupt:
            self.act()


def nested(nth: int, operation: Callable[[], object], act: Callable[[], object]) -> Nested:
    """Do an operation, with `act` in the middle of it, at the `nth` place."""
    it = Nested(nth, act)
    gc.disable()  # finalizers of others are no part of the operation
    try:
        with monitored(it) if sys.version_info >= (3, 12) else traced(it):
            operation()
    finally:
        gc.enable()
    return it


def puts(store: Any, who: str, count: int, size: int) -> dict[Any, bytes]:
    """Put `count` values of about `size` bytes; return what was put."""
    done = {}
    for number in range(count):
        value = os.urandom(size)
        store.put((who, number), value)
        done[who, number] = value
    return done


def verify(store: Any, expected: dict[Any, bytes], where: str) -> None:
    """Nothing lost, nothing left over, the budget kept."""
    for key, value in expected.items():
        assert store.get(key) == value, (where, key)
    assert engine_of(store).section.depth == 0, where
    store.check()


class At:
    """Calls `act` before (or after) the nth call of the door, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
        self.left, self.after = 0, after
        self.act: Callable[[], object] = lambda: None
        for holder, name in DOOR:
            monkeypatch.setattr(holder, name, self.around(getattr(holder, name)))

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def door(*args: Any, **options: Any) -> Any:
            self.left -= 1
            mine = self.left == 0
            if mine and not self.after:
                self.act()
            result = step(*args, **options)
            if mine and self.after:
                self.act()
            return result

        return door


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("count", "size"), [(1, 1000), (8, BODY), (2, LARGE)])
def test_a_put_at_each_call_of_the_door_loses_nothing(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    opener: Any,
    *,
    after: bool,
    count: int,
    size: int,
) -> None:
    """The first put of a store, which makes its first segment: `count` puts in the middle of it."""
    at = At(monkeypatch, after=after)
    for nth in places():
        place = private_tmp / str(nth)
        inner: dict[Any, bytes] = {}
        outer: dict[Any, bytes] = {}
        with opener(place) as store:

            def act(store: Any = store, inner: dict[Any, bytes] = inner) -> None:
                inner.update(puts(store, "inner", count, size))

            at.act, at.left = act, nth
            outer.update(puts(store, "outer", 1, 1000))
            came = at.left <= 0
            at.left = 0
            assert came == bool(inner)
            verify(store, {**inner, **outer}, f"call {nth}")
        with opener(place) as store:
            verify(store, {**inner, **outer}, f"call {nth}, opened again")
            assert contents(store) == {**inner, **outer}
        if not came:
            break
    assert nth > 3


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(("count", "size"), [(1, 100), (8, BODY), (1, LARGE)])
def test_a_put_at_every_place_of_a_full_store_loses_nothing(
    private_tmp: Path, opener: Any, count: int, size: int
) -> None:
    """Puts that need a segment, room in the budget and room in the index, one place after another.

    What was put last cannot have been evicted.
    """
    step = 31 if opener is synced else 11  # a sample: what a place meets differs from time to time
    with opener(private_tmp) as store:
        puts(store, "fill", 110, BODY)
        inner: dict[Any, bytes] = {}
        for nth in places(dense=1, stride=step):
            inner.clear()
            outer: dict[Any, bytes] = {}

            def operation(outer: dict[Any, bytes] = outer) -> None:
                outer.update(puts(store, "outer", 6, BODY))

            it = nested(nth, operation, lambda: inner.update(puts(store, "inner", count, size)))
            verify(store, {**inner, **outer}, it.where)
            if not it.raised:
                break
        assert nth > 5 * step
    with opener(private_tmp) as store:
        verify(store, outer, "opened again")


def test_puts_while_a_put_waits_for_the_device_keep_the_budget(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the outer put has done its chores, it has those of the inner ones to do."""
    with synced(private_tmp) as store:
        puts(store, "fill", 110, BODY)
        syncer = engine_of(store).syncer
        sync_range, waiting = syncer._sync_range, False
        inner: dict[Any, bytes] = {}

        def interrupted(*args: Any) -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                inner.update(puts(store, "inner", 8, BODY))
            sync_range(*args)

        monkeypatch.setattr(syncer, "_sync_range", interrupted)
        for number in range(20):
            waiting = False
            outer = puts(store, "outer", 1, 100)
            verify(store, {**inner, **outer}, f"put {number}")


@pytest.mark.parametrize("name", ["index", "overflow"])
def test_the_index_grows_in_the_middle_of_its_growth(private_tmp: Path, name: str) -> None:
    """What the inner growth has made room for stays there."""
    which = 1 if name == "index" else 3
    for nth in places():
        with segments(private_tmp / str(nth)) as store:
            engine = engine_of(store)

            def grow(engine: Any = engine) -> None:
                engine.files.grow(name)

            def grow_twice(grow: Callable[[], None] = grow) -> None:
                grow()
                grow()

            before = engine.log.buckets[which]
            it = nested(nth, grow, grow_twice)
            assert engine.log.buckets[which] >= before * (4 if it.raised else 2), it.where
            puts(store, "more", 1, BODY)
            store.check()
        if not it.raised:
            break
    assert nth > 5


@pytest.mark.parametrize("opener", OPENERS)
def test_a_flush_in_the_middle_of_a_flush_takes_no_promise_back(
    private_tmp: Path, opener: Any
) -> None:
    with opener(private_tmp) as store:
        page = engine_of(store).files.super
        for nth in places():
            inner: dict[Any, bytes] = {}

            def act(inner: dict[Any, bytes] = inner) -> None:
                inner.update(puts(store, "inner", 1, 100))
                store.flush()

            outer = puts(store, "outer", 1, 100)
            before = page.get("synced"), page.get("cold_synced")
            it = nested(nth, store.flush, act)
            assert (page.get("synced"), page.get("cold_synced")) >= before, it.where
            verify(store, {**inner, **outer}, it.where)
            if not it.raised:
                break
        assert nth > 10
        store.flush()
        assert engine_of(store).syncer.unsynced_bytes == 0


@pytest.mark.parametrize("verb", ["close", "check"])
def test_what_cannot_come_in_the_middle_is_refused(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    real, refused = files.map_file, []
    with SegmentStore(private_tmp / "l2", budget_bytes=BUDGET) as store:

        def mapping(fd: int, size: int, writable: bool) -> Any:
            with pytest.raises(FastmemError, match=rf"{verb}\(\) called by a finalizer") as error:
                getattr(store, verb)()
            refused.append(error)
            return real(fd, size, writable)

        monkeypatch.setattr(files, "map_file", mapping)
        store.put("k", b"v")
        assert len(refused) == 1
        assert store.get("k") == b"v"
        store.check()


def test_a_finalizer_that_puts_while_a_segment_is_made(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case that lost an acknowledged put: the collector runs while the file is opened."""
    with SegmentStore(private_tmp / "l2", budget_bytes=BUDGET) as store:

        class Cycle:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                store.put("inner", b"I" * 1000)

        real = Directory.open

        def opening(self: Directory, name: str, flags: int) -> int:
            if name.startswith("new.seg"):
                gc.collect()
            return real(self, name, flags)

        monkeypatch.setattr(Directory, "open", opening)
        gc.disable()
        try:
            Cycle()
            store.put("outer", b"O" * 1000)
        finally:
            gc.enable()
        verify(store, {"inner": b"I" * 1000, "outer": b"O" * 1000}, "made")
