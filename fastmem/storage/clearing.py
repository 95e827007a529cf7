"""The end of a `clear`: what no iteration lists, because it expired or its record is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.drafts import Draft
from fastmem._core.layout import HEADER_UNITS, POINTER, SHADOWS_L3, TIER_BIT, TOMBSTONE, VALUE
from fastmem._core.log import COLD, WARM

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

__all__ = ["bury", "clear_rest"]


def clear_rest(engine: Engine) -> None:
    """Delete what has expired and still counts as an entry, a tombstone each; and what counts and
    leads to no sound record, so that nobody knows whose it was.
    """
    engine.require_writable()
    for record in list(scan.heads(engine.log, only_expired=True)):
        if not bury(engine, record.key, record.word):
            continue  # replaced meanwhile
        engine.counters[COLD if record.word & TIER_BIT else WARM].expirations += 1
        engine.settle()
    lost = scan.forget_damaged(engine.log, engine.room.provide)
    if lost:
        engine.counters[engine.files.first_tier].errors["dropped"] += lost
        # Whatever a lost record has replaced would be the newest of its key at a rebuild.
        for key in set(_keys_in_segments(engine)):
            if not engine.log.seek(key) and bury(engine, key, 0):
                engine.settle()
        with engine.lock:
            engine.files.remove_orphans(engine.pass_lock)
            engine.room.owe()
        engine.settle()


def _keys_in_segments(engine: Engine) -> Iterator[bytes]:
    """The keys of all values in the segments, live or not."""
    for tier in (WARM, COLD):
        segments = engine.files.segments(tier)
        if segments is None:
            continue
        for number in list(segments.numbers):
            at = number * segments.segment_units + HEADER_UNITS
            record, at = scan.next_record(engine.log, tier, at)
            while record is not None:
                if record.kind in (VALUE, POINTER):
                    yield record.key
                if at % segments.segment_units == 0:
                    break
                record, at = scan.next_record(engine.log, tier, at)


def bury(engine: Engine, key: bytes, expected: int) -> bool:
    """Append a tombstone of a key whose word is that of an expired record, or 0: there is none.

    False when it is another one now: the key may have been put again meanwhile.
    """
    if engine.files.warm is None:
        assert engine.cold is not None
        return engine.cold.tombstone(key, expected)
    # What a record shadows, its own tombstone will too.
    flags = SHADOWS_L3 if engine.files.cold and not expected else 0
    record = Draft(b"", 0, 0, 0, TOMBSTONE, flags)
    return engine.provided(engine.log.put, key, record, expected)
