"""The byte budget: what counts, what leaves, what is refused."""

from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from fastmem._core.sizing import deep_size
from fastmem.errors import ValueTooLargeError

OVERHEAD = 80


def size(key: object, value: object) -> int:
    return deep_size(key) + deep_size(value) + OVERHEAD


def test_used_bytes_is_the_sum_of_keys_values_and_overhead() -> None:
    cache = L1Cache(100_000)
    entries = {"a": [1, 2, 3], ("b", 2): {"x": b"y" * 100}, 3: None}
    cache.update(entries)
    assert cache.used_bytes == sum(size(k, v) for k, v in entries.items())
    cache["a"] = None
    entries["a"] = None
    assert cache.used_bytes == sum(size(k, v) for k, v in entries.items())


def test_least_recent_entries_leave_and_no_more_than_needed() -> None:
    one = size("k0", b"x" * 1000)
    cache = L1Cache(one * 5)
    for i in range(5):
        cache[f"k{i}"] = b"x" * 1000
    assert len(cache) == 5
    cache.get("k0")
    cache["k5"] = b"x" * 1000
    assert list(cache) == ["k2", "k3", "k4", "k0", "k5"]
    cache["k6"] = b"x" * 2500
    assert list(cache) == ["k0", "k5", "k6"]
    assert cache.stats()["evictions"] == {"size": 4}


def test_replacing_by_a_larger_value_evicts_others_not_itself() -> None:
    cache = L1Cache(size("k0", b"x" * 1000) * 4)
    for i in range(4):
        cache[f"k{i}"] = b"x" * 1000
    cache["k0"] = b"x" * 3500
    assert list(cache) == ["k0"]
    assert cache["k0"] == b"x" * 3500
    cache._check()


def test_a_value_larger_than_the_budget_changes_nothing() -> None:
    cache = L1Cache(2_000)
    cache["a"] = "old"
    cache["b"] = 1
    for key in ("a", "new"):
        with pytest.raises(ValueTooLargeError) as raised:
            cache[key] = b"x" * 2_000
        assert raised.value.size == size(key, b"x" * 2_000)
        assert raised.value.limit == 2_000
    assert list(cache.items()) == [("a", "old"), ("b", 1)]
    assert cache.stats()["errors"] == {"listener": 0, "sizer": 0, "too_large": 2}


def test_an_entry_may_fill_the_budget_exactly() -> None:
    cache = L1Cache(size("k", b"x" * 100))
    cache["k"] = b"x" * 100
    assert cache.used_bytes == cache.budget_bytes
    with pytest.raises(ValueTooLargeError):
        cache["k"] = b"x" * 108


def test_resize_evicts_to_the_new_budget_and_grows_again() -> None:
    cache = L1Cache(1_000_000)
    for i in range(1000):
        cache[i] = b"x" * 100
    cache.resize(cache.used_bytes // 2)
    assert len(cache) == 500
    assert next(iter(cache)) == 500
    cache._check()
    cache.resize(1_000_000)
    cache[0] = 1
    assert len(cache) == 501
    for bad in (0, -5):
        with pytest.raises(ValueError):
            cache.resize(bad)
    with pytest.raises(TypeError):
        cache.resize("1")  # type: ignore[arg-type]
    assert cache.budget_bytes == 1_000_000


def test_a_sizer_replaces_the_deep_size_of_values() -> None:
    cache = L1Cache(100_000, sizer=lambda value: len(value) * 10)
    cache["k"] = b"x" * 100
    assert cache.used_bytes == deep_size("k") + 1000 + OVERHEAD


@pytest.mark.parametrize(
    ("garbage", "error"),
    [
        (lambda _: -1, ValueError),
        (lambda _: 1.5, TypeError),
        (lambda _: None, TypeError),
        (lambda _: True, TypeError),
        (lambda _: "1", TypeError),
        (lambda _: 2**200, ValueTooLargeError),
        (lambda _: 1 // 0, ZeroDivisionError),
    ],
)
def test_a_sizer_that_fails_changes_nothing(garbage: Any, error: type[BaseException]) -> None:
    calls = []

    def sizer(value: Any) -> Any:
        calls.append(value)
        return garbage(value) if value == "bad" else 1

    cache = L1Cache(1_000, sizer=sizer)
    cache["a"] = "good"
    before = cache.used_bytes
    for key in ("a", "b"):
        with pytest.raises(error):
            cache[key] = "bad"
    assert calls == ["good", "bad", "bad"]
    assert list(cache.items()) == [("a", "good")]
    assert cache.used_bytes == before
    errors = cache.stats()["errors"]
    assert errors["sizer"] + errors["too_large"] == 2
    cache._check()


def test_clear_gives_the_arena_back() -> None:
    cache = L1Cache(10**9)
    for i in range(50_000):
        cache[i] = None
    big = cache._arena_bytes()
    cache.clear()
    assert cache._arena_bytes() < big // 100
    cache["a"] = 1
    cache._check()
