"""One failing allocation in an operation, at every place one after the other."""

from __future__ import annotations

import gc
from _testcapi import remove_mem_hooks, set_nomemory  # type: ignore[import-not-found]
from collections.abc import Callable


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


def fails_no_more(nth: int) -> bool:
    """True when the allocation that was to fail has failed already."""
    try:
        for _ in range(nth + 2):
            bytes(1000)
    except MemoryError:
        return False
    return True
