"""Entries moved down at once, as full tiers would move them in time."""

from __future__ import annotations

from fastmem import TieredMemorySystem
from fastmem._core.log import WARM

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
    with engine._lock:
        numbers = engine.files.warm.numbers
        while numbers and numbers[0] < engine.tail_segment():
            engine.reclaimer.step(SEGMENT_BYTES, forward=False)
