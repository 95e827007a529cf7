"""Which arguments are one key: type tells those apart that a call or a plain tuple shows."""

from collections import namedtuple
from typing import Any

import pytest

from fastmem import L1Cache, memoize

P = namedtuple("P", "x")


def shown(*arguments: Any) -> list[str]:
    @memoize(L1Cache(1_000_000))
    def show(argument: Any) -> str:
        return repr(argument)

    return [show(each) for each in arguments]


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,), lambda x: ((x,), "a")])
def test_numbers_of_three_types_are_three(wrap: Any) -> None:
    assert len(set(shown(wrap(1), wrap(True), wrap(1.0)))) == 3


@pytest.mark.parametrize("wrap", [P, lambda x: frozenset([x]), lambda x: (P(x),)])
def test_what_other_objects_hold_is_theirs_to_tell_apart(wrap: Any) -> None:
    assert len(set(shown(wrap(1), wrap(True), wrap(1.0)))) == 1


def test_zero_has_one_sign() -> None:
    assert shown(0.0, -0.0) == ["0.0", "0.0"]
