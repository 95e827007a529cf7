"""Which functions are methods, and of whom."""

from __future__ import annotations

import dataclasses
import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fastmem import L1Cache, memoize

cache = L1Cache(1_000_000)


def logging(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return wrapper


class Owner:
    @property
    @memoize(cache)
    def shown(self) -> int:
        return id(self)

    @logging
    @memoize(cache)
    def logged(self) -> int:
        return id(self)

    @memoize(cache)
    @logging
    def logging(self) -> int:
        return id(self)

    @memoize(cache)
    def plain(this) -> int:  # noqa: N805 - what it is called does not count in the class itself
        return id(this)

    @memoize(cache)
    def add(a, b) -> Any:  # type: ignore[no-untyped-def]  # noqa: N805 - a class as a name space
        return a + b

    @staticmethod
    @memoize(cache)
    def of_two(a: Any, b: Any) -> Any:
        return a, b

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class Heir(Owner):
    pass


USES: list[Callable[[Any], Any]] = [
    lambda owner: owner.shown,
    lambda owner: owner.logged(),
    lambda owner: owner.logging(),
    lambda owner: owner.plain(),
    lambda owner: Owner.logging(owner),
    lambda owner: Owner.plain(owner),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", [Owner, Heir])
def test_an_instance_is_not_kept_alive_nor_compared(use: Callable[[Any], Any], kind: Any) -> None:
    one, two = kind(), kind()
    assert use(one) == use(one) == id(one)
    assert use(two) == id(two)
    dead = weakref.ref(one)
    del one
    gc.collect()
    assert dead() is None


def test_both_ways_of_calling_are_one() -> None:
    owner = Owner()
    assert Owner.plain.cache_key(owner) == owner.plain.cache_key()
    owner.plain()
    assert Owner.plain.invalidate(owner) is True


def test_a_class_may_be_a_name_space() -> None:
    add: Any = Owner.add
    for _ in range(2):
        assert add(1, 2) == 3
    assert add.cache_info()[:2] == (1, 1)


def test_arguments_of_a_static_method_are_compared() -> None:
    one, two = Owner(), Owner()
    assert Owner.of_two(one, two)[0] is Owner.of_two(two, one)[0]


def test_instances_of_a_data_class_have_their_own_property() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int = dataclasses.field(compare=False, default=0)

        @property
        @memoize(cache)
        def total(self) -> int:
            return self.x + self.y

    assert (Point(1, 10).total, Point(1, 20).total) == (11, 21)


def test_a_second_name_in_a_class_changes_nothing() -> None:
    @memoize(cache)
    def function(x: Any) -> Any:
        return x

    assert function(5) == 5

    class Another:
        g = function

    assert function(5) == 5
    assert function.cache_info()[:2] == (1, 1)
    another: Any = Another()
    assert another.g() is another
