"""No operation of `L1Cache` keeps or loses a reference: counted over 100,000 mixed ones."""

import contextlib
import gc
import random
import sys
from collections.abc import Callable
from typing import Any

from fastmem import L1Cache, ValueTooLargeError

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


def iterate(cache: L1Cache, key: Any, value: Any) -> None:
    for number, _ in enumerate(cache.items()):
        if number == 3:
            cache.delete(key)
            break
    (key, value) in cache.items()  # noqa: B015 - the comparison is the operation


STEPS: tuple[Callable[[L1Cache, Any, Any], object], ...] = (
    lambda c, k, v: c.put(k, v),
    lambda c, k, v: c.put(k, v, ttl_seconds=100),
    lambda c, k, v: c.put(k, v, ttl_seconds=1e-9),
    lambda c, k, v: c.__setitem__(k, v),
    lambda c, k, v: c.get(k),
    lambda c, k, v: c.get(k, ABSENT),
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
    iterate,
    failing,
)


def work(seed: int, operations: int) -> None:
    cache = L1Cache(8_000)
    pick = random.Random(seed)
    for _ in range(operations):
        key = pick.choice(ODD if pick.random() < 0.1 else KEYS)
        with contextlib.suppress(ValueError):
            pick.choice(STEPS)(cache, key, pick.choice(VALUES))
    cache._check()


def counts() -> list[int]:
    return [sys.getrefcount(each) for each in (*KEYS, *VALUES, *ODD, ABSENT)]


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def test_no_reference_is_kept_or_lost() -> None:
    before = counts()
    work(1, OPERATIONS)
    gc.collect()
    assert counts() == before


def test_no_block_is_kept() -> None:
    """The least growth of several rounds: free lists of the interpreter fill in some of them."""
    grown = []
    for seed in range(5):
        before = blocks()
        work(seed, OPERATIONS // 5)
        grown.append(blocks() - before)
    assert min(grown) <= 5, grown
