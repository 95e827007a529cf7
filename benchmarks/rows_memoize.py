"""The rows of memoize: a call whose result is there, of a function, a method and a coroutine."""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from benchmarks import timing, workloads
from benchmarks.peers import why_no_fastmem
from benchmarks.rows import FASTEST, OURS, Bar, Field, Row, Scene
from benchmarks.timing import Absent, Job

HOT: Final = 1_000
BUDGET_BYTES: Final = 10_000_000
LRU_CACHE: Final = "functools.lru_cache"
CACHETOOLS: Final = "cachetools.cached"
ASYNC_LRU: Final = "async_lru.alru_cache"
PLAIN: Final = "dict in an async def"
DICT: Final = "dict"

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _ours() -> Decorator:
    fastmem = importlib.import_module("fastmem")
    decorator: Decorator = fastmem.memoize(fastmem.L1Cache(BUDGET_BYTES))
    return decorator


def _cachetools() -> Decorator:
    cachetools = importlib.import_module("cachetools")
    decorator: Decorator = cachetools.cached(cachetools.LRUCache(2 * HOT))
    return decorator


def _async_lru() -> Decorator:
    decorator: Decorator = importlib.import_module("async_lru").alru_cache(maxsize=2 * HOT)
    return decorator


SYNC: Final[dict[str, Callable[[], Decorator]]] = {
    OURS: _ours,
    LRU_CACHE: lambda: functools.lru_cache(maxsize=2 * HOT),
    CACHETOOLS: _cachetools,
}
ASYNC: Final[dict[str, Callable[[], Decorator]]] = {OURS: _ours, ASYNC_LRU: _async_lru}


def _why_absent(name: str) -> str | None:
    if name == OURS:
        return why_no_fastmem("memoize")
    module = name.partition(".")[0]
    return None if importlib.util.find_spec(module) else f"{module} is not installed"


def _keys(scene: Scene) -> list[str]:
    keys = workloads.user_keys(HOT)
    return workloads.take(keys, workloads.uniform(scene.scale.operations, HOT))


def _job(names: dict[str, Any], statement: str, keys: Sequence[str]) -> Job:
    loop, empty = timing.compile_loop(statement, names), timing.compile_loop("pass", names)

    def job() -> float:
        loop(keys)
        return timing.net_ns(loop, empty, keys)

    return job


def _build(scene: Scene, call: str, of: Callable[[Decorator], Any]) -> Field:
    keys = _keys(scene)
    jobs: dict[str, Job | Absent] = {
        DICT: _job({"f": dict(zip(keys, keys, strict=True)).get}, "f(k)", keys)
    }
    for name, make in SYNC.items():
        missing = _why_absent(name)
        jobs[name] = Absent(missing) if missing else _job({"f": of(make())}, call, keys)
    return jobs


def _function(decorator: Decorator) -> Any:
    return decorator(lambda x: x)


def _method(decorator: Decorator) -> Any:
    return type("Owner", (), {"method": decorator(lambda _, x: x)})()


async def _await_all(function: Callable[[str], Awaitable[Any]], keys: Sequence[str]) -> float:
    start = time.perf_counter_ns()
    for key in keys:
        await function(key)
    return float(time.perf_counter_ns() - start) / len(keys)


def _build_async(scene: Scene) -> Field:
    """In a running loop, which some of them ask for; but no hit ever comes back to it."""
    keys = _keys(scene)
    held = dict(zip(keys, keys, strict=True))
    loop = asyncio.new_event_loop()
    scene.at_end(loop.close)

    async def plain(key: str) -> str:
        return held[key]

    async def load(key: str) -> str:
        return key

    functions: dict[str, Callable[[str], Awaitable[Any]]] = {PLAIN: plain}
    jobs: dict[str, Job | Absent] = {}
    for name, make in ASYNC.items():
        missing = _why_absent(name)
        if missing:
            jobs[name] = Absent(missing)
        else:
            functions[name] = make()(load)

    def job(function: Callable[[str], Awaitable[Any]]) -> float:
        loop.run_until_complete(_await_all(function, keys))
        return loop.run_until_complete(_await_all(function, keys))

    for name, function in functions.items():
        jobs[name] = functools.partial(job, function)
    return jobs


def _row(name: str, title: str, build: Callable[[Scene], Field], reference: str) -> Row:
    return Row(
        name,
        title,
        "ns",
        "l1.memoize",
        build,
        reference,
        (Bar(1.0, FASTEST),),
        not_peers=frozenset({DICT, PLAIN}),
    )


ROWS: Final = (
    _row(
        "l1.memoize.hit",
        "memoized function, hit, 1,000 hot arguments",
        lambda scene: _build(scene, "f(k)", _function),
        LRU_CACHE,
    ),
    _row(
        "l1.memoize.method",
        "memoized method, hit; ours keeps no instance alive",
        lambda scene: _build(scene, "f.method(k)", _method),
        LRU_CACHE,
    ),
    _row(
        "l1.memoize.async",
        "memoized async def, hit, awaited",
        _build_async,
        PLAIN,
    ),
)
