"""A context that was copied during a load outlives it: what is loaded does not live as long."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest

from fastmem import L1Cache, memoize


class Value:
    """Weakly referable."""


class Failed(Exception):
    pass


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


def assert_gone(weak: weakref.ref[Any]) -> None:
    gc.collect()
    assert weak() is None


def test_of_a_function(cache: L1Cache) -> None:
    contexts = []

    @memoize(cache)
    def memo() -> Any:
        contexts.append(contextvars.copy_context())
        return Value()

    weak = weakref.ref(memo())
    cache.clear()
    assert_gone(weak)
    assert len(contexts) == 1


def test_of_a_coroutine(cache: L1Cache) -> None:
    contexts = []

    @memoize(cache)
    async def memo() -> Any:
        contexts.append(contextvars.copy_context())
        return Value()

    weak = weakref.ref(asyncio.run(memo()))
    cache.clear()
    assert_gone(weak)
    assert len(contexts) == 1


def test_of_loads_within_loads(cache: L1Cache) -> None:
    contexts = []

    @memoize(cache)
    def memo(depth: int) -> Any:
        contexts.append(contextvars.copy_context())
        return memo(depth - 1) if depth else Value()

    weak = weakref.ref(memo(3))
    cache.clear()
    assert_gone(weak)
    assert len(contexts) == 4


def test_of_what_a_load_raises(cache: L1Cache) -> None:
    contexts = []

    @memoize(cache)
    def memo() -> None:
        contexts.append(contextvars.copy_context())
        raise Failed

    try:
        memo()
    except Failed as error:
        weak = weakref.ref(error)
    assert_gone(weak)
    assert len(contexts) == 1


def test_the_arguments_too(cache: L1Cache) -> None:
    contexts = []

    @memoize(cache)
    def memo(argument: Any) -> int:
        contexts.append(contextvars.copy_context())
        return 1

    argument = Value()
    weak = weakref.ref(argument)
    memo(argument)
    cache.clear()
    del argument
    assert_gone(weak)
