"""Refreshes in the background: one for all threads, in the way of none."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from fastmem._core.clock import boottime_ns
from tests.children import forked
from tests.memoizing import SECOND, Gate, expire_in, settle


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def test_of_many_threads_that_find_a_result_stale_one_refreshes(
    cache: L1Cache, pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    gate.leave.set()
    memo = memoize(cache, ttl=100, stale_ttl=100)(gate)
    for number in range(1, 20):
        assert memo() == number
        gate.leave.clear()
        gate.entered.clear()
        expire_in(cache, memo.cache_key(), 50)
        assert set(pool.map(lambda _: memo(), range(100))) == {number}
        assert gate.entered.wait(60)
        gate.leave.set()
        settle(memo, memo.cache_key())
    assert gate.calls == 20


def test_loads_are_not_stuck_behind_refreshes_that_wait_for_them(cache: L1Cache) -> None:
    """A refresh that no thread of the pool has begun yet is made by the caller that needs it."""
    refreshing: list[Any] = []
    calls: list[Any] = []

    @memoize(cache, ttl=100, stale_ttl=100)
    def needed(x: Any) -> Any:
        calls.append(x)
        return x

    @memoize(cache, ttl=100, stale_ttl=100)
    def needs(x: Any) -> Any:
        if refreshing:
            assert all_queued.wait(60)
        return needed(x)

    all_queued, many = threading.Event(), range(100)  # more than the pool has threads
    for x in many:
        needs(x)
    refreshing.append(1)
    for memo in (needs, needed):
        for x in many:
            expire_in(cache, memo.cache_key(x), 50)
            memo(x)  # queues a refresh
    for x in many:
        cache._set_deadline(needed.cache_key(x), 1)  # and now it is needed at once
    all_queued.set()
    for memo in (needs, needed):
        for x in many:
            settle(memo, memo.cache_key(x))
            assert memo(x) == x
    assert len(calls) == 200


def test_a_forked_child_does_not_wait_for_loads_of_its_parents_threads(cache: L1Cache) -> None:
    def load(x: Any) -> Any:
        return gate() if os.getpid() == parent else x

    gate, parent = Gate(), os.getpid()
    memo = memoize(cache, ttl=100, stale_ttl=100)(load)
    thread = threading.Thread(target=memo, args=(5,))
    thread.start()
    assert gate.entered.wait(60)

    def in_child() -> Any:
        loaded = memo(5)
        expire_in(cache, memo.cache_key(5), 50)
        memo(5)  # refreshes in a pool of the child's own
        settle(memo, memo.cache_key(5))
        return loaded, cache._deadline(memo.cache_key(5)) > boottime_ns() + 100 * SECOND

    assert forked(in_child) == "(5, True)"
    gate.leave.set()
    thread.join()
