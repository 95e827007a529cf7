"""Memoized methods are called as functions are, with the instance in front and nothing between."""

from __future__ import annotations

import gc
import pickle
import sys
import weakref
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from fastmem._core.memo import Memo

CACHE: L1Cache[Any, Any] = L1Cache(1_000_000)
METHOD_DESCRIPTOR = 1 << 17  # of a type: `instance.name(...)` makes no bound method


class Shape:
    @memoize(CACHE)
    def scaled(self, by: int) -> tuple[int, int]:
        return id(self), by

    @memoize(CACHE)
    async def drawn(self, by: int) -> int:
        return by


class Square(Shape):
    @memoize(CACHE)
    def scaled(self, by: int) -> tuple[int, int]:
        scaled: tuple[int, int] = super().scaled(by + 100)
        return scaled


def test_a_class_body_makes_methods_of_them() -> None:
    method = vars(Shape)["scaled"]
    assert isinstance(method, Memo)
    assert type(method).__flags__ & METHOD_DESCRIPTOR
    assert type(method).__basicsize__ == Memo.__basicsize__
    assert not Memo.__flags__ & METHOD_DESCRIPTOR
    assert method.__name__ == "scaled"


def test_a_function_outside_a_class_stays_one() -> None:
    @memoize(CACHE)
    def alone(x: int) -> int:
        return x

    class Later:
        pass

    Later.alone = alone  # type: ignore[attr-defined]
    assert type(alone) is Memo
    assert alone(3) == 3


@pytest.mark.parametrize("kind", [Shape, Square])
def test_all_ways_of_calling_share_results(kind: type[Shape]) -> None:
    one, two = kind(), kind()
    bound = one.scaled
    name = "scaled"
    for _ in range(20):  # specialised bytecode, from the second round or so
        got = [
            one.scaled(1),
            one.scaled(by=1),
            bound(1),
            kind.scaled(one, 1),
            getattr(one, name)(1),
            next(map(one.scaled, [1])),
        ]
        assert set(got) == {(id(one), 101 if kind is Square else 1)}
        assert two.scaled(1)[0] == id(two)


def test_no_instance_is_kept() -> None:
    owner = Square()
    for _ in range(20):
        owner.scaled(2)
    before = sys.getrefcount(owner)
    owner.scaled(2)
    assert sys.getrefcount(owner) == before
    dead = weakref.ref(owner)
    del owner
    gc.collect()
    assert dead() is None


def test_wrong_arguments_are_named_as_of_any_method() -> None:
    with pytest.raises(TypeError, match=r"scaled\(\) missing 1 required positional argument: 'by'"):
        Shape().scaled()
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        Shape().scaled(1, 2)


def test_a_method_is_pickled_by_its_name_and_collected_with_its_class() -> None:
    method = vars(Shape)["scaled"]
    assert pickle.loads(pickle.dumps(method)) is method  # noqa: S301 - of our own making

    class Local:
        @memoize(L1Cache(10_000))
        def method(self) -> int:
            return 1

    Local().method()
    gone = weakref.ref(vars(Local)["method"])
    del Local
    gc.collect()
    assert gone() is None
