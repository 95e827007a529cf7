"""Which calls of a memoized function are one call."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

from fastmem import L1Cache, memoize


@pytest.fixture
def cache() -> Any:
    return L1Cache(1_000_000)


def counting(cache: L1Cache, function: Any, **options: Any) -> Any:
    calls: list[Any] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append((args, kwargs))
        return function(*args, **kwargs)

    return memoize(cache, **options)(counted), calls


def f(a: Any, b: Any = 2, /, c: Any = 3, *, d: Any = 4) -> Any:
    return a, b, c, d


def g(a: Any, *more: Any, k: Any = None, **rest: Any) -> Any:
    return a, more, k, rest


@pytest.mark.parametrize(
    ("function", "spellings"),
    [
        (f, [((1,), {}), ((1, 2), {}), ((1, 2, 3), {}), ((1,), {"c": 3, "d": 4})]),
        (g, [((1,), {}), ((), {"a": 1}), ((1,), {"k": None})]),
        (g, [((1,), {"x": 1, "y": 2}), ((1,), {"y": 2, "x": 1}), ((), {"y": 2, "a": 1, "x": 1})]),
        (g, [((1, 2, 3), {"k": 5}), ((1, 2, 3), {"k": 5})]),
    ],
)
def test_all_spellings_of_a_call_are_one(cache: L1Cache, function: Any, spellings: Any) -> None:
    memo = memoize(cache)(function)
    results = [memo(*args, **kwargs) for args, kwargs in spellings]
    assert results == [function(*spellings[0][0], **spellings[0][1])] * len(spellings)
    assert memo.cache_info().misses == 1
    assert len({memo.cache_key(*args, **kwargs) for args, kwargs in spellings}) == 1


DIFFERENT = [
    1,
    1.0,
    True,
    "1",
    b"1",
    None,
    (1,),
    (1.0,),
    (True,),
    ((1,),),
    (int, 1),
    int,
    2,
    "",
    (),
]


def test_arguments_are_told_apart_by_type(cache: L1Cache) -> None:
    memo, calls = counting(cache, lambda x: (type(x), x))
    for _ in range(2):
        for value in DIFFERENT:
            assert memo(value) == (type(value), value)
    assert len(calls) == len(DIFFERENT)


def test_what_is_where_counts(cache: L1Cache) -> None:
    memo: Any = memoize(cache)(g)
    spellings: list[tuple[Any, dict[str, Any]]] = [
        ((1, "k", 2), {}),
        ((1,), {"k": 2}),
        ((1, 2), {}),
        ((1,), {"rest": 2}),
        ((1, "rest", 2), {}),
        ((1,), {"k": "rest", "rest": 2}),
    ]
    for args, kwargs in spellings:
        assert memo(*args, **kwargs) == g(*args, **kwargs)
    assert memo.cache_info().misses == len(spellings)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3, 4), {}), ((1,), {"x": 1}), ((1, 2, 3), {"c": 3}), ((), {"a": 1})],
)
def test_a_wrong_call_is_the_functions_own_error(cache: L1Cache, args: Any, kwargs: Any) -> None:
    memo = memoize(cache)(f)
    with pytest.raises(TypeError, match=r"f\(\)"):
        memo(*args, **kwargs)
    with pytest.raises(TypeError, match="does not take these arguments"):
        memo.invalidate(*args, **kwargs)
    assert len(cache) == 0


def test_a_keyword_may_have_the_name_of_a_positional_only_parameter(cache: L1Cache) -> None:
    def h(a: Any, /, **rest: Any) -> Any:
        return a, rest

    memo = memoize(cache)(h)
    assert memo(1, a=2) == (1, {"a": 2})
    assert memo(1) == (1, {})


def test_unhashable_arguments_are_an_error_and_such_defaults_are_not(cache: L1Cache) -> None:
    memo = memoize(cache)(lambda x, options={}: (x, options))
    assert memo(1) == memo(1) == (1, {})
    assert memo.cache_info()[:2] == (1, 1)
    unhashable: list[Any] = [[], (1, []), {}]
    for wrong in unhashable:
        with pytest.raises(TypeError, match="unhashable"):
            memo(wrong)
    with pytest.raises(TypeError, match="unhashable"):
        memo(1, {})


def test_no_key_that_somebody_holds_is_filled_again(cache: L1Cache) -> None:
    memo = memoize(cache)(lambda x, y: (x, y))
    keys = [memo.cache_key(x, "y") for x in range(10)]
    for _ in range(3):
        assert [memo(x, "y") for x in range(10)] == [(x, "y") for x in range(10)]
    assert list(cache) == keys
    assert len(set(keys)) == 10
    cache._check()


def test_a_hit_keeps_no_argument_alive(cache: L1Cache) -> None:
    memo = memoize(cache)(lambda x: None)
    argument = str(10**9)  # no constant, which some versions do not count
    memo(argument)
    before = sys.getrefcount(argument)  # the key in the cache included
    for _ in range(3):
        memo(argument)
    assert sys.getrefcount(argument) == before


def test_functions_share_a_cache_without_meeting(cache: L1Cache) -> None:
    one = memoize(cache)(lambda x: ("one", x))
    two = memoize(cache)(lambda x: ("two", x))
    assert [one(1), two(1), one(1), two(1)] == [("one", 1), ("two", 1)] * 2
    assert len(cache) == 2


def test_a_c_function_without_a_signature(cache: L1Cache) -> None:
    memo = memoize(cache)(max)
    assert memo(1, 5, 2) == 5
    assert memo(1, 5, 2) == 5
    assert memo.cache_info().hits == 1


def test_key_is_the_key_in_the_cache(cache: L1Cache) -> None:
    memo, calls = counting(
        cache, lambda user, _session: user * 2, key=lambda user, _: f"user:{user}"
    )
    assert memo(1, "a") == memo(1, "b") == 2
    assert calls == [((1, "a"), {})]
    assert cache["user:1"] == 2
    assert memo.cache_key(1, None) == "user:1"
    assert cache.delete("user:1")
    assert memo(1, "c") == 2
    assert len(calls) == 2


def test_key_may_return_none_and_what_it_raises_comes_out(cache: L1Cache) -> None:
    memo, calls = counting(cache, lambda: 1, key=lambda: None)
    assert memo() == memo() == cache[None] == 1
    assert len(calls) == 1
    with pytest.raises(ZeroDivisionError):
        memoize(cache, key=lambda x: 1 // x)(abs)(0)


def methods(cache: L1Cache) -> Any:
    class Owner:
        calls = 0

        @memoize(cache)
        def method(self, x: Any = 1) -> Any:
            Owner.calls += 1
            return id(self), x

        @classmethod
        @memoize(cache)
        def of_class(cls, x: Any) -> Any:
            Owner.calls += 1
            return cls, x

        @memoize(cache)
        @classmethod
        def of_class_too(cls, x: Any) -> Any:
            Owner.calls += 1
            return cls, x

        @staticmethod
        @memoize(cache)
        def static(x: Any) -> Any:
            Owner.calls += 1
            return x

        @memoize(cache)
        @staticmethod
        def static_too(x: Any) -> Any:
            Owner.calls += 1
            return x

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]  # instances are told apart, not compared

    return Owner


def test_methods_know_their_instances_without_keeping_them(cache: L1Cache) -> None:
    owner_class = methods(cache)
    one, two = owner_class(), owner_class()
    assert one.method(1) == one.method(x=1) == one.method() == owner_class.method(one, 1)
    assert two.method(1) == (id(two), 1)
    assert owner_class.calls == 2
    dead = weakref.ref(one)
    del one
    gc.collect()
    assert dead() is None
    assert two.method(1) == (id(two), 1)
    assert owner_class.calls == 2


def test_an_instance_at_the_address_of_a_dead_one_is_another(cache: L1Cache) -> None:
    owner_class = methods(cache)
    for _ in range(50):  # most get the address of the one before
        owner = owner_class()
        assert owner.method() == (id(owner), 1)
        del owner
    assert owner_class.calls == 50


def test_a_function_becomes_a_method_later(cache: L1Cache) -> None:
    owner_class: Any = type("Owner", (), {})
    owner_class.method = memoize(cache)(lambda self, x: (id(self), x))
    owner = owner_class()
    assert owner.method(1) == (id(owner), 1)
    dead = weakref.ref(owner)
    del owner
    gc.collect()
    assert dead() is None


def test_instances_without_weak_references_need_a_key(cache: L1Cache) -> None:
    class Slotted:
        __slots__ = ("name",)
        name: str

        @memoize(cache)
        def method(self) -> Any:
            return 1

        @memoize(cache, key=lambda self: self.name)
        def keyed(self) -> Any:
            return 2

    slotted = Slotted()
    slotted.name = "x"
    with pytest.raises(TypeError, match="give memoize a key="):
        slotted.method()
    assert slotted.keyed() == cache["x"] == 2


def test_class_and_static_methods(cache: L1Cache) -> None:
    owner_class = methods(cache)

    sub: Any = type("Sub", (owner_class,), {})
    for _ in range(2):
        for where in (owner_class, owner_class()):
            assert where.of_class(1) == where.of_class_too(1) == (owner_class, 1)
            assert where.static(1) == where.static_too(1) == 1
        assert sub.of_class(1) == sub.of_class_too(1) == (sub, 1)
    assert owner_class.calls == 6


def test_bound_methods_have_what_the_function_has(cache: L1Cache) -> None:
    owner_class = methods(cache)
    one, two = owner_class(), owner_class()
    one.method(1)
    two.method(1)
    bound = one.method
    assert bound.__self__ is one
    assert bound.__name__ == "method"
    assert bound == one.method
    assert bound != two.method
    assert hash(bound) == hash(one.method)
    assert bound.cache_key(1) in cache
    assert bound.invalidate(1) is True
    assert bound.invalidate(1) is False
    assert two.method.cache_info()[:2] == (0, 2)
    two.method(1)
    assert two.method.cache_info().hits == 1
    assert "bound" in repr(bound)


def test_methods_called_in_every_way_of_calling(cache: L1Cache) -> None:
    class Owner:
        @memoize(cache)
        def method(self, a: Any, b: Any) -> Any:
            return a, b

    owner = Owner()
    bound = owner.method
    expected = [(1, 2)] * 5
    ways = [bound(1, 2), bound(*(1, 2)), bound(1, b=2), bound.__call__(1, 2)]
    assert [*ways, next(map(bound, [1], [2]))] == expected
    assert bound.cache_info()[:2] == (4, 1)
