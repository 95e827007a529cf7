"""Reclaim of the archive: evict the oldest cold records and unlink the segments they empty."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.layout import (
    COLD_SEAL_UNITS,
    HEADER_UNITS,
    LOCATION_MASK,
    POINTER,
    TOMBSTONE,
    UNIT_BYTES,
)
from fastmem._core.log import COLD, LogNeeds, Record
from fastmem.storage.segments import Segments
from fastmem.storage.values import Pointer, ValueFiles

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine


class ColdReclaimer:
    """Works through the oldest cold segment. Call it under the engine's lock.

    Nothing lies below the archive: what is live there is evicted, and its owner is told.
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
        if record.kind == TOMBSTONE:
            self._keep_shadow(record)
        elif record.live:
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

    def _evict(self, record: Record, after: int) -> int:
        """Take a live record out of the index for good. Return the bytes of its value file."""
        engine = self._engine
        pointer = None
        if record.kind == POINTER and record.body is not None:
            pointer = Pointer.unpack(record.body)
            self._values.leaving[pointer.number] = record.key
        self._keep_shadow(record)
        evictions = engine.counters[COLD].evictions
        evictions["size"] += 1  # before it is done, as it may need memory
        if not engine.log.remove(record.key, record.word, after, engine.dropped_keys):
            evictions["size"] -= 1
            if pointer is not None:  # replaced meanwhile, and the file with it
                del self._values.leaving[pointer.number]
            return 0
        if pointer is None:
            return 0
        self._values.remove(pointer.number)
        return pointer.length

    def _keep_shadow(self, record: Record) -> None:
        """What leaves the archive may be newer than a copy in the warm log (a value that went
        straight to the archive): a tombstone keeps that copy dead.

        Not if the tombstone needs another segment, which would have to evict first.
        """
        engine, warm = self._engine, self._engine.files.warm
        # Not the head: after a power loss a rebuild may have to begin below it.
        if warm and warm.numbers and record.version >= warm.numbers[0] * warm.segment_units:
            with contextlib.suppress(LogNeeds):
                engine.log.shadow(record.key, record.version, int(time.time()) & 0xFFFFFFFF)

    def _finish(self, number: int) -> None:
        """Unlink an empty segment."""
        engine, segments = self._engine, self._segments
        if self._damaged:
            engine.counters[COLD].errors["dropped"] += scan.forget(engine.log, COLD, number)
        # The next may not be there yet: a record that ends with its segment leaves the tail there.
        rest = [other for other in segments.numbers if other > number]
        first = rest[0] if rest else number + 1
        self._pass(first * segments.segment_units)
        if engine.log.mapping(COLD, number) is not None:  # else an interrupt came right here
            engine.log.drop_segment(COLD, number).close()
        segments.unlink(number)
        self._cursor = 0
