"""An ``async def`` that raises what is no Exception: its caller gets just that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastmem import L1Cache, memoize


class Stop(BaseException):
    pass


def test_what_is_no_exception_reaches_the_caller_as_it_is() -> None:
    calls = []
    stop = Stop("x")

    @memoize(L1Cache(1_000_000), error_ttl=60)
    async def memo() -> Any:
        calls.append(1)
        raise stop

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(Stop) as info:
                await memo()
            assert info.value is stop

    asyncio.run(main())
    assert calls == [1, 1]


def test_others_who_wait_try_for_themselves() -> None:
    calls = []

    @memoize(L1Cache(1_000_000))
    async def memo() -> Any:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise Stop
        return len(calls)

    async def main() -> Any:
        return await asyncio.gather(memo(), memo(), memo(), return_exceptions=True)

    interrupted, *others = asyncio.run(main())
    assert isinstance(interrupted, Stop)
    assert others == [2, 2]
