"""Exceptions of memoized functions: raised in all who wait, kept only when asked."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from fastmem import L1Cache, memoize


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(1_000_000)


def failing(cache: L1Cache, error: Any, **options: Any) -> Any:
    calls = []

    @memoize(cache, **options)
    def memo(x: Any) -> None:
        calls.append(x)
        raise error

    return memo, calls


def test_exceptions_are_not_kept_unless_asked(cache: L1Cache) -> None:
    memo, calls = failing(cache, ValueError("no"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            memo(1)
    assert calls == [1, 1]
    assert len(cache) == 0


class Strange(Exception):
    def __init__(self, one: Any, two: Any) -> None:
        super().__init__(f"{one}-{two}")
        self.one = one


@pytest.mark.parametrize(
    "error", [ValueError("no"), Strange(1, 2), OSError(2, "gone", "x"), KeyError("k")]
)
def test_exceptions_are_kept_as_copies_for_as_long_as_asked(cache: L1Cache, error: Any) -> None:
    memo, calls = failing(cache, error, error_ttl=60)
    raised = []
    for _ in range(3):
        with pytest.raises(type(error)) as info:
            memo(1)
        raised.append(info.value)
    assert calls == [1]
    assert raised[0] is error
    assert len({id(one) for one in raised}) == 3
    for one in raised:
        assert (str(one), one.args, vars(one)) == (str(error), error.args, vars(error))
    assert memo.cache_info()[:2] == (2, 1)
    cache._set_deadline(memo.cache_key(1), 1)
    with pytest.raises(type(error)):
        memo(1)
    assert calls == [1, 1]


def test_a_kept_exception_keeps_no_frame_alive(cache: L1Cache) -> None:
    class Big:
        pass

    @memoize(cache, error_ttl=60)
    def memo() -> None:
        big = Big()
        alive.append(weakref.ref(big))
        raise ValueError

    alive: list[Any] = []
    for _ in range(3):
        with pytest.raises(ValueError):
            memo()
    gc.collect()
    assert [ref() for ref in alive] == [None]


def test_interrupts_are_never_kept(cache: L1Cache) -> None:
    memo, calls = failing(cache, KeyboardInterrupt(), error_ttl=60)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            memo(1)
    assert calls == [1, 1]


def test_a_load_that_needs_its_own_key_is_an_error(cache: L1Cache) -> None:
    @memoize(cache)
    def countdown(n: int) -> Any:
        return countdown(n - 1) if n else 0

    @memoize(cache)
    def forever(x: Any) -> Any:
        return forever(x)

    @memoize(cache)
    def ping(x: Any) -> Any:
        return pong(x)

    @memoize(cache)
    def pong(x: Any) -> Any:
        return ping(x)

    assert countdown(50) == 0
    for wrong in (forever, ping, pong):
        for _ in range(2):
            with pytest.raises(RuntimeError, match="the very value that is being loaded"):
                wrong(1)
