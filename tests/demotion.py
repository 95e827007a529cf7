"""Entries moved down at once, as full tiers would move them in time."""

from __future__ import annotations

import contextlib
from unittest import mock

from fastmem import TieredMemorySystem
from fastmem._core.log import WARM
from fastmem._core.settling import Credit
from fastmem.storage.engine import Engine

SEGMENT_BYTES = 1 << 20


def empty_l1(memory: TieredMemorySystem) -> None:
    """L1 evicts everything, and has its budget again."""
    budget_bytes = memory.budget_bytes
    memory.resize(1)
    memory.resize(budget_bytes)


def archive_warm(memory: TieredMemorySystem) -> None:
    """What is warm goes into the archive; L1 keeps what it holds."""
    engine = memory._engine
    engine.provided(engine.log.roll, WARM)
    segments = engine.files.warm
    assert segments is not None
    with engine.lock:
        while segments.numbers and segments.numbers[0] < engine.files.tail_segment(WARM):
            reclaim(engine, SEGMENT_BYTES, forward=False)


def reclaim(engine: Engine, amount_bytes: int, *, forward: bool = True) -> None:
    """A step of reclaim. Without `forward` nothing moves to the tail: it goes down, or out."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(engine.lock)
        if not forward:
            stack.enter_context(mock.patch.object(engine.reclaimer, "_wanted", return_value=False))
            stack.enter_context(mock.patch.object(engine.reclaimer, "_credit", Credit(0)))
        engine.reclaimer.step(amount_bytes)
