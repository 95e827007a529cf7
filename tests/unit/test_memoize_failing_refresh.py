"""Refreshes that fail: the stale result serves, and somebody hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from fastmem import L1Cache, memoize
from tests.memoizing import expire_in, logged, settle


def test_a_refresh_that_fails_keeps_no_exception_while_the_stale_result_serves() -> None:
    cache = L1Cache(1_000_000)
    calls: list[Any] = []

    @memoize(cache, ttl=100, stale_ttl=100, error_ttl=60)
    def memo() -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise OSError("database is down")
        return "good"

    assert memo() == "good"
    key = memo.cache_key()
    with logged() as records:
        for _ in range(3):
            expire_in(cache, key, 50)
            assert memo() == "good"
            assert "could not refresh" in records.get(timeout=60).getMessage()
            settle(memo, key)
    assert cache[key] == "good"
    cache._set_deadline(key, 1)
    seen = len(calls)
    for _ in range(2):
        with pytest.raises(OSError, match="database is down"):
            memo()
    assert len(calls) == seen + 1


def test_what_is_no_exception_is_logged_too() -> None:
    class Stop(BaseException):
        pass

    cache = L1Cache(1_000_000)
    calls: list[Any] = []

    @memoize(cache, ttl=100, stale_ttl=100)
    def memo() -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Stop("in the background")
        return len(calls)

    assert memo() == 1
    expire_in(cache, memo.cache_key(), 50)
    with logged() as records:
        assert memo() == 1
        record = records.get(timeout=10)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Stop)
    settle(memo, memo.cache_key())
    assert memo() == 1
