"""Callables that are no functions, and functions that are not what they seem."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from fastmem import L1Cache, memoize


class Async:
    calls = 0

    async def __call__(self, x: Any) -> Any:
        self.calls += 1
        return x


class Generator:
    def __call__(self, x: Any) -> Iterator[Any]:
        yield x


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


def test_an_object_with_an_async_call_is_an_async_function(cache: L1Cache) -> None:
    load = Async()
    for function in (load, functools.partial(load), functools.partial(load, 1)):
        load.calls = 0
        memo = memoize(cache)(function)
        args = () if getattr(function, "args", ()) else (1,)

        async def main(memo: Any = memo, args: Any = args) -> list[Any]:
            return [await memo(*args), await memo(*args)]

        assert asyncio.run(main()) == [1, 1]
        assert load.calls == 1


def test_a_memoized_async_def_memoized_again(cache: L1Cache) -> None:
    @memoize(cache)
    @memoize(L1Cache(1_000_000))
    async def memo(x: Any) -> Any:
        return x

    async def main() -> list[Any]:
        return [await memo(1), await memo(1)]

    assert asyncio.run(main()) == [1, 1]


def test_an_object_with_a_generator_for_call_is_refused(cache: L1Cache) -> None:
    for function in (Generator(), functools.partial(Generator(), 1)):
        with pytest.raises(TypeError, match="generator function"):
            memoize(cache)(function)


def test_a_coroutine_is_never_kept(cache: L1Cache) -> None:
    async def load(x: Any) -> Any:
        return x

    @memoize(cache)
    def memo(x: Any) -> Any:
        return load(x)

    for _ in range(2):
        with pytest.raises(TypeError, match="returned a coroutine"):
            memo(1)
    assert len(cache) == 0
