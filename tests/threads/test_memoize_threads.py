"""Memoized functions called by many threads."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from tests.memoizing import Gate, wait_for_callers


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def test_one_call_for_all_threads(cache: L1Cache, pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    memo = memoize(cache)(gate)
    callers = [pool.submit(memo, 1) for _ in range(40)]
    wait_for_callers(memo, 40)
    gate.leave.set()
    assert [caller.result() for caller in callers] == [1] * 40
    assert gate.calls == 1


@pytest.mark.usefixtures("eager_switches")
def test_a_load_that_just_ended_is_not_made_again(cache: L1Cache, pool: ThreadPoolExecutor) -> None:
    calls = []
    memo = memoize(cache)(lambda x: calls.append(x))
    list(pool.map(memo, [x for x in range(2_000) for _ in range(4)]))
    assert sorted(calls) == list(range(2_000))


def test_an_interrupted_leader_leaves_the_load_to_another(
    cache: L1Cache, pool: ThreadPoolExecutor
) -> None:
    class Interrupted(BaseException):
        pass

    calls, entered, leave = [], threading.Event(), threading.Event()

    @memoize(cache)
    def memo() -> Any:
        calls.append(1)
        if len(calls) == 1:
            entered.set()
            assert leave.wait(60)
            raise Interrupted
        return "loaded"

    leader = pool.submit(memo)
    assert entered.wait(60)
    others = [pool.submit(memo) for _ in range(20)]
    wait_for_callers(memo, 21)
    leave.set()
    assert isinstance(leader.exception(), Interrupted)
    assert {other.result() for other in others} == {"loaded"}
    assert len(calls) == 2


def test_what_the_leader_raises_all_get(cache: L1Cache, pool: ThreadPoolExecutor) -> None:
    gate = Gate()

    @memoize(cache)
    def memo() -> None:
        raise ValueError(gate())

    callers = [pool.submit(memo) for _ in range(20)]
    wait_for_callers(memo, 20)
    gate.leave.set()
    assert {str(caller.exception()) for caller in callers} == {"1"}
    assert gate.calls == 1


def test_two_threads_whose_loads_need_each_other_do_not_deadlock(
    cache: L1Cache, pool: ThreadPoolExecutor
) -> None:
    both = threading.Barrier(2)

    @memoize(cache)
    def memo(x: Any) -> Any:
        if both.n_waiting < 2 and len(started) < 2:
            started.append(x)
            both.wait(60)
        return memo(1 - x)

    started: list[Any] = []
    callers = [pool.submit(memo, x) for x in (0, 1)]
    for caller in callers:
        with pytest.raises(RuntimeError, match="the very value that is being loaded"):
            caller.result(60)


def test_a_load_that_asks_for_its_key_in_a_thread_of_its_own(cache: L1Cache) -> None:
    @memoize(cache)
    async def memo() -> Any:
        return await asyncio.to_thread(blocking)

    @memoize(cache)
    def blocking() -> Any:
        return asyncio.run(memo())

    ways: list[Callable[[], Any]] = [lambda: asyncio.run(memo()), blocking]
    for function in ways:
        with pytest.raises(RuntimeError, match="the very value that is being loaded"):
            function()


def test_a_load_of_its_own_key_in_an_empty_context(cache: L1Cache) -> None:
    @memoize(cache)
    def memo() -> Any:
        return contextvars.Context().run(memo)

    with pytest.raises(RuntimeError, match="the very value that is being loaded"):
        memo()


@pytest.mark.usefixtures("eager_switches")
@pytest.mark.parametrize("invalidate", ["delete", "put", "clear", "memo"])
def test_no_call_returns_what_was_invalidated_before_it_began(
    cache: L1Cache, invalidate: str
) -> None:
    version, done = [0], threading.Event()
    failures: list[Any] = []

    @memoize(cache, ttl=60)
    def memo(key: Any) -> Any:
        seen = version[0]
        for _ in range(seen % 7):
            os.sched_yield()
        return seen

    key = memo.cache_key("k")
    act: Callable[[], object] = {
        "delete": lambda: cache.delete(key),
        "put": lambda: cache.put(key, version[0]),
        "clear": cache.clear,
        "memo": lambda: memo.invalidate("k"),
    }[invalidate]

    def read() -> None:
        while not done.is_set():
            before = invalid[0]
            found = memo("k")
            if found < before:
                failures.append((before, found))

    invalid = [0]
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 2_000):
        version[0] = number
        act()
        invalid[0] = number
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    cache._check()


@pytest.mark.usefixtures("eager_switches")
def test_threads_hammer_memoized_functions(cache: L1Cache, pool: ThreadPoolExecutor) -> None:
    class Owner:
        def __init__(self, number: Any) -> None:
            self.number = number

        @memoize(cache, ttl=60, error_ttl=60, early_refresh=1.0)
        def method(self, x: Any) -> Any:
            if x == 13:
                raise ValueError(x)
            return self.number, x

    owners = [Owner(number) for number in range(5)]

    def hammer(seed: int) -> None:
        for i in range(1_500):
            owner, x = owners[(seed + i) % 5], (seed * i) % 20
            try:
                assert owner.method(x) == (owner.number, x)
            except ValueError:
                assert x == 13
            if i % 50 == 0:
                owner.method.invalidate(x)
            if i % 500 == 0:
                cache.resize(20_000 if i % 1_000 else 1_000_000)

    for result in [pool.submit(hammer, seed) for seed in range(8)]:
        result.result()
    cache._check()
