"""Memoized coroutine functions: one load for all tasks, whoever is cancelled."""

from __future__ import annotations

import asyncio
import gc
from traceback import walk_tb
from typing import Any

import pytest

from fastmem import L1Cache, memoize


@pytest.fixture
def cache() -> Any:
    return L1Cache(1_000_000)


class Gate:
    """A load that waits inside until told, and counts itself."""

    def __init__(self) -> None:
        self.calls, self.entered, self.leave = 0, asyncio.Event(), asyncio.Event()
        self.cancelled = 0

    async def __call__(self, x: Any = None) -> Any:
        self.calls += 1
        self.entered.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.calls, x


def gated(cache: L1Cache, **options: Any) -> Any:
    gate = Gate()

    @memoize(cache, **options)
    async def memo(x: Any = None) -> Any:
        return await gate(x)

    return gate, memo


def test_a_thousand_callers_one_call(cache: L1Cache) -> None:
    async def main() -> None:
        gate, memo = gated(cache)
        callers = [asyncio.create_task(memo(1)) for _ in range(1_000)]
        await gate.entered.wait()
        gate.leave.set()
        assert await asyncio.gather(*callers) == [(1, 1)] * 1_000
        assert await memo(1) == (1, 1)
        assert memo.cache_info()[:2] == (1, 1_000)

    asyncio.run(main())


@pytest.mark.parametrize("how_many", [1, 500, 999])
def test_callers_that_are_cancelled_leave_the_others_unharmed(
    cache: L1Cache, how_many: int
) -> None:
    async def main() -> None:
        gate, memo = gated(cache)
        callers = [asyncio.create_task(memo(1)) for _ in range(1_000)]
        await gate.entered.wait()
        for caller in callers[:how_many]:  # the first of all among them
            caller.cancel()
        await asyncio.wait(callers[:how_many])
        gate.leave.set()
        assert await asyncio.gather(*callers[how_many:]) == [(1, 1)] * (1_000 - how_many)
        assert all(caller.cancelled() for caller in callers[:how_many])
        assert gate.calls == 1

    asyncio.run(main())


def test_the_last_caller_takes_the_load_with_it(cache: L1Cache) -> None:
    async def main() -> None:
        gate, memo = gated(cache)
        callers = [asyncio.create_task(memo(1)) for _ in range(3)]
        await gate.entered.wait()
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
        late = asyncio.create_task(memo(1))  # does not join what is being cancelled
        gate.leave.set()
        assert await late == (2, 1)
        assert gate.cancelled == 1

    asyncio.run(main())


def test_a_timeout_cancels_a_call_like_any_other(cache: L1Cache) -> None:
    async def main() -> None:
        gate, memo = gated(cache)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(memo(1), 0.001)
        gate.leave.set()
        assert await memo(1) == (2, 1)

    asyncio.run(main())


def test_a_load_that_is_cancelled_from_within_raises_that_in_each_caller(cache: L1Cache) -> None:
    async def main() -> None:
        calls = []

        @memoize(cache)
        async def memo() -> None:
            calls.append(1)
            await asyncio.sleep(0)
            raise asyncio.CancelledError

        callers = [asyncio.create_task(memo()) for _ in range(3)]
        await asyncio.wait(callers)
        assert all(caller.cancelled() for caller in callers)
        assert len(calls) == 3

    asyncio.run(main())


def test_exceptions_reach_all_who_wait_and_are_not_kept(cache: L1Cache) -> None:
    async def main() -> None:
        calls = []

        @memoize(cache)
        async def memo() -> None:
            calls.append(1)
            await asyncio.sleep(0)
            raise ValueError("no")

        for round_number in (1, 2):
            callers = [asyncio.create_task(memo()) for _ in range(10)]
            done, _ = await asyncio.wait(callers)
            assert {str(caller.exception()) for caller in done} == {"no"}
            assert len(calls) == round_number
        assert len(cache) == 0

    asyncio.run(main())


