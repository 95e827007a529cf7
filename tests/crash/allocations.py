"""One failing allocation in an operation, at every place one after the other."""

from __future__ import annotations

import gc
import sys
from _testcapi import remove_mem_hooks, set_nomemory  # type: ignore[import-not-found]
from collections.abc import Callable
from types import CodeType


class Outcome:
    """What became of an operation one of whose allocations failed."""

    error: Exception | None = None
    reached = True  # False: it makes fewer allocations


def failing(nth: int, operation: Callable[[], object]) -> Outcome:
    """Do an operation whose allocation number `nth`, from 0 on, fails."""
    outcome = Outcome()
    gc.disable()  # finalizers of others are no part of the operation
    set_nomemory(nth, nth + 1)
    try:
        operation()
    # CPython itself sometimes forgets to say that it was for want of memory.
    except (MemoryError, SystemError) as error:
        remove_mem_hooks()
        outcome.error = error
    else:
        outcome.reached = fails_no_more(nth)
    finally:
        remove_mem_hooks()
        gc.enable()
    return outcome


def making_functions_can_fail() -> bool:
    """False for a CPython (3.13.0 is one) that gives a function's code back once too often when it
    has no memory for the function; sooner or later it crashes.
    """

    def make() -> Callable[[], None]:
        def made() -> None: ...

        return made

    code = made_by(make)
    kept.extend([code] * 100)  # for good: it survives what is given back here
    before = sys.getrefcount(code)
    for nth in range(8):
        failing(nth, make)
    return sys.getrefcount(code) == before


kept: list[CodeType] = []


def made_by(make: Callable[[], object]) -> CodeType:
    """The code of the only function that `make` makes."""
    [code] = (const for const in make.__code__.co_consts if isinstance(const, CodeType))
    return code


def fails_no_more(nth: int) -> bool:
    """True when the allocation that was to fail has failed already."""
    try:
        for _ in range(nth + 2):
            bytes(1000)
    except MemoryError:
        return False
    return True
