"""A load that finishes after its key was changed never brings the old value back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from fastmem._core.flights import Flight


@pytest.fixture
def cache() -> Any:
    return L1Cache(20_000)


INVALIDATIONS: dict[str, Callable[[Any, L1Cache, Any], object]] = {
    "invalidate": lambda memo, cache, key: memo.invalidate(1),
    "cache_clear": lambda memo, cache, key: memo.cache_clear(),
    "delete": lambda memo, cache, key: cache.delete(key),
    "pop": lambda memo, cache, key: cache.pop(key, None),
    "delete_many": lambda memo, cache, key: cache.delete_many([key]),
    "clear": lambda memo, cache, key: cache.clear(),
    "put": lambda memo, cache, key: cache.put(key, "put"),
    "item": lambda memo, cache, key: cache.__setitem__(key, "put"),
    "put_many": lambda memo, cache, key: cache.put_many({key: "put"}),
    "update": lambda memo, cache, key: cache.update({key: "put"}),
    "add": lambda memo, cache, key: cache.add(key, "put"),
    "setdefault": lambda memo, cache, key: cache.setdefault(key, "put"),
    "put, then deleted": lambda memo, cache, key: (cache.put(key, 1), cache.delete(key)),
    "put, then evicted": lambda memo, cache, key: (
        cache.put(key, 1),
        cache.resize(1),
        cache.resize(20_000),
    ),
    "incr": lambda memo, cache, key: cache.incr(key),
}


@pytest.mark.parametrize("name", INVALIDATIONS)
def test_a_load_is_not_stored_after_a_change_of_its_key(cache: L1Cache, name: str) -> None:
    @memoize(cache)
    def memo(x: Any) -> Any:
        INVALIDATIONS[name](memo, cache, memo.cache_key(x))
        return "old"

    assert memo(1) == "old"  # the caller asked before
    assert cache.peek(memo.cache_key(1)) in (None, "put", 1)


REPLACEMENTS: dict[str, Callable[[L1Cache, Any], object]] = {
    "put": lambda cache, key: cache.put(key, "new"),
    "compare_and_set": lambda cache, key: cache.compare_and_set(key, "stale", "new"),
    "delete": lambda cache, key: cache.delete(key),
    "del": lambda cache, key: cache.__delitem__(key),
    "pop": lambda cache, key: cache.pop(key),
    "popitem": lambda cache, key: cache.popitem(),
    "clear": lambda cache, key: cache.clear(),
}


@pytest.mark.parametrize("name", REPLACEMENTS)
def test_a_refresh_is_not_stored_after_a_change_of_its_key(cache: L1Cache, name: str) -> None:
    cache["key"] = "stale"
    lease = held_lease(cache, "key")
    REPLACEMENTS[name](cache, "key")
    assert not lease.held
    assert cache._fill(lease, "old") is False
    assert cache.peek("key") in (None, "new")


UNCHANGING: dict[str, Callable[[L1Cache], object]] = {
    "get": lambda cache: cache.get("key"),
    "peek": lambda cache: cache.peek("key"),
    "touch": lambda cache: cache.touch("key", 60),
    "another put": lambda cache: cache.put("other", 1),
    "another delete": lambda cache: cache.delete("other"),
    "expiry": lambda cache: (cache._set_deadline("key", 1), cache.expire()),
    "eviction": lambda cache: (cache.resize(1), cache.resize(20_000)),
    "add": lambda cache: cache.add("key", 1),
    "compare_and_set": lambda cache: cache.compare_and_set("key", 5, 6),
    "put too large": lambda cache: put_too_large(cache),
}


def put_too_large(cache: L1Cache) -> None:
    with pytest.raises(ValueError):
        cache.put("key", bytes(20_000))


@pytest.mark.parametrize("name", UNCHANGING)
def test_what_changes_no_value_voids_nothing(cache: L1Cache, name: str) -> None:
    cache["key"] = "stale"
    lease = held_lease(cache, "key")
    UNCHANGING[name](cache)
    assert lease.held
    assert cache._fill(lease, "loaded", 60) is True
    assert cache["key"] == "loaded"
    assert not lease.held
    assert cache._fill(lease, "again") is False


def held_lease(cache: L1Cache, key: Any) -> Any:
    """A lease as a load takes it."""
    memo = memoize(cache, key=lambda: key)(lambda: None)
    lease = Flight(key)
    assert memo.enter(lease) is lease
    assert lease.held
    return lease


def test_a_change_in_the_middle_of_the_fill_wins(cache: L1Cache) -> None:
    class Sizer:
        def __call__(self, value: Any) -> Any:
            if value == "old":
                sized.delete("key")
            return 10

    sized = L1Cache(20_000, sizer=Sizer())
    lease = held_lease(sized, "key")
    assert sized._fill(lease, "old") is False
    assert "key" not in sized


def test_callers_after_a_change_do_not_join_a_load_from_before(cache: L1Cache) -> None:
    seen: list[Any] = []

    @memoize(cache)
    def memo(x: Any) -> Any:
        seen.append(len(seen))
        if len(seen) == 1:
            memo.invalidate(x)
            seen.append(memo(x))  # a load of its own: it neither waits nor is an error
        return seen[0] if len(seen) == 3 else "new"

    assert memo(1) == 0
    assert memo(1) == "new"
    assert memo.cache_info()[:2] == (1, 2)


class Collides:
    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Collides) and self.name == other.name


def test_keys_of_one_hash_are_loaded_apart(cache: L1Cache) -> None:
    calls = []

    @memoize(cache, key=Collides)
    def memo(name: str) -> Any:
        calls.append(name)
        if len(name) < 5:
            memo(name + "x")
        return name

    assert memo("") == ""
    assert calls == ["", "x", "xx", "xxx", "xxxx", "xxxxx"]
    assert memo("xxx") == "xxx"  # loads within loads voided those around them, and no more
    cache._check()


def test_no_lease_is_left_when_all_has_come_down(cache: L1Cache) -> None:
    import gc

    @memoize(cache)
    def memo(x: Any) -> Any:
        if x % 3 == 0:
            raise ValueError
        return x

    def flights() -> Any:
        gc.collect()
        return sum(type(one) is Flight for one in gc.get_objects())

    before = flights()
    for x in range(100):
        try:
            memo(x)
        except ValueError:
            assert x % 3 == 0
    assert flights() == before


def test_a_forgotten_cache_with_loads_in_the_air_is_collected() -> None:
    import gc
    import weakref

    class Cache(L1Cache):
        pass

    cache = Cache(20_000)
    lease = held_lease(cache, "key")
    dead = weakref.ref(cache)
    del cache
    gc.collect()
    assert dead() is None
    lease.abandon()
