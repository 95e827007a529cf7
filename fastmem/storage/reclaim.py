"""Reclaim of the warm tier: each record goes to the tail, down to the archive, or out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastmem._core.layout import POINTER, SHADOWS_L3, TOMBSTONE, UNIT_BYTES
from fastmem._core.log import NEED_SEGMENT, WARM, LogNeeds, Record
from fastmem._core.passing import pass_dead
from fastmem._core.settling import Credit, settle_plain
from fastmem.errors import CorruptRecordError
from fastmem.storage.oldest import OldestSegment
from fastmem.storage.values import Pointer

if TYPE_CHECKING:
    from fastmem.storage.cold import ColdWriter
    from fastmem.storage.engine import Engine


class Reclaimer(OldestSegment):
    """Works through the oldest warm segment.

    Every live record is settled: expired, dropped; read since the last pass or, in a store without
    an archive, not, moved to the tail while the credit lasts; else demoted to the archive, or
    evicted when there is none.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, WARM)
        self._credit = Credit(engine.warm_budget_bytes // 2)

    def _pass_plain(self, most_bytes: int) -> int:
        engine, most_units = self._engine, most_bytes // UNIT_BYTES
        if engine.cold is None:
            after, evicted = settle_plain(
                engine.log, self._cursor, most_units, self._credit, self._dead, engine.dropped_keys
            )
            engine.counters[WARM].evictions["size"] += evicted
            return (after - self._cursor) * UNIT_BYTES
        after = pass_dead(engine.log, self._cursor, most_units, self._dead)
        passed = (after - self._cursor) * UNIT_BYTES
        self._credit.earn(passed, dead=True)
        return passed

    def _settle(self, record: Record, length: int, after: int) -> int:
        if record.live and record.kind == POINTER and record.body:
            length += Pointer.unpack(record.body).length
        engine = self._engine
        counters = engine.counters[WARM]
        if not record.live:
            # It may go, but what it shadows in the archive must stay dead. A value that is not
            # live needs that only if its key is gone: a process may have died between the two
            # steps of `_drop`.
            if record.kind == TOMBSTONE or not engine.log.seek(record.key):
                self._shadow(record)
        elif record.body is None:
            engine.contents.note_lost(record.word, engine.contents.corrupt(record.word))
            self._drop(record, after)
        elif record.deadline_ns and record.deadline_ns <= self._now_ns():
            counters.expirations += 1
            self._drop(record, after)
        elif self._wanted(record, length):
            return length
        elif engine.cold is not None and self._fits_archive(record, engine.cold):
            try:
                stamped = engine.cold.stamped(record)
            except (CorruptRecordError, FileNotFoundError) as error:
                engine.contents.note_lost(record.word, error)
                self._drop(record, after)
            else:
                if engine.cold.put(record.key, stamped, moved_from=record.word):
                    counters.demotions += 1
        else:
            counters.evictions["size"] += 1
            self._drop(record, after)
        self._credit.earn(length, dead=not record.live)
        return length

    @staticmethod
    def _fits_archive(record: Record, cold: ColdWriter) -> bool:
        return record.kind != POINTER or Pointer.unpack(record.body).length <= cold.value_limit

    def _now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self._engine.log.wall_offset_ns

    def _wanted(self, record: Record, length: int) -> bool:
        """Move a record to the tail if it was read since the last pass, or would otherwise be lost,
        and the credit covers it.
        """
        engine = self._engine
        read_lately = engine.log.was_touched(record.key)
        if not read_lately and engine.cold is not None:
            return False
        if not self._credit.covers(length, read_lately) or not self._forward(record):
            return False
        self._credit.spend(length, read_lately)
        return True

    def _forward(self, record: Record) -> bool:
        """Move a record to the tail. False when it was replaced, or only reclaim can make room."""
        engine = self._engine
        segments = engine.files.warm
        assert segments is not None
        while True:
            try:
                return engine.log.forward(record.key, record.word)
            except LogNeeds as missing:
                short = engine.warm_bytes + segments.segment_bytes > engine.warm_budget_bytes
                begun = segments.has(engine.files.next_segment(WARM))  # by another process
                if missing.what == NEED_SEGMENT and short and not begun:
                    return False
                engine.room.provide(missing.what)

    def _drop(self, record: Record, after: int) -> None:
        """Take a record out of the index for good; it is the oldest in the warm log."""
        engine, values = self._engine, self._engine.files.warm_values
        pointer = None
        # First: once the head has passed, nothing else keeps what it shadows.
        shadowed = self._shadow(record)
        # A corrupt pointer names no file: an orphan, which the next open finds.
        if record.kind == POINTER and record.body and values:
            pointer = Pointer.unpack(record.body)
            values.leaving[pointer.number] = record.key
        if not engine.provided(
            engine.log.remove, record.key, record.word, after, engine.dropped_keys
        ):
            if pointer is not None and values:  # replaced meanwhile, and the file with it
                del values.leaving[pointer.number]
            return
        if pointer is not None and values:
            self._remove_file(values, pointer.number, record, entombed=shadowed)

    def _shadow(self, record: Record) -> bool:
        """If an older copy may be in the archive, leave a tombstone of the version there."""
        cold = self._engine.cold
        if not record.flags & SHADOWS_L3 or cold is None:
            return False
        cold.shadow(record.key, record.version)
        return True
