"""Times to live at their edges."""

from __future__ import annotations

import datetime
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fastmem import L1Cache, memoize
from tests.memoizing import SECOND, settle


@pytest.mark.parametrize("stale_ttl", [math.inf, 1e10, 1e300, 9e9, datetime.timedelta.max])
def test_what_is_stale_for_ever_is_served_while_one_refreshes(stale_ttl: Any) -> None:
    cache = L1Cache(1_000_000)
    entered, leave = threading.Event(), threading.Event()
    calls: list[Any] = []

    @memoize(cache, ttl=100, stale_ttl=stale_ttl)
    def memo() -> Any:
        calls.append(1)
        if len(calls) > 1:
            entered.set()
            assert leave.wait(60)
        return len(calls)

    assert memo() == 1
    key = memo.cache_key()
    cache._set_deadline(key, cache._deadline(key) - 101 * SECOND)
    assert memo() == 1
    assert entered.wait(60)
    leave.set()
    settle(memo, key)
    assert memo() == 2


@pytest.mark.parametrize("ttl", [1e10, 8.5e9, datetime.timedelta.max, 10**30])
def test_what_lives_for_ever_is_never_stale(ttl: Any) -> None:
    cache = L1Cache(1_000_000)
    for stale_ttl in (60, 9e9):
        memo: Any = memoize(cache, ttl=ttl, stale_ttl=stale_ttl)(lambda: 1)
        assert memo() == 1
        assert cache._deadline(memo.cache_key()) == 0


def test_what_is_no_time_is_refused_by_name() -> None:
    untyped: Any = memoize
    cache = L1Cache(1_000_000)
    wrongs: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: untyped(cache, ttl=math.nan), ValueError, "^ttl: "),
        (lambda: untyped(cache, ttl=5, stale_ttl=-1), ValueError, "^stale_ttl: "),
        (lambda: untyped(cache, error_ttl="5"), TypeError, "^error_ttl: "),
        (lambda: untyped(cache, ttl=5, early_refresh="x"), TypeError, "early_refresh must be"),
        (lambda: untyped(cache, key=5), TypeError, "key must be a function"),
    ]
    for wrong, error, message in wrongs:
        with pytest.raises(error, match=message):
            wrong()
