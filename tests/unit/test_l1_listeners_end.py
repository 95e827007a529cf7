"""What listeners change themselves is told to an end that nobody waits for."""

from __future__ import annotations

from typing import Any

import pytest

from fastmem._core.l1 import L1Cache

AHEAD = 64  # events beyond its own that a call tells
LIMIT = 1_000


def returned(cache: L1Cache, told: list[Any]) -> None:
    """A listener that changes the cache for every event it hears."""

    @cache.add_listener
    def second_chance(key: Any, value: Any, cause: str) -> None:
        told.append(key)
        if cause == "size" and len(told) < LIMIT and not cache.closed:
            cache[key] = value


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
def cache(told: list[Any]) -> L1Cache:
    """Full, so that from the next put on every event makes another."""
    made = L1Cache(3_000)
    key = 0
    while made.used_bytes + 300 < made.budget_bytes:
        made[key] = bytes(100)
        key += 1
    returned(made, told)
    return made


def test_a_put_ends_though_its_listener_puts_back_what_it_evicts(
    cache: L1Cache, told: list[Any]
) -> None:
    cache["new"] = bytes(200)
    assert AHEAD <= len(told) <= AHEAD + 4
    assert cache.stats()["untold"]["entries"] > 0
    cache._check()


def test_later_calls_tell_the_rest_in_order(cache: L1Cache, told: list[Any]) -> None:
    cache["new"] = bytes(200)
    before = len(told)
    cache["new"] = bytes(200)
    assert before < len(told) <= before + AHEAD + 4
    before = len(told)
    cache.expire()  # changes nothing itself
    assert before < len(told) <= before + 2 * AHEAD + 4


def test_a_call_tells_everything_of_its_own_whatever_listeners_change() -> None:
    cache, told = L1Cache(10_000_000), []
    cache.update((i, i) for i in range(10 * AHEAD))

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        told.append(key)
        cache["n"] = len(told)

    cache.clear()
    assert told[: 10 * AHEAD] == list(range(10 * AHEAD))


def test_close_tells_everything(cache: L1Cache, told: list[Any]) -> None:
    heard = []
    cache["new"] = bytes(200)
    assert cache.stats()["untold"]["entries"] > 0
    cache.add_listener(lambda key, *_: heard.append(key))
    cache.close()
    assert "new" in heard
    cache._check()


def test_nothing_waits_for_listeners_that_were_taken_back() -> None:
    cache = L1Cache(3_000)
    cache["a"] = 0

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        cache["a"] = value + 1

    cache["a"] = 1
    assert cache.stats()["untold"]["entries"] == 1
    cache.remove_listener(on_evict)
    assert cache.stats()["untold"] == {"entries": 0, "bytes": 0}
