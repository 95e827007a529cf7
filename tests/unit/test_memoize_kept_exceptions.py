"""Kept exceptions are the loader's own, whatever their classes ask of who makes them."""

from __future__ import annotations

from typing import Any, Self

import pytest

from fastmem import L1Cache, memoize


class Coded(Exception):
    def __new__(cls, *, code: int) -> Self:
        return super().__new__(cls)

    def __init__(self, *, code: int) -> None:
        self.code = code


class Slotted(Exception):
    __slots__ = ("code", "never")

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def kept(error: BaseException, cause: BaseException | None) -> Any:
    """As a call raises it that finds it kept."""

    @memoize(L1Cache(1_000_000), error_ttl=60)
    def memo() -> None:
        raise error from cause

    with pytest.raises(type(error)) as info:
        memo()
    assert info.value is error
    with pytest.raises(type(error)) as info:
        memo()
    assert memo.cache_info()[:2] == (1, 1)
    assert info.value is not error
    return info.value


def test_a_class_whose_new_needs_keywords() -> None:
    assert kept(Coded(code=7), None).code == 7


def test_slots_come_with_it() -> None:
    again = kept(Slotted("message", 7), None)
    assert (again.args, again.code, hasattr(again, "never")) == (("message",), 7, False)


def test_what_it_was_raised_from_comes_with_it() -> None:
    inner, outer = KeyError("inner"), OSError(2, "outer", "file")
    inner.__cause__ = Coded(code=1)
    again = kept(outer, inner)
    assert (str(again), repr(again.__cause__)) == (str(outer), repr(inner))
    assert again.__suppress_context__
    assert again.__cause__.__cause__.code == 1
    assert again.__cause__.__traceback__ is None
    assert kept(ValueError(), None).__suppress_context__


def test_causes_in_a_circle() -> None:
    one, two = ValueError("one"), ValueError("two")
    two.__cause__ = one
    again = kept(one, two)
    assert again.__cause__.__cause__ is again
