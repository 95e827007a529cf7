"""Memoized functions called by tasks of several loops, and by tasks and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from tests.memoizing import Gate


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as threads:
        yield threads


def in_loops(count: int, main: Any) -> Any:
    """Runs main() in loops of so many threads; their results."""
    with ThreadPoolExecutor(count) as threads:
        return [
            one.result(60) for one in [threads.submit(asyncio.run, main()) for _ in range(count)]
        ]


def test_one_call_for_the_tasks_of_several_loops(cache: L1Cache) -> None:
    calls, all_here = [], threading.Barrier(4)

    @memoize(cache)
    async def memo() -> Any:
        calls.append(1)
        await asyncio.sleep(0.01)
        return len(calls)

    async def main() -> Any:
        callers = [asyncio.create_task(memo()) for _ in range(250)]
        all_here.wait(60)
        return await asyncio.gather(*callers)

    assert in_loops(4, main) == [[1] * 250] * 4
    assert calls == [1]


def test_a_caller_in_another_loop_that_gives_up_cancels_the_load_as_the_last(
    cache: L1Cache,
) -> None:
    entered, left, cancelled = threading.Event(), threading.Event(), threading.Event()

    @memoize(cache)
    async def memo() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def leads() -> None:
        caller = asyncio.create_task(memo())
        await asyncio.to_thread(left.wait, 60)
        caller.cancel()
        await asyncio.wait([caller])
        assert not cancelled.is_set()  # the other still waits
        gives_up.set()
        await asyncio.to_thread(cancelled.wait, 60)

    async def joins() -> None:
        caller = asyncio.create_task(memo())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        left.set()
        await asyncio.to_thread(gives_up.wait, 60)
        caller.cancel()
        await asyncio.wait([caller])

    gives_up = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(asyncio.run, leads())
        assert entered.wait(60)
        joiner = threads.submit(asyncio.run, joins())
        leader.result(60)
        joiner.result(60)
    assert cancelled.is_set()


def test_a_function_and_a_coroutine_function_may_share_a_key(
    cache: L1Cache, pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    blocking = memoize(cache, key=lambda: "key")(gate)

    @memoize(cache, key=lambda: "key")
    async def awaited() -> None:
        raise AssertionError

    leader = pool.submit(blocking)
    assert gate.entered.wait(60)

    async def main() -> Any:
        caller = asyncio.create_task(awaited())
        await asyncio.sleep(0)
        gate.leave.set()
        return await caller

    assert asyncio.run(main()) == leader.result() == 1


def test_a_thread_waits_for_what_a_task_loads(cache: L1Cache, pool: ThreadPoolExecutor) -> None:
    entered = threading.Event()

    @memoize(cache, key=lambda: "key")
    async def awaited() -> Any:
        entered.set()
        while blocking.cache_info().misses == 0:
            await asyncio.sleep(0)
        return "task's"

    @memoize(cache, key=lambda: "key")
    def blocking() -> None:
        raise AssertionError

    leader = pool.submit(lambda: asyncio.run(awaited()))
    assert entered.wait(60)
    assert blocking() == leader.result() == "task's"


def test_a_thread_does_not_wait_for_a_task_of_its_own_loop(cache: L1Cache) -> None:
    @memoize(cache, key=lambda: "key")
    async def awaited() -> Any:
        await asyncio.sleep(0)
        return "task's"

    @memoize(cache, key=lambda: "key")
    def blocking() -> Any:
        return "thread's"

    async def main() -> Any:
        task = asyncio.create_task(awaited())
        await asyncio.sleep(0)
        assert blocking() == "thread's"
        return await task

    assert asyncio.run(main()) == "task's"
