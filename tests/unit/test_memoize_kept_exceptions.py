"""Kept exceptions are the loader's own, whatever their classes ask of who makes them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from traceback import walk_tb
from types import TracebackType
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


class Several(ExceptionGroup[Exception]):
    code: int

    def __new__(cls, message: str, errors: Sequence[Exception], code: int) -> Self:
        made = super().__new__(cls, message, errors)
        made.code = code
        return made


class Unmakable(ExceptionGroup[Exception]):
    def __new__(cls, *, errors: Sequence[Exception]) -> Self:
        return super().__new__(cls, "unmakable", errors)

    def __init__(self, *, errors: Sequence[Exception]) -> None: ...


class Frame:
    """Something in a frame."""


def raised(error: Exception) -> tuple[Exception, weakref.ref[Frame]]:
    """The exception as it comes from a frame; and what lies in there."""
    in_frame = Frame()
    with pytest.raises(type(error)):
        raise error
    return error, weakref.ref(in_frame)


def length(traceback: TracebackType | None) -> int:
    return len(list(walk_tb(traceback)))


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


def test_groups_come_with_all_that_is_in_them() -> None:
    inner = ExceptionGroup("inner", [Coded(code=1), OSError(2, "no", "file")])
    outer = ExceptionGroup("outer", [inner, KeyError("key")])
    again = kept(outer, None)
    assert type(again) is ExceptionGroup
    assert (str(again), again.message) == (str(outer), "outer")
    assert repr(again.exceptions[1]) == repr(outer.exceptions[1])
    assert again.exceptions[0].message == "inner"
    assert again.exceptions[0].exceptions[0].code == 1
    assert str(again.exceptions[0].exceptions[1]) == str(inner.exceptions[1])


def test_groups_of_other_classes() -> None:
    members = [ValueError("one"), KeyError("two")]
    again = kept(Several("several", members, 7), None)
    assert (type(again), again.message, again.code) == (Several, "several", 7)
    assert again.split(ValueError)[0].exceptions == again.exceptions[:1]
    assert repr(again.args) == repr(("several", members, 7))
    for mine, its in zip(members, again.exceptions, strict=True):
        assert repr(mine) == repr(its)
        assert mine is not its
        assert its in again.args[1]


@pytest.mark.parametrize(
    "kind",
    [
        ExceptionGroup,
        lambda message, errors: Several(message, errors, 7),
        lambda _, errors: Unmakable(errors=errors),
    ],
)
def test_no_frame_lives_on_for_what_is_in_a_group(kind: Any) -> None:
    cache: L1Cache[Any, Any] = L1Cache(1_000_000)
    frames = []

    @memoize(cache, error_ttl=60)
    def memo() -> None:
        one, first = raised(ValueError("one"))
        cause, second = raised(KeyError("cause"))
        one.__cause__ = cause
        two, third = raised(ExceptionGroup("inner", [one]))
        frames.extend([first, second, third])
        raise kind("several", [two, TypeError("two")]) from ExceptionGroup("cause", [two])

    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            memo()
    assert memo.cache_info()[:2] == (1, 1)
    gc.collect()
    assert [frame() for frame in frames] == [None, None, None]


def test_tracebacks_do_not_grow_however_often_it_is_raised() -> None:
    @memoize(L1Cache(1_000_000), error_ttl=60)
    def memo() -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("one")])])

    lengths = set()
    for _ in range(5):
        with pytest.raises(ExceptionGroup) as info:
            memo()
        inner: Any = info.value.exceptions[0]
        with pytest.raises(ValueError, match="one") as member:
            raise inner.exceptions[0]
        if memo.cache_info().hits:
            lengths.add((length(info.value.__traceback__), length(member.value.__traceback__)))
    assert len(lengths) == 1


def test_one_exception_in_several_places_stays_one() -> None:
    one = ValueError("one")
    again = kept(ExceptionGroup("several", [one, one, ExceptionGroup("inner", [one])]), one)
    first, second, inner = again.exceptions
    assert first is second is inner.exceptions[0] is again.__cause__


def test_a_group_that_one_of_its_members_was_raised_from() -> None:
    one = ValueError("one")
    group = ExceptionGroup("several", [one])
    one.__cause__ = group
    again = kept(group, None)
    assert again.exceptions[0].__cause__ is again


def test_a_chain_longer_than_the_stack() -> None:
    error: Exception = ValueError("innermost")
    for depth in range(1_000):
        key = KeyError(depth)
        key.__cause__ = error
        error = ExceptionGroup("outer", [key])
    again: Any = kept(error, None)
    for _ in range(1_000):
        again = again.exceptions[0].__cause__
    assert str(again) == "innermost"


def test_notes_are_each_callers_own() -> None:
    error = ValueError("no")
    error.add_note("the loader's")

    @memoize(L1Cache(1_000_000), error_ttl=60)
    def memo() -> None:
        raise error

    with pytest.raises(ValueError, match="no"):
        memo()
    for caller in range(3):
        with pytest.raises(ValueError, match="no") as info:
            memo()
        assert info.value.__notes__ == ["the loader's"]
        info.value.add_note(f"caller {caller}")
