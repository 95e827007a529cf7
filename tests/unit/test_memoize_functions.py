"""What a memoized function does: hits, deadlines, staleness, exceptions, and what it carries."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from fastmem import ClosedError, L1Cache, memoize
from fastmem._core.clock import boottime_ns
from tests.memoizing import SECOND


@pytest.fixture
def cache() -> Any:
    return L1Cache(1_000_000)


def test_none_is_a_result_like_any_other(cache: L1Cache) -> None:
    calls: list[Any] = []
    memo = memoize(cache)(calls.append)
    assert memo(1) is memo(1) is None
    assert calls == [1]


def test_it_looks_like_the_function(cache: L1Cache) -> None:
    def function(a: int, b: str = "x") -> float:
        """Doc."""
        return 1.0

    function.extra = 5  # type: ignore[attr-defined]
    memo: Any = memoize(cache)(function)
    assert memo.__name__ == "function"
    assert memo.__doc__ == "Doc."
    assert memo.__wrapped__ is function
    assert memo.__module__ == __name__
    assert memo.extra == 5
    assert memo.cache is cache
    assert inspect.signature(memo) == inspect.signature(function)
    assert "function" in repr(memo)
    memo.note = 1
    assert memo.note == 1
    assert weakref.ref(memo)() is memo


module_cache = L1Cache(1_000_000)


@memoize(module_cache)
def of_module(x: Any) -> Any:
    return x


@memoize(module_cache)
async def async_of_module(x: Any) -> Any:
    return x


@pytest.mark.parametrize("memo", [of_module, async_of_module])
def test_it_pickles_and_copies_by_name(memo: Any) -> None:
    assert pickle.loads(pickle.dumps(memo)) is memo  # noqa: S301
    assert copy.deepcopy(memo) is memo


def test_counts_parameters_and_clearing_as_functools_has_them(cache: L1Cache) -> None:
    memo = memoize(cache, ttl=60)(lambda x: x)
    other = memoize(cache)(lambda x: -x)
    cache["mine"] = 1
    for x in (1, 1, 2):
        memo(x)
        other(x)
    hits, misses, maxsize, currsize = memo.cache_info()
    assert (hits, misses, maxsize, currsize) == (1, 2, 1_000_000, cache.used_bytes)
    assert memo.cache_parameters() == {
        "maxsize": 1_000_000,
        "typed": True,
        "ttl": 60,
        "stale_ttl": None,
        "error_ttl": None,
        "early_refresh": 0.0,
    }
    memo.cache_clear()
    assert memo.cache_info()[:2] == (0, 0)
    assert len(cache) == 3
    assert other(1) == -1
    assert other.cache_info()[:2] == (2, 2)
    assert cache["mine"] == 1


def test_clearing_asks_no_key_of_others_for_equality(cache: L1Cache) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            raise AssertionError

        def __hash__(self) -> int:
            return 1

    cache[Equal(), 1] = "mine"
    memo = memoize(cache)(lambda x: x)
    memo(1)
    memo.cache_clear()
    assert list(cache.values()) == ["mine"]


def test_clearing_with_a_key_function_is_refused(cache: L1Cache) -> None:
    memo = memoize(cache, key=str)(lambda x: x)
    with pytest.raises(TypeError, match="invalidate"):
        memo.cache_clear()


def test_results_have_the_deadline_asked_for(cache: L1Cache) -> None:
    memo = memoize(cache, ttl=60)(lambda x: x)
    before = boottime_ns()
    memo(1)
    lives = cache._deadline(memo.cache_key(1)) - before
    assert 59 * SECOND < lives < 62 * SECOND
    cache._set_deadline(memo.cache_key(1), 1)
    memo(1)
    assert memo.cache_info()[:2] == (0, 2)
    forever = memoize(cache, ttl=math.inf)(lambda x: x)
    forever(1)
    assert cache._deadline(forever.cache_key(1)) == 0


def test_a_result_too_large_is_returned_all_the_same() -> None:
    small = L1Cache(2_000)
    memo = memoize(small)(lambda n: bytes(n))
    assert len(memo(5_000)) == len(memo(5_000)) == 5_000
    assert small.stats()["errors"]["too_large"] == 2
    assert memo.cache_info()[:2] == (0, 2)


def test_what_storing_raises_the_call_raises() -> None:
    def sizer(value: Any) -> int:
        raise ZeroDivisionError

    memo = memoize(L1Cache(1_000, sizer=sizer))(lambda: 1)
    for _ in range(2):  # and no flight is left in the air
        with pytest.raises(ZeroDivisionError):
            memo()


def test_a_closed_cache_says_so(cache: L1Cache) -> None:
    memo = memoize(cache)(lambda x: x)
    memo(1)
    cache.close()
    with pytest.raises(ClosedError):
        memo(1)
    with pytest.raises(ClosedError):
        memo(2)


def test_a_cache_closed_by_the_load(cache: L1Cache) -> None:
    def load() -> int:
        cache.close()
        return 5

    memo = memoize(cache)(load)
    assert memo() == 5
    with pytest.raises(ClosedError):
        memo()


def test_what_memoize_refuses(cache: L1Cache) -> None:
    untyped: Any = memoize
    wrongs: list[tuple[Callable[[], Any], str]] = [
        (lambda: untyped({})(len), "takes a cache first, not dict"),
        (lambda: untyped(len), "takes a cache first"),
        (lambda: untyped(cache)(5), "decorates functions, not int"),
        (lambda: untyped(cache, ttl="5")(len), "ttl"),
    ]
    for wrong, message in wrongs:
        with pytest.raises(TypeError, match=message):
            wrong()

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[Any]:
        yield 1

    for function in (generator, async_generator):
        with pytest.raises(TypeError, match="generator"):
            memoize(cache)(function)
    for options in (
        {"stale_ttl": 5},
        {"early_refresh": 1.0},
        {"ttl": 5, "early_refresh": -1.0},
        {"ttl": 5, "early_refresh": math.nan},
        {"ttl": 0},
        {"ttl": 5, "stale_ttl": -1},
        {"error_ttl": 0},
        {"ttl": math.inf, "stale_ttl": 5},
    ):
        with pytest.raises(ValueError):
            untyped(cache, **options)(len)
