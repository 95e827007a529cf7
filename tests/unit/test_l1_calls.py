"""`get` has a calling convention of its own: it must answer as any method of Python would."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache

ABSENT = object()


@pytest.fixture
def cache() -> L1Cache:
    cache = L1Cache(100_000)
    cache["a"] = 1
    return cache


class Inherits(L1Cache):
    """Calls reach it through `super` and through the type."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key, default)


@pytest.mark.parametrize("make", [L1Cache, Inherits])
def test_get_takes_its_arguments_in_every_form(make: type[L1Cache]) -> None:
    cache = make(100_000)
    cache["a"] = 1
    assert cache.get("a") == 1
    assert cache.get("a", ABSENT) == 1
    assert cache.get(key="a") == 1
    assert cache.get("a", default=ABSENT) == 1
    assert cache.get(default=ABSENT, key="b") is ABSENT
    assert cache.get("b") is None
    assert cache.get("b", ABSENT) is ABSENT
    assert cache.get(*("b", ABSENT)) is ABSENT
    assert make.get(cache, "a") == 1
    assert L1Cache.get(cache, "a") == 1


@pytest.mark.parametrize(
    "arguments", [((), {}), (("a", 1, 2), {}), (("a",), {"other": 1}), (("a",), {"key": "a"})]
)
def test_get_refuses_other_arguments(cache: L1Cache, arguments: Any) -> None:
    with pytest.raises(TypeError):
        cache.get(*arguments[0], **arguments[1])
    with pytest.raises(TypeError):
        L1Cache.get()  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        L1Cache.get({}, "a")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "key", ["text", "ünï", "日本", b"bytes", 7, -1, 2**70, -(2**70), (1, "a"), None, 0.5, ""]
)
def test_an_equal_key_that_is_another_object_hits(key: Any) -> None:
    again: dict[type, Callable[[], Any]] = {
        str: lambda: "".join(list(key)),
        bytes: lambda: bytes(bytearray(key)),
        int: lambda: int(str(key)),
        tuple: lambda: (*key[:1], *key[1:]),
        float: lambda: float(str(key)),
    }
    made_again = again.get(type(key), lambda: key)()
    cache = L1Cache(100_000)
    cache[key] = ABSENT
    assert cache.get(made_again) is ABSENT
    assert cache[made_again] is ABSENT
    assert cache.get(key) is ABSENT
    assert cache.stats()["hits"] == 3


class Word(str):
    """Equal to a str, and yet not exactly one."""

    __slots__ = ()


def test_a_subclass_of_str_finds_what_a_str_put_and_the_reverse(cache: L1Cache) -> None:
    assert cache.get(Word("a")) == 1
    cache[Word("b")] = 2
    assert cache.get("b") == 2
    assert cache["b"] == 2


class Raises:
    def __hash__(self) -> int:
        raise ArithmeticError


def test_what_a_hash_raises_comes_out(cache: L1Cache) -> None:
    for call in (lambda: cache.get(Raises()), lambda: cache.get(Raises(), 1), lambda: cache[[]]):
        with pytest.raises((ArithmeticError, TypeError)):
            call()
    with pytest.raises(TypeError, match="unhashable"):
        cache.get([])


def test_a_call_of_get_keeps_no_reference(cache: L1Cache) -> None:
    key, value, default = f"key {object()}", ["value"], ["default"]
    cache[key] = value
    objects = (key, value, default, "absent key")
    before = [sys.getrefcount(one) for one in objects]
    for _ in range(100):
        cache.get(key)
        cache.get(key, default)
        cache.get("absent key", default)
        cache.get("absent key")
        cache.get(key=key)
        cache[key]
        cache.touch(key, 60)
        cache.get(key)
        cache.touch(key, float("inf"))
    assert [sys.getrefcount(one) for one in objects] == before


def test_an_expired_entry_is_a_miss_for_get_and_for_a_subscript(cache: L1Cache) -> None:
    cache.put("a", 1, 60)
    assert cache.get("a", ABSENT) == 1
    cache._set_deadline("a", 1)
    assert cache.get("a", ABSENT) is ABSENT
    cache.put("a", 1, 60)
    assert cache["a"] == 1
    cache._set_deadline("a", 1)
    with pytest.raises(KeyError):
        cache["a"]
    assert cache.stats()["expirations"] == 2
    cache._check()


def test_replacing_in_place_lets_go_of_the_old_key_and_value() -> None:
    cache = L1Cache(100_000)
    old_key, old_value = tuple(["k", 1]), ["old"]  # noqa: C409 - a literal would be one object
    new_key, new_value = tuple(["k", 1]), ["new"]  # noqa: C409
    cache[old_key] = old_value
    before = sys.getrefcount(old_key), sys.getrefcount(old_value)
    cache.put(new_key, new_value, 60)
    assert (sys.getrefcount(old_key), sys.getrefcount(old_value)) == (before[0] - 1, before[1] - 1)
    assert next(iter(cache)) is new_key
    assert cache[old_key] is new_value
    cache._check()


def test_what_a_replaced_value_does_at_its_end_finds_the_cache_whole() -> None:
    cache = L1Cache(10_000)
    seen = []

    class Last:
        def __del__(self) -> None:
            cache._check()
            seen.append(cache.get("k"))
            cache["k"] = "from within"

    cache["k"] = Last()
    cache["k"] = "next"
    assert seen == ["next"]
    assert cache["k"] == "from within"
    cache._check()
