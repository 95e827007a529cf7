"""Iterators survive everything: no crash, no error, no freed object, no key twice."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from operator import length_hint
from typing import Any, Literal

import pytest

from fastmem._core.l1 import L1Cache


@pytest.fixture
def cache() -> L1Cache:
    made = L1Cache(1_000_000)
    made.update({i: str(i) for i in range(100)})
    return made


def test_reading_while_iterating_yields_each_once(cache: L1Cache) -> None:
    seen = []
    for key in cache:
        cache.get(key)
        cache.get(99 - key)
        seen.append(key)
    assert seen == list(range(100))


def test_replacing_while_iterating_yields_the_new_values(cache: L1Cache) -> None:
    seen = {}
    for key, value in cache.items():
        seen[key] = value
        cache[99 - key] = "new"
        cache[key] = "done"
    assert sorted(seen) == list(range(100))
    assert all(seen[key] == "new" for key in range(50, 100))


def test_removed_keys_are_skipped_and_new_ones_unseen(cache: L1Cache) -> None:
    seen = []
    for key in cache:
        seen.append(key)
        cache.delete(key + 1)
        cache[f"new {key}"] = 1
    assert seen == list(range(0, 100, 2))


def test_a_key_removed_and_stored_again_is_not_yielded_twice(cache: L1Cache) -> None:
    seen = []
    for key in cache:
        seen.append(key)
        value = cache.pop(key)
        cache["other"] = 1
        cache[key] = value
    assert len(seen) == len(set(seen)) == 100


@pytest.mark.parametrize("end", ["clear", "close", "shrink"])
def test_an_iterator_ends_when_everything_goes(cache: L1Cache, end: str) -> None:
    iterator = iter(cache.items())
    assert next(iterator) == (0, "0")
    how: dict[str, Callable[[], None]] = {
        "clear": cache.clear,
        "close": cache.close,
        "shrink": partial(cache.resize, 1),
    }
    how[end]()
    assert list(iterator) == []
    assert list(iterator) == []


def test_a_refilled_cache_does_not_confuse_an_old_iterator(cache: L1Cache) -> None:
    iterator = iter(cache)
    next(iterator)
    cache.clear()
    cache.update({f"k{i}": i for i in range(500)})
    assert list(iterator) == []


def test_an_iterator_keeps_the_cache_but_not_its_entries() -> None:
    class Value:
        pass

    cache = L1Cache(1_000_000)
    cache.update({i: i for i in range(100)})
    cache["v"] = Value()
    ghost = weakref.ref(cache["v"])
    iterator = cache.values().__iter__()
    del cache["v"]
    assert ghost() is None
    watched = weakref.ref(cache)
    del cache
    assert len(list(iterator)) == 100
    assert watched() is not None
    del iterator
    gc.collect()
    assert watched() is None


def test_a_length_hint_never_undercounts(cache: L1Cache) -> None:
    iterator = iter(cache)
    assert length_hint(iterator) == 100
    next(iterator)
    assert length_hint(iterator) == 99


def test_evictions_while_iterating() -> None:
    cache = L1Cache(20_000)
    for i in range(100):
        cache[i] = i
    seen = []
    for key in cache:
        seen.append(key)
        cache[f"more {key}"] = bytes(200)
    assert seen == sorted(seen)
    cache._check()


@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_a_key_whose_larger_value_makes_others_leave_is_yielded(
    policy: Literal["lru", "s3fifo"],
) -> None:
    cache = L1Cache(100_000, policy=policy)
    for i in range(20):
        cache[i] = bytes(3_000)
    for i in range(20):
        cache.get_many([i, i])
        cache.get(i)
    iterator = iter(cache.items())
    next(iterator)
    *_, last = cache
    cache[last] = bytes(45_000)
    cache._check()
    assert len(cache) < 20
    seen = dict(iterator)
    assert seen.keys() >= set(cache)
    assert len(seen[last]) == 45_000


@pytest.mark.parametrize("of", [lambda c: c, L1Cache.keys, L1Cache.values, L1Cache.items])
def test_nothing_goes_backwards(of: Callable[[L1Cache], Any]) -> None:
    """As for any MutableMapping; without a word about it `reversed` would ask for keys 0, 1, 2."""
    cache = L1Cache(1_000_000)
    cache.update({0: "a", 1: "b"})
    with pytest.raises(TypeError, match="not reversible"):
        reversed(of(cache))
