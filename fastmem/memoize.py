"""`memoize`: functions whose results a cache keeps, each loaded once however many ask for it."""

from __future__ import annotations

import functools
import inspect
import logging
import math
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from fastmem._core.awaited import AsyncMemo
from fastmem._core.clock import deadline_ns
from fastmem._core.flights import Flight
from fastmem._core.l1 import L1Cache
from fastmem._core.memo import CacheInfo, Memo
from fastmem.signatures import calls_of

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["CacheInfo", "Memo", "memoize"]

log_to = logging.getLogger("fastmem")

P = ParamSpec("P")
R = TypeVar("R")
TTL = float | timedelta | None


def memoize(
    cache: L1Cache[Any, Any],
    *,
    ttl: TTL = None,
    key: Callable[..., Any] | None = None,
    stale_ttl: TTL = None,
    error_ttl: TTL = None,
    early_refresh: float = 0.0,
) -> Callable[[Callable[P, R]], Memo[P, R]]:
    """A decorator that keeps the results of a function in `cache`.

    For functions, methods, class and static methods, and each of these as ``async def``. A hit
    costs about twice ``cache.get`` of a tuple, and for an ``async def`` makes no coroutine.

    >>> from fastmem import L1Cache, memoize
    >>> cache = L1Cache(1_000_000)
    >>> @memoize(cache, ttl=60)
    ... def square(x):
    ...     print("loading", x)
    ...     return x * x
    >>> square(3), square(x=3)
    loading 3
    (9, 9)
    >>> square.cache_info()
    CacheInfo(hits=1, misses=1, maxsize=1000000, currsize=...)
    >>> square.invalidate(3), square.invalidate(3)
    (True, False)

    **Keys.** However a call is spelled, defaults and keyword arguments included, it has one key;
    arguments are told apart by type: 1, 1.0 and True are three, in plain tuples too. What other
    objects hold (named tuples, frozensets, dataclasses) is their own ``==`` to tell apart, and 0.0
    and -0.0 are one. A function under another decorator is called as that decorator's own function
    takes it. A method's key stands for its instance without a reference to it, also under
    ``property`` and other decorators if its first parameter is called ``self``. (Assigned to a
    class that exists, a function is a method when called on an instance; called through the class,
    that instance is an argument like any other.) ``key=`` replaces all that: it is called with the
    arguments, ``self`` included, and what it returns is the key in the cache as it is, so that
    ``cache.delete`` finds it. In a TieredMemorySystem keys begin with the function's module and
    name, outlive the process (for the main program stands its file, or its ``-m`` name), and
    arguments are str, bytes, int, float, bool, None, classes and tuples of these; local functions
    and instances have no name that lasts, and need a ``key=``.

    **Deadlines.** Results live for `ttl` (seconds or timedelta; None: until they are evicted), and
    are then loaded by who asks next. With `stale_ttl` they live on for that long: whoever asks gets
    the stale one at once while one refresh runs in the background, in a thread of a small pool (the
    end of the interpreter waits for those that run) or a task. ``early_refresh=1.0`` refreshes in
    the same way shortly before the time comes, at random and earlier the longer loads take: XFetch,
    with the function's average load time for that of the result (A. Vattani, F. Chierichetti,
    K. Lowenstein: Optimal Probabilistic Cache Stampede Prevention, PVLDB 8(8), 2015); larger
    numbers refresh earlier. What a refresh raises is logged, and the stale result serves on.

    **Exceptions** reach everybody who waits, and are kept only with `error_ttl`, as copies without
    tracebacks, each with what it was raised from and the members of groups, and never in the place
    of a result that still serves. Who reads the key in the cache itself, a listener too, finds in
    their place an object whose ``error`` is the exception.

    **One load.** Of all callers that miss one key at once, in threads and in tasks of any event
    loop, one loads and the others wait. An ``async def`` is loaded in a task of its own, in a copy
    of its caller's context: a caller that is cancelled leaves the others unharmed, and the last one
    takes the task with it. When a load is interrupted otherwise, those who wait try for themselves,
    and so do, within a second, those who wait for a loop that has stopped or was closed. A load
    that needs its own key, or another load that needs it, is a RuntimeError: in its thread, and in
    the tasks and ``to_thread`` calls that it starts, which take its context along, also when it
    would not wait for them. What a thread does that was not given the context, such as one of an
    executor, is nobody's doing: a load that waits there for its own key waits for ever.

    **Invalidation** by whomever wins: once a key is put, deleted or cleared, in whatever way, a
    load or refresh that began before is not stored, and callers do not join it.

    The result has ``__wrapped__``, ``cache``, ``cache_info()`` (the function's hits and misses, the
    cache's bytes), ``cache_parameters()``, ``cache_clear()``, ``cache_key(...)`` and
    ``invalidate(...)``. A value too large for the cache is returned all the same; what else storing
    raises, such as a SerializationError, the call raises. TypeError for a generator function, a
    plain function that returns a coroutine, an unhashable argument, or an instance without weak
    references.
    """
    if not isinstance(cache, L1Cache):
        raise TypeError(f"memoize takes a cache first, not {type(cache).__name__}")
    for name, given in (("ttl", ttl), ("stale_ttl", stale_ttl), ("error_ttl", error_ttl)):
        try:
            deadline_ns(given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
    if key is not None and not callable(key):
        raise TypeError(f"key must be a function of the arguments, not {type(key).__name__}")
    if not isinstance(early_refresh, int | float):
        raise TypeError(f"early_refresh must be a number, not {type(early_refresh).__name__}")
    if not 0 <= early_refresh < math.inf:
        raise ValueError(f"early_refresh must be a number from 0, not {early_refresh!r}")
    if ttl is None and (stale_ttl is not None or early_refresh):
        raise ValueError("stale_ttl and early_refresh need a ttl")
    if stale_ttl is not None and ttl == math.inf:
        raise ValueError("what lives for ever is never stale")

    def decorate(function: Callable[P, R]) -> Memo[P, R]:
        if isinstance(function, classmethod | staticmethod):
            return type(function)(decorate(function.__func__))  # type: ignore[return-value]
        if not callable(function):
            raise TypeError(f"memoize decorates functions, not {type(function).__name__}")
        if _is(function, inspect.isgeneratorfunction) or _is(function, inspect.isasyncgenfunction):
            raise TypeError(f"{function!r} is a generator function: its results are used up once")
        calls = None if key is not None else calls_of(function, cache._takes_plain_keys())
        common: dict[str, Any] = {
            "ttl": ttl,
            "stale_ttl": stale_ttl,
            "error_ttl": error_ttl,
            "early_refresh": early_refresh,
        }
        memo: Memo[P, R]
        if isinstance(function, AsyncMemo) or _is(function, inspect.iscoroutinefunction):
            from fastmem import tasks

            memo = AsyncMemo(
                function, cache, calls, key, background=tasks.refresh, loader=tasks.load, **common
            )
            _mark_as_coroutine_function(memo)
        else:
            memo = Memo(function, cache, calls, key, background=_refresh, **common)
        functools.update_wrapper(memo, function)
        return memo

    return decorate


def _is(function: Callable[..., Any], kind: Callable[[object], bool]) -> bool:
    """Whether a function, or the ``__call__`` of an object, is of a kind; also under partial()."""
    while isinstance(function, functools.partial):
        function = function.func
    called: Any = type(function)
    return kind(function) or kind(called.__call__)


def _mark_as_coroutine_function(memo: Memo[..., Any]) -> None:
    """So that asyncio and inspect take it for what it is."""
    import asyncio.coroutines

    memo._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    if hasattr(inspect, "markcoroutinefunction"):  # from Python 3.12
        inspect.markcoroutinefunction(memo)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(thread_name_prefix="fastmem-refresh")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # its threads are the parent's


def _refresh(
    memo: Memo[..., Any], flight: Flight, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Has a flight made by a thread of the pool."""
    try:
        _pool().submit(_fly, memo, flight, args, kwargs)
    except RuntimeError:  # no thread is to be had, as when the interpreter ends
        flight.abandon()  # and the stale result serves


def _fly(
    memo: Memo[..., Any], flight: Flight, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        memo.fly(flight, args, kwargs)
    except BaseException:  # the pool would keep it to itself
        log_to.warning("could not refresh %r", flight.key, exc_info=True)
