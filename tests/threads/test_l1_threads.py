"""Threads that hammer one cache: no wrong value, no broken invariant."""

import sys
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache


@pytest.fixture
def switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Key:
    """Compared by Python code, so that threads switch inside lookups."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.number == other.number


class Value:
    """Knows its key, and uses the cache when it dies."""

    __slots__ = ("cache", "number")

    def __init__(self, cache: L1Cache, number: int) -> None:
        self.cache, self.number = cache, number

    def __del__(self) -> None:
        self.cache.peek(self.number)


def hammer(
    cache: L1Cache,
    make_key: Callable[[int], Any],
    seed: int,
    steps: int,
    failures: list[BaseException],
) -> None:
    random = Random(seed)
    try:
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
    except BaseException as error:
        failures.append(error)
        raise


@pytest.mark.parametrize("make_key", [int, Key], ids=["int", "compared by Python"])
@pytest.mark.usefixtures("switch_often")
def test_threads_hammer_one_cache(make_key: Callable[[int], Any]) -> None:
    cache = L1Cache(6_000)
    failures: list[BaseException] = []
    threads = [
        threading.Thread(target=hammer, args=(cache, make_key, seed, 4_000, failures))
        for seed in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    cache._check()
    assert cache.stats()["hits"] > 0
    cache.clear()


@pytest.mark.usefixtures("switch_often")
def test_the_last_put_of_each_thread_is_what_it_reads() -> None:
    cache, wrong = L1Cache(1_000_000), []

    def own_keys(name: str) -> None:
        for i in range(5_000):
            key = (name, i % 50)
            cache[key] = i
            if cache[key] != i:
                wrong.append((key, i))

    threads = [threading.Thread(target=own_keys, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) == 200
    cache._check()
