"""What a user sees of `policy="s3fifo"`."""

import gc
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from fastmem._core.sizing import deep_size
from fastmem.errors import ValueTooLargeError

OVERHEAD = 104
WEIGHT = OVERHEAD + deep_size(1) + 100


def cache_of(entries: int, **more: Any) -> L1Cache:
    return L1Cache(entries * WEIGHT, policy="s3fifo", sizer=lambda _: 100, **more)


def fill(cache: L1Cache, keys: Iterable[int]) -> None:
    for key in keys:
        cache[key] = key
        cache._check()


def test_a_scan_does_not_push_out_what_is_used() -> None:
    cache = cache_of(100)
    fill(cache, range(1, 51))
    for key in [*range(1, 51)] * 2:
        assert cache.get(key) == key
    fill(cache, range(1_000, 2_000))
    assert all(key in cache for key in range(1, 51))
    lru = L1Cache(100 * WEIGHT, sizer=lambda _: 124)
    fill(lru, range(1, 51))
    fill(lru, range(1_000, 2_000))
    assert not any(key in lru for key in range(1, 51))


def test_a_key_that_comes_back_soon_stays() -> None:
    cache = cache_of(100)
    fill(cache, range(1, 101))
    cache[101] = 101  # evicts 1, which is remembered
    assert 1 not in cache
    cache[1] = 1
    fill(cache, range(200, 280))
    assert 1 in cache
    assert list(cache)[-1] == 1, "the main queue comes last"


def test_iteration_goes_along_the_queues_and_using_an_entry_changes_nothing() -> None:
    cache = cache_of(10)
    fill(cache, range(1, 8))
    before = list(cache)
    for key in (3, 1, 7):
        cache.get(key)
        cache.touch(key)
    assert list(cache) == before == list(range(1, 8))


def test_neither_peek_nor_membership_nor_iteration_counts_as_a_use() -> None:
    cache = cache_of(10)
    fill(cache, range(1, 11))
    for _ in range(5):
        assert cache.peek(1) == 1
        assert 1 in cache
        list(cache.items())
    cache[11] = 11
    assert 1 not in cache


def test_touch_and_replacing_count_as_uses() -> None:
    uses: tuple[Callable[[L1Cache], object], ...] = (
        lambda c: c.touch(1),
        lambda c: c.put(1, 1),
        lambda c: c.get(1),
    )
    for use in uses:
        cache = cache_of(10)
        fill(cache, range(1, 11))
        use(cache)
        use(cache)
        cache[11] = 11
        assert 1 in cache
        assert 2 not in cache
        cache._check()


def test_popitem_takes_what_would_be_evicted_next() -> None:
    cache, other = cache_of(30), cache_of(30)
    for each in (cache, other):
        fill(each, range(1, 31))
        for key in range(1, 12):
            each.get(key)
            each.get(key)
    key, value = cache.popitem()
    assert key == value == 12
    other[31] = 31
    assert set(range(1, 31)) - set(other) == {12}
    cache._check()


def test_popitem_empties_it_and_then_raises() -> None:
    cache = cache_of(20)
    fill(cache, range(1, 21))
    for key in range(1, 21):
        for _ in range(key % 5):
            cache.get(key)
    taken = set()
    while cache:
        taken.add(cache.popitem()[0])
        cache._check()
    assert taken == set(range(1, 21))
    with pytest.raises(KeyError):
        cache.popitem()


def test_an_eviction_gives_a_bounded_number_of_second_chances() -> None:
    """However many entries were used: the 129th in line has to go."""
    cache = cache_of(2_000)
    fill(cache, range(1, 2_001))
    for _ in range(3):
        for key in range(1, 2_001):
            cache.get(key)
    cache[3_000] = 3_000
    assert len(cache) == 2_000
    assert [key for key in range(1, 2_001) if key not in cache] == [129]


def test_a_put_never_evicts_the_entry_it_stores() -> None:
    cache = L1Cache(2_000, policy="s3fifo")
    for size in (10, 1_700, 300, 1_500, 20, 1_700):
        for key in ("a", "b", "a"):
            cache[key] = bytes(size)
            assert key in cache
            assert len(cache[key]) == size
            cache._check()
    with pytest.raises(ValueTooLargeError):
        cache["a"] = bytes(2_000)
    assert "a" in cache


def test_an_entry_counts_104_bytes_of_ours() -> None:
    cache = L1Cache(10_000, policy="s3fifo")
    cache["k"] = b"v"
    assert cache.used_bytes == deep_size("k") + deep_size(b"v") + OVERHEAD


def test_the_policy_is_chosen_once() -> None:
    cache = L1Cache(10_000)
    cache["k"] = 1
    with pytest.raises(ValueError, match="policy"):
        L1Cache.__init__(cache, 10_000, policy="s3fifo")
    assert cache["k"] == 1
    cache._check()


def test_clear_and_close_forget_everything() -> None:
    cache = cache_of(50)
    fill(cache, range(1, 200))
    cache.get(199)
    cache.clear()
    cache._check()
    assert list(cache) == []
    fill(cache, range(1, 60))
    assert list(cache)[-1] == 59, "1 to 9 were evicted before clear, and are new again"
    cache.close()
    cache._check()


def test_expired_entries_leave_both_queues() -> None:
    cache = cache_of(40)
    fill(cache, range(1, 60))
    fill(cache, range(1, 10))  # remembered: into the main queue
    for key in [*cache][::2]:
        cache._set_deadline(key, 1)
    gone = cache.expire()
    assert gone > 0
    cache._check()
    assert len(cache) == 40 - gone


def test_a_cycle_through_it_is_collected() -> None:
    class Holder:
        cache: L1Cache

    cache, holder = cache_of(5), Holder()
    holder.cache = cache
    cache[1] = holder
    died = weakref.ref(holder)
    del cache, holder
    gc.collect()
    assert died() is None


def test_large_ones_grow_and_shrink() -> None:
    cache = cache_of(20_000)
    for key in range(1, 60_000):
        cache[key] = key
        if key % 3 == 0:
            cache.get(key // 2)
    cache._check()
    cache.resize(1_000 * WEIGHT)
    cache._check()
    assert len(cache) <= 1_000
    cache.resize(30_000 * WEIGHT)
    for key in range(40_000, 90_000):
        cache[key] = key
    cache._check()
    cache.clear()
    assert cache._arena_bytes() < 10_000


def test_what_is_dropped_in_an_eviction_may_use_the_cache() -> None:
    cache = cache_of(60)

    class Busy:
        def __init__(self, key: Any) -> None:
            self.key = key

        def __del__(self) -> None:
            cache._check()
            cache.get(self.key + 1)
            if self.key % 3 == 0:
                cache[self.key + 100_000] = None
            cache.delete(self.key + 5)
            cache._check()

    for key in range(1, 1_000):
        cache[key] = Busy(key)
    cache._check()
    cache.clear()
    cache._check()
