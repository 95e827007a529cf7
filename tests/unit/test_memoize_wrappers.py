"""Functions that wrap others: the key is made of what the wrapper takes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fastmem import L1Cache, memoize


def fetch(url: str, timeout: int = 5) -> tuple[str, int]:
    return url, timeout


def test_defaults_are_the_wrappers_own() -> None:
    @memoize(L1Cache(1_000_000))
    @functools.wraps(fetch)
    def patient(url: str, timeout: int = 30) -> Any:
        return fetch(url, timeout)

    assert patient("u") == ("u", 30)
    assert patient("u", 5) == ("u", 5)
    assert patient("u", timeout=30) == ("u", 30)
    assert patient.cache_info()[:2] == (1, 2)


def test_a_signature_that_a_wrapper_copied_does_not_count() -> None:
    def declared(url: str, timeout: int = 5) -> Any:
        return url, timeout

    declared.__signature__ = inspect.signature(fetch)  # type: ignore[attr-defined]

    @memoize(L1Cache(1_000_000))
    @functools.wraps(declared)
    def patient(url: str, timeout: int = 30) -> Any:
        return declared(url, timeout)

    assert [patient("u"), patient("u", 5)] == [("u", 30), ("u", 5)]


def test_wrappers_that_take_other_arguments_are_kept() -> None:
    def with_database(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, retries: int = 3, **named: Any) -> Any:
            return function("database", *args, **named)

        return wrapper

    @memoize(L1Cache(1_000_000))
    @with_database
    def load(database: str, x: int) -> tuple[str, int]:
        return database, x

    for _ in range(3):
        assert load(3) == load(3, retries=1) == ("database", 3)
    assert load.cache_info()[:2] == (4, 2)
