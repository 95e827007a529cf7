"""Threads that hammer one cache: no wrong value, no broken invariant."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from tests.crowd import Key, together


class Value:
    """Knows its key, and uses the cache when it dies."""

    __slots__ = ("cache", "number")

    def __init__(self, cache: L1Cache, number: int) -> None:
        self.cache, self.number = cache, number

    def __del__(self) -> None:
        self.cache.peek(self.number)


def hammer(cache: L1Cache, make_key: Callable[[int], Any], seed: int, steps: int) -> None:
    random = Random(seed)
    for _ in range(steps):
        number = random.randrange(60)
        key, act = make_key(number), random.random()
        if act < 0.35:
            cache.put(key, Value(cache, number), 60)
        elif act < 0.8:
            value = cache.get(key)
            assert value is None or value.number == number
        elif act < 0.9:
            value = cache.pop(key, None)
            assert value is None or value.number == number
        elif act < 0.93:
            for held, value in cache.items():
                assert getattr(held, "number", held) == value.number
        elif act < 0.95:
            cache.resize(random.randrange(2_000, 9_000))
        elif act < 0.955:
            cache.clear()
        else:
            cache._check()


@pytest.mark.parametrize("make_key", [int, Key], ids=["int", "compared by Python"])
@pytest.mark.usefixtures("eager_switches")
def test_threads_hammer_one_cache(make_key: Callable[[int], Any]) -> None:
    cache = L1Cache(6_000)
    assert together(partial(hammer, cache, make_key, seed, 4_000) for seed in range(6)) == []
    cache._check()
    assert cache.stats()["hits"] > 0
    cache.clear()


@pytest.mark.usefixtures("eager_switches")
def test_the_last_put_of_each_thread_is_what_it_reads() -> None:
    cache = L1Cache(1_000_000)

    def own_keys(name: int) -> None:
        for i in range(5_000):
            key = (name, i % 50)
            cache[key] = i
            assert cache[key] == i

    assert together(partial(own_keys, number) for number in range(4)) == []
    assert len(cache) == 200
    cache._check()
