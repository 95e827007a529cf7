"""Reclaim of the archive: evict the oldest cold records and unlink the segments they empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmem._core import scan, shadowing
from fastmem._core.layout import (
    COLD_SEAL_UNITS,
    HEADER_UNITS,
    LOCATION_MASK,
    POINTER,
    UNIT_BYTES,
)
from fastmem._core.log import COLD, Record
from fastmem.storage.segments import Segments
from fastmem.storage.values import Pointer, ValueFiles

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine


class ColdReclaimer:
    """Works through the oldest cold segment. Call it under the engine's lock.

    Nothing lies below the archive: what is live there is evicted, and its owner is told. An
    older copy in the warm log, of a value that had gone straight to the archive, stays dead by a
    tombstone there, not in the archive, which might in the end hold nothing else.
    """

    def __init__(self, engine: Engine, segments: Segments, values: ValueFiles) -> None:
        self._engine = engine
        self._segments = segments
        self._values = values
        self._cursor = 0
        self._damaged = False

    def step(self, budget_bytes: int) -> None:
        """Evict about `budget_bytes` of the oldest segment's records, value files of live ones
        included; unlink it when it is done.
        """
        if not self._segments.numbers:
            return
        number = self._segments.numbers[0]
        if number >= self._engine.files.tail_segment(COLD):
            return
        while budget_bytes > 0 and number in self._segments.numbers:
            budget_bytes -= self._evict_next(number)

    def drop_dead(self) -> None:
        """Unlink the oldest segments in which nothing is live, budget or not."""
        numbers = self._segments.numbers
        while len(numbers) > 1 and self._is_dead(numbers[0]):
            self.step(self._segments.segment_bytes)

    def _is_dead(self, number: int) -> bool:
        """True when nothing in a segment is live. Stops at the first record that is."""
        if number >= self._engine.files.tail_segment(COLD):
            return False
        at = number * self._segments.segment_units + HEADER_UNITS
        record, at = scan.next_record(self._engine.log, COLD, at)
        while record is not None and not record.live and at % self._segments.segment_units:
            record, at = scan.next_record(self._engine.log, COLD, at)
        return record is None or not record.live

    def _evict_next(self, number: int) -> int:
        """Evict the next record; unlink the segment after its last. Return the bytes passed."""
        engine = self._engine
        first = number * self._segments.segment_units
        if not first <= self._cursor < first + self._segments.segment_units:
            self._cursor = first + HEADER_UNITS
            self._damaged = False
        record, after = scan.next_record(engine.log, COLD, self._cursor)
        length = (after - self._cursor) * UNIT_BYTES
        if record is None:
            self._damaged |= after - self._cursor > COLD_SEAL_UNITS
            self._finish(number)
            return length
        self._damaged |= record.word & LOCATION_MASK != self._cursor
        length += self._evict(record, after)
        self._cursor = after
        self._pass(after)
        if after % self._segments.segment_units == 0:
            self._finish(number)
        return length

    def _pass(self, address: int) -> None:
        """Move the head on: a rebuild leaves out what lies below it."""
        super_ = self._engine.files.super
        if super_.get("cold_head") < address:  # a walk after an opening begins with its segment
            super_.set("cold_head", address)
            self._engine.files.note_cold_head()

    def _evict(self, record: Record, after: int) -> int:
        """Let go of a record, live or not, for good. Return the bytes of its value file.

        OSError (no room in L2 for a tombstone, say) leaves it where it was.
        """
        engine, evictions = self._engine, self._engine.counters[COLD].evictions
        expected, dropped, pointer = 0, None, None
        if record.live:
            expected, dropped = record.word, engine.dropped_keys
            if record.kind == POINTER and record.body is not None:
                pointer = Pointer.unpack(record.body)
                self._values.leaving[pointer.number] = record.key
        gone = False
        evictions["size"] += record.live  # before it is done, as it may need memory
        try:
            if shadowing.uncovers(engine.log, record.key, record.version):
                gone = engine.room.provided(
                    shadowing.entomb, engine.log, record.key, expected, dropped
                )
            elif record.live:
                gone = engine.log.remove(record.key, expected, after, dropped)
        except (OSError, MemoryError):
            evictions["size"] -= record.live
            raise
        if not (gone and record.live):
            evictions["size"] -= record.live
            if pointer is not None:  # replaced meanwhile, and the file with it
                del self._values.leaving[pointer.number]
            return 0
        if pointer is None:
            return 0
        self._values.remove(pointer.number)
        return pointer.length

    def _finish(self, number: int) -> None:
        """Unlink an empty segment, after what replaced its records, tombstones among them, is as
        durable as they were.
        """
        engine, segments = self._engine, self._segments
        if self._damaged:
            engine.counters[COLD].errors["dropped"] += scan.forget(engine.log, COLD, number)
        if engine.files.super.get("cold_synced") > number * segments.segment_units:
            engine.syncer.sync()
        # The next may not be there yet: a record that ends with its segment leaves the tail there.
        rest = [other for other in segments.numbers if other > number]
        first = rest[0] if rest else number + 1
        self._pass(first * segments.segment_units)
        if engine.log.mapping(COLD, number) is not None:  # else an interrupt came right here
            engine.log.drop_segment(COLD, number).close()
        segments.unlink(number)
        self._cursor = 0
