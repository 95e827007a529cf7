"""What tests of memoized functions do with what is being loaded."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastmem import L1Cache
from fastmem._core.clock import boottime_ns
from fastmem._core.flights import Flight
from fastmem._core.memo import Memo

SECOND = 1_000_000_000


def expire_in(cache: L1Cache, key: object, seconds: float) -> None:
    """Gives an entry a deadline that long from now."""
    cache._set_deadline(key, boottime_ns() + int(seconds * SECOND))


def settle(memo: Memo[..., Any], key: object) -> None:
    """Waits until the flight of a key, if there is one, has come down."""
    fresh = Flight(key)
    flight = memo.enter(fresh)
    if flight is fresh:
        flight.abandon()
    else:
        flight.wait()


@contextmanager
def logged() -> Iterator[queue.Queue[logging.LogRecord]]:
    """What goes to the logger, as it comes."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.put(record)

    records: queue.Queue[logging.LogRecord] = queue.Queue()
    logger, handler = logging.getLogger("fastmem"), Handler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


class Gate:
    """A load that blocks until told."""

    def __init__(self) -> None:
        self.calls, self.entered, self.leave = 0, threading.Event(), threading.Event()

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        self.entered.set()
        assert self.leave.wait(60)
        return self.calls


def wait_for_callers(memo: Any, count: int) -> None:
    """Until so many have missed: they wait, or are about to."""
    while memo.cache_info().misses < count:
        os.sched_yield()
