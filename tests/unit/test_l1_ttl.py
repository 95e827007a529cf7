"""Deadlines: absolute, invisible afterwards, counted when noticed."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import pytest

from fastmem._core.l1 import L1Cache

PAST = 1


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(100_000)


def expired(cache: L1Cache, *keys: Any) -> None:
    for key in keys:
        cache._set_deadline(key, PAST)


@pytest.mark.parametrize(
    "read",
    [
        lambda c: c.get("k"),
        lambda c: c.peek("k"),
        lambda c: c.pop("k", None),
        lambda c: "k" in c or None,
        lambda c: c.delete("k") or None,
        lambda c: c.touch("k") or None,
    ],
)
def test_an_expired_entry_is_a_miss_and_is_dropped(
    cache: L1Cache, read: Callable[[L1Cache], object]
) -> None:
    cache.put("k", "v", 60)
    expired(cache, "k")
    assert len(cache) == 1  # counted until noticed
    assert read(cache) is None
    assert len(cache) == 0
    assert cache.used_bytes == 0
    assert cache.stats()["expirations"] == 1
    cache._check()


def test_an_expired_entry_is_a_key_error(cache: L1Cache) -> None:
    cache.put("k", "v", 60)
    expired(cache, "k")
    with pytest.raises(KeyError):
        cache["k"]
    assert cache.stats()["misses"] == 1


def test_popitem_and_iteration_pass_over_expired_entries(cache: L1Cache) -> None:
    for key in "abcd":
        cache.put(key, key, 60)
    expired(cache, "a", "c")
    assert list(cache) == ["b", "d"]
    assert len(cache) == 4
    assert cache.popitem() == ("b", "b")
    assert cache.expire() == 1
    assert list(cache) == ["d"]
    assert cache.stats()["expirations"] == 2


def test_real_time_passes(cache: L1Cache) -> None:
    """Waits on the clock itself; nothing here depends on how fast that is."""
    cache.put("k", "v", 0.02)
    cache.put("stays", "v", 1000)
    deadline = time.clock_gettime(time.CLOCK_BOOTTIME) + 0.02
    while "k" in cache:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert now < deadline + 5, "still visible five seconds after its deadline"
    assert time.clock_gettime(time.CLOCK_BOOTTIME) >= deadline - 0.001
    assert "stays" in cache


def test_a_put_without_ttl_removes_the_deadline(cache: L1Cache) -> None:
    cache.put("k", 1, 60)
    cache.put("k", 2)
    assert cache.expire() == 0
    cache.put("k", 3, 60)
    expired(cache, "k")
    cache.put("k", 4, 60)
    assert cache["k"] == 4


def test_touch_sets_a_new_deadline_or_keeps_the_old(cache: L1Cache) -> None:
    cache.put("k", 1, 1e-9)
    cache.put("j", 1, 3600)
    cache.put("i", 1)
    cache._set_deadline("k", 2**62)
    assert cache.touch("k", 3600)
    assert cache.touch("j", float("inf"))
    assert cache.touch("i", 1e-9)
    while "i" in cache:
        pass
    assert cache.touch("k")
    assert "k" in cache
    assert "j" in cache
    expired(cache, "k")
    assert not cache.touch("k", 60)


@pytest.mark.parametrize(
    "ttl", [0, -1, 0.0, -0.5, float("nan"), float("-inf"), timedelta(0), timedelta(-1), -(10**30)]
)
def test_no_time_or_less_is_a_value_error(cache: L1Cache, ttl: Any) -> None:
    cache["k"] = "old"
    for use in (cache.put, lambda k, _, t: cache.touch(k, t)):
        with pytest.raises(ValueError, match="ttl_seconds"):
            use("k", "new", ttl)
    assert cache["k"] == "old"


@pytest.mark.parametrize("ttl", [True, False, "60", b"1", [], Decimal(1), Fraction(1, 2), 1j])
def test_what_is_not_a_time_is_a_type_error(cache: L1Cache, ttl: Any) -> None:
    with pytest.raises(TypeError, match="ttl_seconds"):
        cache.put("k", "v", ttl)
    assert "k" not in cache


@pytest.mark.parametrize(
    "ttl", [None, float("inf"), 1e30, 10**30, 2**63, timedelta.max, 9.3e9, 9_300_000_000]
)
def test_for_ever_is_for_ever(cache: L1Cache, ttl: Any) -> None:
    cache.put("k", "v", ttl)
    assert cache._deadline("k") == 0
    assert cache["k"] == "v"


@pytest.mark.parametrize(
    ("ttl", "nanoseconds"),
    [
        (1e-300, 1),
        (60, 60 * 10**9),
        (0.5, 5 * 10**8),
        (timedelta(microseconds=1), 1_000),
        (timedelta(days=36500), 36500 * 86400 * 10**9),
    ],
)
def test_a_deadline_is_that_long_after_the_put(cache: L1Cache, ttl: Any, nanoseconds: int) -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    cache.put("k", "v", ttl)
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before + nanoseconds <= cache._deadline("k") <= after + nanoseconds


def test_numpy_numbers_are_numbers(cache: L1Cache) -> None:
    import numpy

    cache.put("k", "v", numpy.float64(60))
    cache.put("k", "v", numpy.int32(60))  # type: ignore[arg-type]
    assert cache["k"] == "v"
    with pytest.raises(TypeError):
        cache.put("k", "v", numpy.bool_(True))  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_an_expired_entry_that_makes_room_left_as_expired(
    policy: Literal["lru", "s3fifo"],
) -> None:
    cache, told = L1Cache(1_000, policy=policy), []
    cache.add_listener(lambda *event: told.append(event))
    cache.put("old", "x", 60)
    cache.put("live", "y", 60)
    expired(cache, "old")
    cache["new"] = bytes(700)
    assert told == [("old", "x", "expired"), ("live", "y", "size")]
    assert cache.stats()["expirations"] == 1
    assert cache.stats()["evictions"] == {"size": 1}
