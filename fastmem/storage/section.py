"""The section of a store that one thread of one process is in at a time, and what the same thread
may do there: work on files, as opposed to the compiled steps, which have a lock of their own.

Finalizers that the collector runs, and signal handlers, run in the middle of our Python, and may
call the store whose section their thread is in. The lock lets them in; `depth` tells them apart.
"""

from __future__ import annotations

from fastmem._core.sectionlock import SectionLock
from fastmem.errors import FastmemError


class Section:
    """The lock, and how often its owner has entered. A thread that has the lock does this::

        with section.lock:
            section.depth += 1
            try:
                ...
            finally:
                section.depth -= 1

    Nothing is called between lock and `try`, so neither an interrupt nor a nested call comes there.
    """

    def __init__(self) -> None:
        self.lock = SectionLock()
        self.depth = 0

    def refuse_nested(self, what: str) -> None:
        """FastmemError for what cannot be done in the middle of another call. Under the lock."""
        if self.depth:
            raise FastmemError(
                f"{what} called by a finalizer or signal handler in the middle of a call of the "
                f"same store; call it again later"
            )
