"""An operation that is interrupted was done, or was not: never by half, at no place at all."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem._core.keys import encode_key
from tests.crash.directories import BUDGET, engine_of, linked_bytes, open_archive, open_tiers
from tests.crash.interrupts import interrupted
from tests.places import places

# An interrupt between opening a file and the `with` around it leaves it to its finalizer.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning",
)

LARGE = 300_000


def segments(at: Path) -> SegmentStore:
    return SegmentStore(at / "l2", budget_bytes=BUDGET)


def synced(at: Path) -> SegmentStore:
    return SegmentStore(at / "l2", budget_bytes=BUDGET, durability="disk")


def bounded_archive(at: Path) -> Archive:
    return Archive(at / "l3", budget_bytes=BUDGET)


def write_back(at: Path) -> TieredMemorySystem:
    return open_tiers(at, durability="cache")


OPENERS = [segments, synced, open_archive, bounded_archive, open_tiers, write_back]


def values(size: int) -> Iterator[bytes]:
    draw = random.Random(size)
    while True:
        yield draw.randbytes(size)


def puts(store: Any, fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    value = next(fresh)
    return lambda: store.put("k", value), value


def deletes(store: Any, fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    store.put("k", next(fresh))
    return lambda: store.delete("k"), None


def pops(store: Any, fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    store.put("k", next(fresh))
    return lambda: store.pop("k"), None


def in_one_step(opener: Any, operation: Any, size: int) -> bool:
    """True of what compiled code does: no interrupt comes before it is done."""
    if opener is segments and operation is deletes:
        return True
    return operation is puts and size == 100 and opener in (segments, open_tiers)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize(
    ("operation", "size"), [(puts, 100), (puts, LARGE), (deletes, LARGE), (pops, 100)]
)
def test_an_interrupted_operation_is_whole(
    private_tmp: Path, opener: Any, size: int, operation: Any
) -> None:
    """What was done when the interrupt came stays done; what was not is not done."""
    others = {("other", number): bytes([number]) * 1000 for number in range(20)}
    fresh = values(size)
    done = set()
    with opener(private_tmp) as store:
        store.update(others)
        for nth in places():
            store.put("k", old := next(fresh))
            step, new = operation(store, fresh)
            if operation is not puts:
                old = store.get("k")
            before = newest(store)
            it, returned = interrupted(nth, step, partial(newest, store))
            assert it.raised != returned, it.where
            done.add(returned or it.state != before)
            assert store.get("k") == (new if returned or it.state != before else old), it.where
            assert free(engine_of(store).lock), it.where
            store.check()
            store.put("settles", nth)
            verify_files(store, it.where)
            if not it.raised:
                break
        if in_one_step(opener, operation, size):
            assert done == {True}
        else:
            assert nth > 5
            assert done == {False, True}
        store.put("k", last := next(fresh))
        assert {key: store.get(key) for key in others} == others
    with opener(private_tmp) as store:
        assert {key: store.get(key) for key in others} == others
        assert store.get("k") == last
        assert set(store) == {"k", "settles", *others}
        store.check()


def newest(store: Any) -> object:
    """What tells one version of the key from the next, without a step of Python in fastmem."""
    if isinstance(store, TieredMemorySystem):
        held = store._held("k")
        if held is not None:
            return held[0]
        if "k" in store._limbo:
            return store._limbo["k"]
    return engine_of(store).log.seek(encode_key("k"))


def free(lock: Any) -> bool:
    """True when another thread can have the lock."""
    got: list[bool] = []

    def take() -> None:
        got.append(lock.acquire(False))
        if got[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return got[0]


def verify_files(store: Any, where: str) -> None:
    """No value file without a record, none under way, and none forgotten by the count."""
    engine = engine_of(store)
    for held in (engine.files.warm_values, engine.files.cold_values):
        if held is None:
            continue
        assert held.pending == {}, where
        assert held.check() == [], where
        if not held.doomed:
            assert [n for n in held.numbers() if engine.files.is_orphan(held, n)] == [], where


def test_an_interrupt_leaves_the_owner_of_an_archive_readable(private_tmp: Path) -> None:
    """Else the next opening would rebuild, and look for the head of the log elsewhere."""
    with open_tiers(private_tmp) as memory:
        files = engine_of(memory).files
        for place in range(1, 60):
            files.archive.own(files.super.uuid, place, files.super.uuid)
            it, _returned = interrupted(place, files.own_archive)
            assert files.archive.owner()[0] == files.super.uuid, it.where
        assert not it.raised


@pytest.mark.parametrize("opener", [segments, bounded_archive, open_tiers])
def test_interrupts_while_room_is_made(private_tmp: Path, opener: Any) -> None:
    """Puts that evict or demote: what is gone was evicted, and the budget holds after the next."""
    draw = random.Random(7)
    with opener(private_tmp) as store:
        model: dict[Any, bytes] = {}
        for number in range(60):
            model["first", number] = draw.randbytes(LARGE if number % 2 else 60_000)
            store.put(("first", number), model["first", number])
        reached = 0
        for number in range(400):
            key = ("then", number % 40)
            value = draw.randbytes(LARGE if number % 3 else 90_000)
            it, returned = interrupted(draw.randrange(1, 150), partial(store.put, key, value))
            reached += it.raised
            if returned or store.get(key) == value:
                model[key] = value
            assert free(engine_of(store).lock), it.where
            if number % 5 == 0:
                store.put("settles", number)
                verify_files(store, it.where)
                store.check()
                assert (
                    linked_bytes(private_tmp / ("l3" if opener is bounded_archive else "l2"))
                    <= BUDGET
                )
        assert reached > 100
        store.put("settles", 0)
        found = {key: store.get(key) for key in model if key in store}
        assert all(found[key] == model[key] for key in found)
        if opener is open_tiers:
            assert len(found) == len(model)
        store.check()
    with opener(private_tmp) as store:
        assert {key: store.get(key) for key in model if key in store} == found
        store.check()
