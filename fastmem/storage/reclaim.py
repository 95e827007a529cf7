"""Reclaim: empty the oldest warm segment and unlink it, a few records at a time."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.log import UNIT_BYTES, LogNeeds, Record
from fastmem.errors import StoreError
from fastmem.storage.segments import WARM
from fastmem.storage.values import Pointer

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

VALUE, TOMBSTONE, POINTER = 1, 2, 4
SHADOWS_L3 = 1
HEADER_UNITS = 4


class Reclaimer:
    """Works through the oldest warm segment. Call it under the engine's lock.

    Every live record is settled: expired, dropped; read since the last pass, moved forward to the
    tail (at most half of a segment); else demoted to the archive, or evicted when there is none.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cursor = 0
        self._forwarded_bytes = 0

    def make_room(self, wanted_bytes: int, *, for_segment: bool = False) -> None:
        """Reclaim until `wanted_bytes` more fit in the warm budget. StoreError when they cannot.

        What is not a segment leaves room for one: only behind a new segment can the one that the
        tail lies in be reclaimed.
        """
        engine = self._engine
        segments = engine.files.warm
        assert segments is not None
        if not for_segment:
            wanted_bytes += segments.segment_bytes
        while engine.warm_bytes + wanted_bytes > engine.warm_budget_bytes:
            if not segments.numbers:
                raise StoreError(
                    "the warm budget is too small", segments.directory.path, errno.ENOSPC
                )
            if segments.numbers[0] >= engine.tail_segment():
                self._leave_tail(wanted_bytes)
            self.step(segments.segment_bytes, forward=False)
            engine.free_values()
            if engine.files.warm_values and engine.files.warm_values.doomed:
                engine.sync()
                engine.free_values()

    def _leave_tail(self, wanted_bytes: int) -> None:
        """Only the tail's segment is left: begin another, so that this one can be reclaimed."""
        engine = self._engine
        segments = engine.files.warm
        assert segments is not None
        try:
            engine.log.roll()
        except LogNeeds:
            number = engine.tail_segment() + 1
            if engine.warm_bytes + segments.segment_bytes > engine.warm_budget_bytes:
                raise StoreError(
                    f"no room for {wanted_bytes:,} bytes in the warm budget",
                    segments.directory.path,
                    errno.ENOSPC,
                ) from None
            mapping = segments.create(number, sync=engine.durability == "disk")
            engine.log.add_segment(WARM, number, mapping)
            engine.log.roll()

    def step(self, budget_bytes: int, *, forward: bool = True) -> None:
        """Settle about `budget_bytes` of the oldest segment's records; unlink it when it is done.

        OSError (the archive is full, say) leaves every record where it was.
        """
        engine = self._engine
        segments = engine.files.warm
        if segments is None or not segments.numbers:
            return
        number = segments.numbers[0]
        if number >= engine.tail_segment():
            return
        first = number * segments.segment_units
        if not first <= self._cursor < first + segments.segment_units:
            self._cursor = first + HEADER_UNITS
            self._forwarded_bytes = 0
        while budget_bytes > 0:
            record, after = scan.next_record(engine.log, WARM, self._cursor)
            if record is None:
                self._finish(number)
                return
            length = (after - self._cursor) * UNIT_BYTES
            self._settle(record, length, forward)
            self._cursor = after
            budget_bytes -= length
            if after % segments.segment_units == 0:
                self._finish(number)
                return

    def _settle(self, record: Record, length: int, forward: bool) -> None:
        engine = self._engine
        counters = engine.counters[WARM]
        if not record.live:
            # A tombstone may go, but not what it shadows: the archive gets one of its own.
            if record.kind == TOMBSTONE and record.flags & SHADOWS_L3:
                self._shadow(record)
        elif record.body is None:
            engine.note_lost(record, "record does not validate")
            self._drop(record)
        elif record.deadline_ns and record.deadline_ns <= self._now_ns():
            counters.expirations += 1
            self._drop(record)
        elif forward and self._wanted(record, length):
            self._forwarded_bytes += length
        elif engine.cold is not None:
            engine.cold.demote(record)
            counters.demotions += 1
        else:
            counters.evictions["size"] += 1
            self._drop(record)

    def _now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self._engine.log.wall_offset_ns

    def _wanted(self, record: Record, length: int) -> bool:
        """Move a record to the tail if it was read since the last pass and there is room."""
        engine = self._engine
        segments = engine.files.warm
        assert segments is not None
        if not engine.log.was_touched(record.key):
            return False
        if self._forwarded_bytes + length > segments.segment_bytes // 2:
            return False
        try:
            return engine.log.forward(record.key, record.word) != 0
        except LogNeeds:
            return False  # no room in the tail's segment: reclaim must not ask for more

    def _drop(self, record: Record) -> None:
        """Take a record out of the index; it is the oldest of its key in the warm log."""
        engine = self._engine
        if not engine.log.remove(record.key, record.word):
            return
        if record.kind == POINTER and engine.files.warm_values:
            engine.files.warm_values.remove(Pointer.unpack(record.body).number)
        if record.flags & SHADOWS_L3:
            self._shadow(record)

    def _shadow(self, record: Record) -> None:
        """Leave a tombstone in the archive, unless the key has come back."""
        engine = self._engine
        if engine.cold is not None:
            engine.cold.tombstone(record.key, if_absent=True)

    def _finish(self, number: int) -> None:
        """Unlink an empty segment, after what left it is as durable as it was."""
        engine = self._engine
        segments = engine.files.warm
        assert segments is not None
        super_ = engine.files.super
        if super_.get("synced") > number * segments.segment_units:
            engine.sync()
        rest = [other for other in segments.numbers if other > number]
        super_.set("head", (rest[0] if rest else number + 1) * segments.segment_units)
        engine.log.drop_segment(WARM, number).close()
        segments.unlink(number)
        self._cursor = 0
