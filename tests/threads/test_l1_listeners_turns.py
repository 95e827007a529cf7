"""Nobody tells for ever: who tells hands over once it has told its share."""

from __future__ import annotations

import threading
from typing import Any

from fastmem._core.l1 import L1Cache

AHEAD = 64  # events beyond its own that a call tells
LIMIT = 1_000


def test_a_thread_that_tells_is_relieved_by_the_next_that_makes_a_change() -> None:
    """The others never pause, so without relief the first put would not end before they do."""
    cache, first_is_back = L1Cache(1_000_000), threading.Event()
    calls: dict[int, int] = {}

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        ident = threading.get_ident()
        calls[ident] = calls.get(ident, 0) + 1
        if ident == threading.main_thread().ident and calls[ident] < LIMIT:
            make_change.release()  # for every event told here another one comes
            made_change.acquire()

    make_change, made_change = threading.Semaphore(0), threading.Semaphore(0)

    def changes() -> None:
        while True:
            make_change.acquire()
            if first_is_back.is_set():
                return
            cache["b"] = 1
            made_change.release()

    cache.update(a=1, b=1)
    other = threading.Thread(target=changes)
    other.start()
    cache["a"] = 2
    first_is_back.set()
    make_change.release()
    other.join()
    assert calls[threading.get_ident()] <= 1 + 2 * AHEAD
    cache._check()


def test_the_events_that_wait_behind_a_blocked_listener_hold_changes_back() -> None:
    """Not for ever: each change beyond the first 64 waits its turn for 10 ms, then goes on."""
    cache, entered, leave, told = L1Cache(1_000_000), threading.Event(), threading.Event(), []

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        told.append(value)
        entered.set()
        leave.wait()

    cache["a"] = 0
    teller = threading.Thread(target=cache.update, kwargs={"a": 1})
    teller.start()
    entered.wait()
    for value in range(2, AHEAD + 10):
        cache["a"] = value
    assert cache.stats()["untold"]["entries"] == AHEAD + 8
    assert told == [0]
    leave.set()
    teller.join()
    cache.delete("a")
    assert told == list(range(AHEAD + 10))
    assert cache.stats()["untold"] == {"entries": 0, "bytes": 0}


def test_who_waits_for_its_turn_takes_it() -> None:
    """A change that is held back goes on telling the moment that the one before may stop."""
    cache, lots = L1Cache(10_000_000), range(5 * AHEAD)
    entered, leave, tellers = threading.Event(), threading.Event(), []

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        tellers.append(threading.get_ident())
        entered.set()
        leave.wait()

    cache.update({"a": 0, **{str(i): i for i in lots}})
    teller = threading.Thread(target=cache.update, kwargs={"a": 1})
    teller.start()
    entered.wait()
    threading.Timer(0, leave.set).start()
    cache.clear()  # tells all of its own, or has been told it by the other
    teller.join()
    cache["a"] = 0
    cache.delete("a")
    assert len(tellers) == len(lots) + 3
    assert cache.stats()["untold"] == {"entries": 0, "bytes": 0}
