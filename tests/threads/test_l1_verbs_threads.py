"""Verbs that look before they write, from many threads: no update is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from tests.crowd import Key, together

by_key = pytest.mark.parametrize("make_key", [int, Key], ids=["int", "compared by Python"])
with_sizer = pytest.mark.parametrize("sizer", [None, lambda value: 8], ids=["deep", "sizer"])


@by_key
@with_sizer
@pytest.mark.usefixtures("eager_switches")
def test_no_increment_is_lost(make_key: Callable[[int], Any], sizer: Any) -> None:
    cache = L1Cache(100_000, sizer=sizer)

    def count(_: Any) -> None:
        for i in range(2_000):
            cache.incr(make_key(i % 4))

    assert together(partial(count, number) for number in range(4)) == []
    assert sum(cache.values()) == 8_000


@by_key
@with_sizer
@pytest.mark.usefixtures("eager_switches")
def test_of_all_that_add_one_key_one_succeeds(make_key: Callable[[int], Any], sizer: Any) -> None:
    cache = L1Cache(1_000_000, sizer=sizer)
    won: list[int] = []
    assert (
        together(
            partial(
                lambda me: won.extend(i for i in range(1_000) if cache.add(make_key(i), me)), number
            )
            for number in range(4)
        )
        == []
    )
    assert sorted(won) == list(range(1_000))


class Count:
    """Equal by number, compared by Python code."""

    def __init__(self, number: Any) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and bool(self.number == other.number)


@by_key
@with_sizer
@pytest.mark.usefixtures("eager_switches")
def test_compare_and_set_loses_no_update(make_key: Callable[[int], Any], sizer: Any) -> None:
    cache = L1Cache(100_000, sizer=sizer)
    cache[make_key(1)] = Count(0)

    def count(_: Any) -> None:
        for _ in range(500):
            while True:
                number = cache[make_key(1)].number
                if cache.compare_and_set(make_key(1), Count(number), Count(number + 1)):
                    break

    assert together(partial(count, number) for number in range(4)) == []
    assert cache[make_key(1)].number == 2_000
