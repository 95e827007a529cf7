"""What a memoized coroutine function is to asyncio, and what comes through it."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import gc
import inspect
import sys
import weakref
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from fastmem._core.flights import Flight
from tests.memoizing import expire_in, logged


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


def test_the_load_runs_in_a_copy_of_its_callers_context(cache: L1Cache) -> None:
    variable = contextvars.ContextVar[str]("variable")

    async def main() -> None:
        @memoize(cache)
        async def memo() -> Any:
            seen = variable.get()
            variable.set("changed")
            return seen

        variable.set("callers")
        assert await memo() == "callers"
        assert variable.get() == "callers"

    asyncio.run(main())


def test_a_call_is_a_coroutine_to_asyncio(cache: L1Cache) -> None:
    @memoize(cache)
    async def memo(x: Any) -> Any:
        return x

    assert asyncio.iscoroutinefunction(memo)
    assert inspect.iscoroutinefunction(memo) is (sys.version_info >= (3, 12))
    for _ in range(2):
        call = memo(1)
        assert asyncio.iscoroutine(call)
        assert isinstance(call, collections.abc.Coroutine)
        assert asyncio.run(call) == 1
        with pytest.raises(RuntimeError, match="already awaited"):
            call.send(None)
    assert memo.cache_info()[:2] == (1, 1)

    async def main() -> None:
        wrapped = asyncio.ensure_future(memo(1))
        assert await asyncio.create_task(memo(1)) == await wrapped == 1
        assert list(await asyncio.gather(memo(1), memo(2))) == [1, 2]

    asyncio.run(main())


@pytest.mark.parametrize("value", [None, (1, 2), (), ValueError("a value"), [1], "x"])
def test_every_value_comes_through(cache: L1Cache, value: Any) -> None:
    @memoize(cache)
    async def memo() -> Any:
        return value

    async def main() -> None:
        assert await memo() is value
        assert await memo() is value
        assert await asyncio.create_task(memo()) is value

    asyncio.run(main())
    with pytest.raises(StopIteration) as stop:
        memo().send(None)
    assert stop.value.value is value
    with pytest.raises(StopIteration) as stop:
        next(iter(memo()))  # type: ignore[call-overload]
    assert stop.value.value is value


def test_a_call_that_is_not_awaited_looks_nothing_up(cache: L1Cache) -> None:
    @memoize(cache)
    async def memo() -> Any:
        return 1

    memo().close()
    del memo
    call = memoize(cache)(never)()
    with pytest.raises(ZeroDivisionError):
        call.throw(ZeroDivisionError())
    assert cache.stats()["misses"] == 0


async def never() -> None:
    raise AssertionError


def test_wrong_arguments_are_the_functions_own_error(cache: L1Cache) -> None:
    @memoize(cache)
    async def memo(x: Any) -> Any:
        return x

    with pytest.raises(TypeError, match="memo"):
        memo()  # type: ignore[call-arg,unused-coroutine]


def test_async_methods_keep_no_instance_alive(cache: L1Cache) -> None:
    class Owner:
        calls = 0

        @memoize(cache)
        async def method(self, x: Any) -> Any:
            Owner.calls += 1
            return id(self), x

    async def main() -> None:
        owner = Owner()
        assert await owner.method(1) == await owner.method(x=1) == (id(owner), 1)
        dead = weakref.ref(owner)
        del owner
        await asyncio.sleep(0)
        gc.collect()
        assert dead() is None
        assert Owner.calls == 1

    asyncio.run(main())


def test_a_stale_result_serves_while_one_task_refreshes(cache: L1Cache) -> None:
    async def main() -> None:
        calls, leave = [], asyncio.Event()

        @memoize(cache, ttl=100, stale_ttl=100)
        async def memo(x: Any) -> Any:
            calls.append(x)
            if len(calls) > 1:
                await leave.wait()
            return len(calls)

        assert await memo(1) == 1
        key = memo.cache_key(1)
        expire_in(cache, key, 50)
        assert [await memo(1) for _ in range(100)] == [1] * 100
        await asyncio.sleep(0)
        assert calls == [1, 1]
        assert await memo(1) == 1
        flight = memo.enter(Flight(key))
        leave.set()
        while flight.state == 0:
            await asyncio.sleep(0)
        assert await memo(1) == 2
        assert calls == [1, 1]

    asyncio.run(main())


def test_a_refresh_that_fails_is_logged(cache: L1Cache) -> None:
    async def main() -> None:
        calls = []

        @memoize(cache, ttl=100, stale_ttl=100)
        async def memo() -> Any:
            calls.append(1)
            if len(calls) == 2:
                raise ValueError("down")
            return len(calls)

        assert await memo() == 1
        expire_in(cache, memo.cache_key(), 50)
        assert await memo() == 1
        while records.empty():
            await asyncio.sleep(0)
        record = records.get()
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "down"
        assert await memo() == 1

    with logged() as records:
        asyncio.run(main())