def test_the_traceback_of_an_exception_does_not_grow_with_those_who_wait(cache: L1Cache) -> None:
    async def main() -> None:
        @memoize(cache)
        async def memo() -> None:
            await asyncio.sleep(0)
            raise ValueError("no")

        callers = [asyncio.create_task(memo()) for _ in range(200)]
        await asyncio.wait(callers)
        (error,) = {caller.exception() for caller in callers}
        assert error is not None
        assert len(list(walk_tb(error.__traceback__))) < 10

    asyncio.run(main())


def test_exceptions_are_kept_when_asked(cache: L1Cache) -> None:
    async def main() -> None:
        calls = []

        @memoize(cache, error_ttl=60)
        async def memo() -> None:
            calls.append(1)
            raise ValueError("no")

        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await memo()
        assert calls == [1]

    asyncio.run(main())


def test_what_storing_raises_the_callers_get() -> None:
    def sizer(value: Any) -> int:
        raise ZeroDivisionError

    async def main() -> None:
        @memoize(L1Cache(1_000, sizer=sizer))
        async def memo() -> Any:
            return 1

        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await memo()

    asyncio.run(main())


def test_a_load_that_needs_its_own_key_is_an_error(cache: L1Cache) -> None:
    async def main() -> None:
        @memoize(cache)
        async def straight(x: Any) -> Any:
            return await straight(x)

        @memoize(cache)
        async def through_a_task(x: Any) -> Any:
            return await asyncio.create_task(through_a_task(x))

        @memoize(cache)
        async def through_a_group(x: Any) -> Any:
            return await asyncio.gather(asyncio.sleep(0), through_a_group(x))

        @memoize(cache)
        async def through_another(x: Any) -> Any:
            return await straight_to(x)

        @memoize(cache)
        async def straight_to(x: Any) -> Any:
            await asyncio.sleep(0)
            return await through_another(x)

        for memo in (straight, through_a_task, through_a_group, through_another, straight_to):
            with pytest.raises(RuntimeError, match="the very value that is being loaded"):
                await memo(1)

    asyncio.run(main())


def test_two_loads_that_need_each_other_are_an_error_for_one(cache: L1Cache) -> None:
    async def main() -> None:
        both = asyncio.Barrier(2)

        @memoize(cache)
        async def memo(x: Any) -> Any:
            await both.wait()
            try:
                return await memo(1 - x)
            except RuntimeError:
                return "circle"

        found = list(await asyncio.gather(memo(0), memo(1)))
        assert found == ["circle", "circle"]

    asyncio.run(main())


def test_a_load_may_need_other_keys(cache: L1Cache) -> None:
    async def main() -> None:
        @memoize(cache)
        async def fibonacci(n: int) -> Any:
            if n < 2:
                return n
            return sum(await asyncio.gather(fibonacci(n - 1), fibonacci(n - 2)))

        assert await fibonacci(60) == 1_548_008_755_920
        assert fibonacci.cache_info().misses < 200

    asyncio.run(main())


def test_a_loop_that_ends_in_the_middle_leaves_nothing_behind(cache: L1Cache) -> None:
    gates = []

    @memoize(cache)
    async def memo() -> Any:
        gate = Gate()
        gates.append(gate)
        return await gate()

    async def begin() -> None:
        asyncio.create_task(memo())  # noqa: RUF006 - left running on purpose
        while not gates:
            await asyncio.sleep(0)

    asyncio.run(begin())

    async def again() -> Any:
        task = asyncio.create_task(memo())
        while len(gates) < 2:
            await asyncio.sleep(0)
        gates[1].leave.set()
        return await task

    assert asyncio.run(again()) == (1, None)


def test_a_loop_closed_in_the_middle_of_a_load_does_not_stop_others(cache: L1Cache) -> None:
    gates = []

    @memoize(cache)
    async def memo() -> Any:
        gates.append(1)
        if len(gates) == 1:
            await asyncio.Event().wait()
        return len(gates)

    loop = asyncio.new_event_loop()
    task = loop.create_task(memo())
    while not gates:
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    assert asyncio.run(memo()) == 2
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task
    gc.collect()
