"""An allocation that fails anywhere in a load leaves its key as it was."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from fastmem._core.flights import Flight

testcapi = pytest.importorskip("_testcapi")


@pytest.fixture(autouse=True)
def _no_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def assert_nobody_is_waited_for(memo: Any, key: object) -> None:
    """Or only who has not begun, and is made by who comes next."""
    fresh = Flight(key)
    flight = memo.enter(fresh)
    assert flight is fresh or flight.claim(None)
    flight.abandon()


@pytest.mark.parametrize("failing", range(30))
def test_a_call_that_runs_out_of_memory_leaves_nothing_in_the_air(failing: int) -> None:
    cache = L1Cache(100_000)

    @memoize(cache)
    def memo(x: Any) -> Any:
        return x

    memo(1)
    key = memo.cache_key(7)
    testcapi.set_nomemory(failing, failing + 1)
    try:
        memo(7)
    except MemoryError:
        pass
    finally:
        testcapi.remove_mem_hooks()
    assert_nobody_is_waited_for(memo, key)
    assert memo(7) == 7


@pytest.mark.parametrize("failing", range(8))
def test_a_task_that_runs_out_of_memory_coming_down_does_come_down(failing: int) -> None:
    """As its loop has it come down, when the coroutine has returned."""
    from fastmem import tasks

    cache = L1Cache(100_000)

    @memoize(cache)
    async def memo(x: Any) -> Any:
        return x

    async def main() -> None:
        flight = memo.enter(Flight(memo.cache_key(7)))
        task = asyncio.create_task(memo.function(7))
        await task
        assert flight.claim(asyncio.get_running_loop())
        began_ns = 0
        testcapi.set_nomemory(failing, failing + 1)
        try:
            tasks._come_down(memo, flight, began_ns, True, task)
        except MemoryError:
            pass
        finally:
            testcapi.remove_mem_hooks()
        assert flight.state != 0
        assert_nobody_is_waited_for(memo, flight.key)

    asyncio.run(main())
