"""No operation of `L1Cache` keeps or loses a reference: counted over 100,000 mixed ones."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
from collections.abc import Callable
from typing import Any, Literal

import pytest

from fastmem import L1Cache, ValueTooLargeError, memoize

Policy = Literal["lru", "s3fifo"]

OPERATIONS = 100_000
KEYS = (
    [f"key {n}" for n in range(40)]
    + [n * 1009 for n in range(1, 21)]
    + [(n, "t") for n in range(20)]
)
VALUES = [[n, f"value {n}"] for n in range(30)]
ABSENT = object()


class Odd:
    """Hash and equality in Python; now and then a failing one."""

    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return self.name % 5

    def __eq__(self, other: object) -> bool:
        if self.name == 13:
            raise ValueError("unequal to everything")
        return self is other


COUNTS_BLOCKS = pytest.mark.skipif(
    sys.getallocatedblocks() == 0, reason="PYTHONMALLOC=malloc: nobody counts blocks"
)
ODD = [Odd(n) for n in range(15)]


def failing(cache: L1Cache, key: Any, value: Any) -> None:
    with contextlib.suppress(ValueError):
        cache.put(key, value, ttl_seconds=-1)
    with contextlib.suppress(TypeError):
        cache.put([], value)
    with contextlib.suppress(ValueTooLargeError):
        cache.put(key, bytes(20_000))
    with contextlib.suppress(KeyError):
        cache["never"]
    with contextlib.suppress(TypeError):
        cache.incr(key, delta=value)
    with contextlib.suppress(KeyError):
        cache.incr("never", initial=None)
    with contextlib.suppress(TypeError):
        cache.put_many([(key, value), ([], value)])
    with contextlib.suppress(ValueTooLargeError):
        cache.put_many({key: value, "large": bytes(20_000)})
    with contextlib.suppress(ValueTooLargeError):
        cache.compare_and_set(key, cache.peek(key), bytes(20_000))


def iterate(cache: L1Cache, key: Any, value: Any) -> None:
    for number, _ in enumerate(cache.items()):
        if number == 3:
            cache.delete(key)
            break
    (key, value) in cache.items()  # noqa: B015 - the comparison is the operation


def listen(cache: L1Cache, key: Any, value: Any) -> None:
    def on_evict(*event: Any) -> None:
        told.append(event)

    told: list[Any] = []
    cache.add_listener(on_evict)
    cache.put(key, value)
    cache.delete(key)
    cache.remove_listener(on_evict)


class Dying:
    """A size and a destructor that use the cache while it works for them."""

    def __init__(self, cache: L1Cache, value: Any) -> None:
        self.cache, self.value = cache, value

    def __del__(self) -> None:
        if not self.cache.closed:
            self.cache.peek("inner")

    def __sizeof__(self) -> int:
        self.cache.put("inner", self.value)
        return 40


def nested(cache: L1Cache, key: Any, value: Any) -> None:
    cache.put("outer", Dying(cache, value))
    cache.compare_and_set("outer", cache.peek("outer"), value)


def memoized(cache: L1Cache, key: Any, value: Any) -> None:
    @memoize(cache, ttl=50)
    def load(*arguments: Any) -> Any:
        if arguments[0] == KEYS[0]:
            raise KeyError(arguments)
        return value

    for _ in range(2):
        with contextlib.suppress(KeyError):
            load(key, 1)
    load.cache_clear()


Step = Callable[[L1Cache, Any, Any], object]
STEPS: tuple[Step, ...] = (
    lambda c, k, v: c.put(k, v),
    lambda c, k, v: c.put(k, v, ttl_seconds=100),
    lambda c, k, v: c.put(k, v, ttl_seconds=1e-9),
    lambda c, k, v: c.__setitem__(k, v),
    lambda c, k, v: c.get(k),
    lambda c, k, v: c.get(k, ABSENT),
    lambda c, k, v: c.get(key=k, default=v),
    lambda c, k, v: c.peek(k, v),
    lambda c, k, v: k in c,
    lambda c, k, v: c.delete(k),
    lambda c, k, v: c.pop(k, ABSENT),
    lambda c, k, v: c.setdefault(k, v),
    lambda c, k, v: c.touch(k, 50),
    lambda c, k, v: c.update({k: v}),
    lambda c, k, v: c.popitem() if c else None,
    lambda c, k, v: c.resize(6_000 if k in c else 9_000),
    lambda c, k, v: c.expire(),
    lambda c, k, v: c.stats(),
    lambda c, k, v: c.add(k, v),
    lambda c, k, v: c.add(k, v, ttl_seconds=100),
    lambda c, k, v: c.put(k, 1000) if k in c else None,
    lambda c, k, v: c.incr("count", 10**9, ttl_seconds=100),
    lambda c, k, v: c.compare_and_set(k, v, VALUES[0]),
    lambda c, k, v: c.compare_and_set(k, c.peek(k, v), v, ttl_seconds=50),
    lambda c, k, v: c.get_many([k, *KEYS[:5]]),
    lambda c, k, v: c.put_many([(k, v), *zip(KEYS[:5], VALUES, strict=False)], 50),
    lambda c, k, v: c.delete_many([k, *KEYS[:3]]),
    lambda c, k, v: c.clear() if k is KEYS[0] else None,
    lambda c, k, v: (repr(c), c.used_bytes, c.keys() & {k}, v in c.values()),
    iterate,
    failing,
    listen,
    nested,
    memoized,
)


def work(seed: int, operations: int, policy: Policy) -> None:
    cache = L1Cache(8_000, policy=policy)
    pick = random.Random(seed)
    for _ in range(operations):
        key = pick.choice(ODD if pick.random() < 0.1 else KEYS)
        with contextlib.suppress(ValueError):
            pick.choice(STEPS)(cache, key, pick.choice(VALUES))
    cache._check()
    cache.close()


def counts() -> list[int]:
    return [sys.getrefcount(each) for each in (*KEYS, *VALUES, *ODD, ABSENT)]


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


@pytest.fixture(params=["lru", "s3fifo"])
def policy(request: pytest.FixtureRequest) -> Policy:
    """Every step once first: what it imports and fills for ever is there then."""
    for number, step in enumerate(STEPS):
        with contextlib.suppress(ValueError):
            step(L1Cache(8_000), KEYS[number], VALUES[0])
    gc.collect()
    chosen: Policy = request.param
    return chosen


def test_no_reference_is_kept_or_lost(policy: Policy) -> None:
    before = counts()
    work(1, OPERATIONS, policy)
    gc.collect()
    assert counts() == before


@COUNTS_BLOCKS
def test_no_block_is_kept(policy: Policy) -> None:
    """The least growth of several rounds: free lists of the interpreter fill in some of them."""
    grown = []
    for seed in range(5):
        before = blocks()
        work(seed, OPERATIONS // 5, policy)
        grown.append(blocks() - before)
    assert min(grown) <= 5, grown


@COUNTS_BLOCKS
def test_one_reference_that_is_kept_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def keep(cache: L1Cache, key: Any, value: Any) -> None:
        kept.append((key, [value]))

    monkeypatch.setitem(globals(), "STEPS", (*STEPS, keep))
    references, used = counts(), blocks()
    work(1, 2_000, "lru")
    assert blocks() - used > len(kept) > 0
    assert sum(counts()) - sum(references) == 2 * len(kept)
