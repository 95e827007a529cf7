"""A loop that stands still, or was closed, in the middle of a load: nobody else waits for it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from tests.memoizing import expire_in, settle, wait_for_callers

PATIENCE_S = 60


class Load:
    """Waits, in the loop it is made for, until told; in others it returns at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.entered, self.leave = loop, threading.Event(), asyncio.Event()

    async def __call__(self) -> Any:
        if asyncio.get_running_loop() is self.loop:
            self.entered.set()
            await self.leave.wait()
            return "here"
        return "elsewhere"


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as threads:
        yield threads


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    if not made.is_closed():
        made.run_until_complete(end_tasks())
        made.close()


@pytest.fixture
def load(loop: asyncio.AbstractEventLoop) -> Load:
    return Load(loop)


async def end_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def run_until_entered(loop: asyncio.AbstractEventLoop, load: Load) -> None:
    while not load.entered.is_set():
        loop.call_soon(loop.stop)
        loop.run_forever()


def begin(loop: asyncio.AbstractEventLoop, memo: Any, load: Load) -> asyncio.Task[Any]:
    """A caller in a loop that stops in the middle of its load."""
    caller = loop.create_task(memo())
    run_until_entered(loop, load)
    return caller


def elsewhere(memo: Any) -> Any:
    return asyncio.run(asyncio.wait_for(memo(), PATIENCE_S))


def test_a_caller_in_another_loop_loads_for_itself(
    cache: L1Cache, loop: asyncio.AbstractEventLoop, load: Load
) -> None:
    memo = memoize(cache)(load)
    caller = begin(loop, memo, load)
    assert elsewhere(memo) == "elsewhere"
    load.leave.set()
    assert loop.run_until_complete(caller) == "here"  # it is not disturbed
    assert cache.peek(memo.cache_key()) == "elsewhere"  # but came too late


def test_a_loop_that_goes_on_first_stores_what_it_loaded(
    cache: L1Cache, loop: asyncio.AbstractEventLoop, load: Load
) -> None:
    memo = memoize(cache)(load)
    caller = begin(loop, memo, load)
    load.leave.set()
    assert loop.run_until_complete(caller) == "here"
    assert elsewhere(memo) == "here"


def test_a_refresh_in_the_background(
    cache: L1Cache, loop: asyncio.AbstractEventLoop, load: Load
) -> None:
    memo = memoize(cache, ttl=100, stale_ttl=100)(load)
    cache.put(memo.cache_key(), "stale", 50)
    assert loop.run_until_complete(memo()) == "stale"
    run_until_entered(loop, load)

    async def another() -> Any:
        found = await memo()
        await asyncio.to_thread(settle, memo, memo.cache_key())
        return found, await memo()

    assert asyncio.run(asyncio.wait_for(another(), PATIENCE_S)) == ("stale", "elsewhere")


def test_a_refresh_whose_result_has_expired_meanwhile(
    cache: L1Cache, loop: asyncio.AbstractEventLoop, load: Load
) -> None:
    memo = memoize(cache, ttl=100, stale_ttl=100)(load)
    cache.put(memo.cache_key(), "stale", 50)
    assert loop.run_until_complete(memo()) == "stale"
    run_until_entered(loop, load)
    expire_in(cache, memo.cache_key(), -1)
    assert elsewhere(memo) == "elsewhere"


def test_a_caller_in_another_loop_that_waits_already(
    cache: L1Cache, loop: asyncio.AbstractEventLoop, load: Load, pool: ThreadPoolExecutor
) -> None:
    memo = memoize(cache)(load)
    caller = loop.create_task(memo())
    running = pool.submit(loop.run_forever)
    assert load.entered.wait(PATIENCE_S)
    waiting = pool.submit(elsewhere, memo)
    wait_for_callers(memo, 2)
    loop.call_soon_threadsafe(loop.stop)
    running.result(PATIENCE_S)
    assert waiting.result(PATIENCE_S) == "elsewhere"
    load.leave.set()
    assert loop.run_until_complete(caller) == "here"


@pytest.mark.parametrize("ends", ["stop", "close"])
def test_threads_that_wait_already_and_those_that_come(
    cache: L1Cache,
    loop: asyncio.AbstractEventLoop,
    load: Load,
    pool: ThreadPoolExecutor,
    ends: str,
) -> None:
    calls = []

    @memoize(cache, key=lambda: "key")
    def blocking() -> Any:
        calls.append(1)
        both_here.wait(PATIENCE_S)
        return "thread's"

    memo = memoize(cache, key=lambda: "key")(load)
    caller = loop.create_task(memo())
    both_here = threading.Event()
    running = pool.submit(loop.run_forever)
    assert load.entered.wait(PATIENCE_S)
    waiting = [pool.submit(blocking) for _ in range(5)]
    wait_for_callers(blocking, 5)
    loop.call_soon_threadsafe(loop.stop)
    running.result(PATIENCE_S)
    if ends == "close":
        loop.close()
        for task in (caller, *asyncio.all_tasks(loop)):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
    waiting += [pool.submit(blocking) for _ in range(5)]
    wait_for_callers(blocking, 10)
    both_here.set()
    assert [one.result(PATIENCE_S) for one in waiting] == ["thread's"] * 10
    assert calls == [1]


def test_callers_that_end_with_their_loop(
    cache: L1Cache, loop: asyncio.AbstractEventLoop, load: Load
) -> None:
    """What that raises goes to where pytest makes a failure of it."""
    memo = memoize(cache)(load)
    caller = begin(loop, memo, load)
    loop.close()
    for task in (caller, *asyncio.all_tasks(loop)):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    del caller, task
    gc.collect()
    assert elsewhere(memo) == "elsewhere"


def test_in_the_very_thread_of_the_loop(
    cache: L1Cache, loop: asyncio.AbstractEventLoop, load: Load
) -> None:
    @memoize(cache, key=lambda: "key")
    def blocking() -> Any:
        return "thread's"

    memo = memoize(cache, key=lambda: "key")(load)
    begin(loop, memo, load)
    assert blocking() == "thread's"
