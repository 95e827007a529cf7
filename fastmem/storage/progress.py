"""How far an opening is that has to read the whole log, told to whoever opens."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["OnProgress", "Reading", "callback"]

OnProgress = Callable[[int, int], object]
"""``progress(done_bytes, total_bytes)``."""


class Reading:
    """Counts what has been read of `total_bytes`, and tells so between two files.

    What the callback raises passes through. It comes while nothing but reading has been done.
    """

    def __init__(self, told: OnProgress | None, total_bytes: int) -> None:
        self._told = told if total_bytes else None  # a new store has nothing to be read
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self.more(0)

    def more(self, count_bytes: int) -> None:
        """So much more has been read; never more than the total, where a file is read again."""
        self._done_bytes = min(self._done_bytes + count_bytes, self._total_bytes)
        if self._told is not None:
            self._told(self._done_bytes, self._total_bytes)

    def finish(self) -> None:
        """All is read that has to be."""
        if self._done_bytes < self._total_bytes:
            self.more(self._total_bytes)


def callback(value: object) -> OnProgress | None:
    """A callable or None. TypeError for anything else."""
    if value is None or callable(value):
        return value
    raise TypeError(f"progress must be callable, not {value!r:.80} ({type(value).__name__})")
