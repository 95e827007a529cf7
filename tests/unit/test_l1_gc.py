"""The cyclic collector sees what the cache holds, through subclasses too, and may empty it."""

import gc
import weakref
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache


class Sub(L1Cache):
    pass


class SubSub(Sub):
    __slots__ = ("extra",)


class Node:
    cache: Any
    itself: Any


classes = pytest.mark.parametrize("make", [L1Cache, Sub, SubSub])


@classes
def test_referents_are_keys_and_values(make: type[L1Cache]) -> None:
    cache = make(100_000)
    key, value = ("k", 1), [1]
    cache[key] = value
    found = gc.get_referents(cache)
    assert any(each is key for each in found)
    assert any(each is value for each in found)
    assert gc.is_tracked(cache)


@classes
def test_a_cycle_through_a_value_is_collected(make: type[L1Cache]) -> None:
    cache, node = make(100_000), Node()
    node.cache = cache
    cache["node"] = node
    ghosts = weakref.ref(cache), weakref.ref(node)
    del cache, node
    gc.collect()
    assert [ghost() for ghost in ghosts] == [None, None]


@classes
def test_a_cycle_through_a_key_is_collected(make: type[L1Cache]) -> None:
    cache, node = make(100_000), Node()
    node.cache = cache
    cache[node] = 1
    cache[(node, "t")] = 2
    ghost = weakref.ref(node)
    del cache, node
    gc.collect()
    assert ghost() is None


def test_a_cycle_through_the_sizer_is_collected() -> None:
    class Sizer:
        cache: L1Cache

        def __call__(self, _: object) -> int:
            return 1

    sizer = Sizer()
    sizer.cache = L1Cache(100_000, sizer=sizer)
    ghost = weakref.ref(sizer)
    del sizer
    gc.collect()
    assert ghost() is None


def test_a_cache_inside_itself_is_collected() -> None:
    cache = L1Cache(100_000)
    cache["self"] = cache
    ghost = weakref.ref(cache)
    del cache
    gc.collect()
    assert ghost() is None


def test_what_the_cache_holds_is_not_collected() -> None:
    cache = L1Cache(100_000)
    node = Node()
    node.itself = node
    cache["n"] = node
    ghost = weakref.ref(node)
    del node
    gc.collect()
    assert ghost() is cache["n"]


def test_finalizers_in_a_dying_cycle_may_use_the_cache() -> None:
    seen = []

    class Uses:
        def __init__(self, cache: L1Cache) -> None:
            self.cache = cache

        def __del__(self) -> None:
            self.cache["late"] = 1
            self.cache._check()
            seen.append(len(self.cache))

    cache = L1Cache(100_000)
    cache["a"] = Uses(cache)
    cache["b"] = Uses(cache)
    del cache
    gc.collect()
    assert len(seen) == 2


def test_deallocation_drops_every_reference() -> None:
    nodes = [Node() for _ in range(100)]
    ghosts = [weakref.ref(node) for node in nodes]
    cache = L1Cache(1_000_000)
    for i, node in enumerate(nodes):
        cache[i] = node
    del nodes, node
    assert all(ghost() for ghost in ghosts)
    del cache
    assert not any(ghost() for ghost in ghosts)


def test_a_million_deep_list_can_be_put_and_dropped() -> None:
    cache = L1Cache(10**9)
    deep: list[Any] = []
    for _ in range(1_000_000):
        deep = [deep]
    cache["deep"] = deep
    assert cache.used_bytes > 50_000_000
    del deep
    cache["deep"] = None
    cache._check()


@pytest.mark.parametrize(("make", "depth"), [(L1Cache, 100_000), (Sub, 30_000)])
def test_a_deep_chain_of_caches_can_be_dropped(make: type[L1Cache], depth: int) -> None:
    chain = make(1_000)
    for _ in range(depth):
        outer = make(1_000)
        outer["inner"] = chain
        chain = outer
    del outer, chain


def test_collections_during_every_allocation_change_nothing() -> None:
    gc.set_threshold(1)
    try:
        cache = L1Cache(30_000)
        for i in range(2_000):
            cache[(i, "k")] = [i]
            cache.get((i // 2, "k"))
            if i % 7 == 0:
                cache.popitem()
        assert list(cache.values()) == [[key[0]] for key in cache]
        cache._check()
    finally:
        gc.set_threshold(700, 10, 10)
