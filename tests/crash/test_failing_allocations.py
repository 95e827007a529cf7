"""An operation that lacks memory is done or not done; one that is done does not raise."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem
from tests.crash.allocations import Outcome, failing, making_functions_can_fail
from tests.crash.directories import BUDGET, engine_of, open_archive, open_segments, open_tiers
from tests.crash.test_interrupts import free, newest, values, verify_files
from tests.places import places

LARGE = 300_000
BODY = 150_000
pytestmark = pytest.mark.skipif(
    not making_functions_can_fail(),
    reason="this CPython frees code that is in use when it cannot make a function",
)
Operation = Callable[[Any, Iterator[bytes]], tuple[Callable[[], Any], Any]]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """No handler makes lines of what is logged: pytest's own would lack memory too."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def synced(at: Path) -> SegmentStore:
    return open_segments(at, durability="disk")


def bounded_archive(at: Path) -> Archive:
    return open_archive(at, budget_bytes=BUDGET)


def bounded_tiers(at: Path) -> TieredMemorySystem:
    return open_tiers(at, l3_size_mb=16)


def write_back(at: Path) -> TieredMemorySystem:
    return open_tiers(at, durability="cache")


def puts(store: Any, fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    value = next(fresh)
    return lambda: store.put("k", value), value


def sets_default(store: Any, fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    store.delete("k")
    value = next(fresh)
    return lambda: store.setdefault("k", value), value


def puts_text(store: Any, fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    value = next(fresh).decode("latin-1")  # not a dict: msgspec's encoder crashes without memory
    return lambda: store.put("k", value), value


def deletes(store: Any, _fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    return lambda: store.delete("k"), None


def pops(store: Any, _fresh: Iterator[bytes]) -> tuple[Callable[[], Any], Any]:
    return lambda: store.pop("k"), None


def try_at(nth: int, store: Any, operation: Operation, fresh: Iterator[bytes]) -> Outcome:
    """Do it, without the `nth` allocation, and verify that it was whole."""
    store.put("k", next(fresh))
    step, new = operation(store, fresh)
    old, before = store.get("k"), newest(store)
    outcome = failing(nth, step)
    done = newest(store) != before
    assert done == (outcome.error is None), (nth, "it raised and was done, or the other way round")
    assert store.get("k") == (new if done else old), nth
    assert free(engine_of(store).lock), nth
    store.check()
    store.put("settles", nth)
    verify_files(store, f"allocation {nth}")
    store.check()
    return outcome


def takes_no_memory(opener: Any, operation: Any, size: int) -> bool:
    """True of what compiled code does from the caller's bytes to the log's, with no object made."""
    if opener is open_segments and operation is deletes:
        return True
    return operation is puts and size == 100 and opener in (open_segments, open_tiers)


@pytest.mark.parametrize(
    "opener", [open_segments, synced, open_archive, bounded_archive, open_tiers, write_back]
)
@pytest.mark.parametrize(
    ("operation", "size"),
    [(puts_text, 100), *product([puts, deletes, pops, sets_default], [100, LARGE])],
)
def test_one_failing_allocation(private_tmp: Path, opener: Any, operation: Any, size: int) -> None:
    fresh = values(size)
    with opener(private_tmp) as store:
        failed = 0
        for nth in places(0):
            outcome = try_at(nth, store, operation, fresh)
            if not outcome.reached:
                break
            failed += outcome.error is not None
        assert failed > 0 or takes_no_memory(opener, operation, size), "no allocation failed"
        store.put("k", last := next(fresh))
    with opener(private_tmp) as store:
        assert (store.get("k"), store.get("settles")) == (last, nth)
        store.check()


@pytest.mark.parametrize("opener", [open_segments, bounded_archive, open_tiers, bounded_tiers])
@pytest.mark.parametrize("size", [BODY, LARGE])
def test_one_failing_allocation_while_room_is_made(
    private_tmp: Path, opener: Any, size: int
) -> None:
    """Eviction and demotion come after the commit: they fail no put, and lose nothing unseen."""
    draw = random.Random(size)
    fresh = values(size)
    reached = 0
    with opener(private_tmp) as store:
        for number in range(130):
            store.put(("fill", number), draw.randbytes(BODY))
        for nth in range(0, 480, 3):
            for _ in range(draw.randrange(3)):
                store.put(("fill", draw.randrange(130)), draw.randbytes(BODY))
            reached += try_at(nth, store, puts, fresh).reached
        assert reached > 20
        held = set(store)
        if opener is open_tiers:
            assert held == {"k", "settles", *(("fill", number) for number in range(130))}
        assert all(store.get(key) is not None for key in held)
        store.check()


VERBS: dict[str, Callable[[Any], object]] = {
    "incr": lambda memory: memory.incr("k", 10**6),
    "incr of none": lambda memory: memory.incr("new", 10**6, initial=10**6),
    "add": lambda memory: memory.add("new", 10**6),
    "compare_and_set": lambda memory: memory.compare_and_set("k", 10**6, 10**7),
    "touch": lambda memory: memory.touch("k", 3_600),
    "put with ttl": lambda memory: memory.put("k", 10**8, 3_600),
}


@pytest.mark.parametrize("opener", [open_tiers, write_back])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_of_the_memory_is_done_or_raises(private_tmp: Path, opener: Any, verb: str) -> None:
    with opener(private_tmp) as memory:
        memory.add_listener(lambda key, value, cause: None)
        failed = 0
        for nth in places(0):
            memory.delete("new")
            memory.put("k", 10**6)
            before = memory.entry("k"), memory.peek("new")
            outcome = failing(nth, partial(VERBS[verb], memory))
            done = (memory.entry("k"), memory.peek("new")) != before
            assert done == (outcome.error is None), (nth, outcome.error)
            memory.check()
            memory.put("settles", nth)
            memory.check()
            failed += outcome.error is not None
            if not outcome.reached:
                break
        assert failed > 1


def test_a_victim_is_written_or_waits_or_counts_as_lost(private_tmp: Path) -> None:
    """Write-back: the put that evicts is done, whatever the victim lacks."""
    fresh = values(BODY)
    with write_back(private_tmp) as memory:
        kept = {("before", number): next(fresh) for number in range(7)}
        for key, value in kept.items():
            memory.put(key, value, 3_600)  # a deadline in limbo takes memory too
        lost = waited = 0
        for nth in places(0):
            key, value = ("dirty", nth), next(fresh)
            outcome = failing(nth, partial(memory.put, key, value, 3_600))
            assert (key in memory) == (outcome.error is None), nth
            if outcome.error is None:
                kept[key] = value
            memory.check()
            waited += len(memory._limbo)
            gone = [key for key in kept if key not in memory]
            lost += len(gone)
            assert memory.stats()["l1"]["evictions"].get("spill_failed", 0) == lost, nth
            for key in gone:
                del kept[key]
            if not outcome.reached:
                break
        assert nth > 15
        assert 0 < lost < 6
        assert waited > 5
        memory.flush()
        assert not memory._limbo
        assert {key: memory.peek(key) for key in kept} == kept
