"""Kept exceptions and stale results together."""

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
