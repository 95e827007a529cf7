"""Stale results serve while one caller has them refreshed in the background."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from fastmem._core.clock import boottime_ns
from fastmem._core.flights import Flight
from fastmem._core.memo import Memo
from tests.memoizing import SECOND, expire_in, logged, settle


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


class Slow:
    """A load that waits in the background until told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.entered, self.leave = threading.Event(), threading.Event()

    def __call__(self, x: Any) -> Any:
        self.calls.append(x)
        if len(self.calls) > 1:
            self.entered.set()
            assert self.leave.wait(60)
        return len(self.calls)


def test_a_stale_result_serves_while_one_refreshes(cache: L1Cache) -> None:
    load = Slow()
    memo = memoize(cache, ttl=100, stale_ttl=100)(load)
    assert memo(1) == 1
    key = memo.cache_key(1)
    assert 199 * SECOND < cache._deadline(key) - boottime_ns() < 201 * SECOND
    expire_in(cache, key, 150)
    assert memo(1) == 1
    assert load.calls == [1]
    expire_in(cache, key, 50)
    for _ in range(100):
        assert memo(1) == 1
    assert load.entered.wait(60)
    assert load.calls == [1, 1]
    load.leave.set()
    settle(memo, key)
    assert memo(1) == 2
    assert load.calls == [1, 1]
    assert cache._deadline(key) - boottime_ns() > 190 * SECOND


def test_a_refresh_that_fails_is_logged_and_the_stale_result_serves_on(cache: L1Cache) -> None:
    calls: list[Any] = []

    @memoize(cache, ttl=100, stale_ttl=100)
    def memo(x: Any) -> Any:
        calls.append(x)
        if len(calls) == 2:
            raise ValueError("backend is down")
        return len(calls)

    assert memo(1) == 1
    key = memo.cache_key(1)
    expire_in(cache, key, 50)
    with logged() as records:
        assert memo(1) == 1
        record = records.get(timeout=60)
    assert "could not refresh" in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "backend is down"
    assert memo(1) == 1
    settle(memo, key)
    assert memo(1) == 3


def test_beyond_staleness_the_caller_loads(cache: L1Cache) -> None:
    calls: list[Any] = []

    @memoize(cache, ttl=100, stale_ttl=100)
    def memo() -> Any:
        calls.append(1)
        return len(calls)

    assert memo() == 1
    cache._set_deadline(memo.cache_key(), 1)
    assert memo() == 2


def test_a_refresh_does_not_bring_back_what_was_removed(cache: L1Cache) -> None:
    load = Slow()
    memo = memoize(cache, ttl=100, stale_ttl=100)(load)
    memo(1)
    expire_in(cache, memo.cache_key(1), 50)
    memo(1)
    assert load.entered.wait(60)
    refreshing = memo.enter(Flight(memo.cache_key(1)))
    assert memo.invalidate(1) is True
    load.leave.set()
    refreshing.wait()
    assert memo.cache_key(1) not in cache


def test_early_refresh_is_random_and_earlier_for_slow_loads(cache: L1Cache) -> None:
    """The share of calls that refresh is that of the formula: exp(-gap / (beta * load time))."""
    refreshed = []

    def background(memo: Any, flight: Any, args: Any, kwargs: Any) -> None:
        refreshed.append(flight)
        flight.abandon()

    memo = Memo(
        int,
        cache,
        None,
        lambda: "key",
        ttl=1000,
        stale_ttl=None,
        error_ttl=None,
        early_refresh=2.0,
        background=background,
    )
    memo()
    memo.land(Flight("key"), 0, 10 * SECOND)  # as if it had taken that long: 2.5 s on average
    spread = 2.0 * 2.5
    for gap, low, high in ((300, 0, 0), (2 * spread, 70, 210), (spread / 4, 680, 880)):
        refreshed.clear()
        for _ in range(1_000):
            expire_in(cache, "key", gap)
            memo()
        assert low <= len(refreshed) <= high, gap
