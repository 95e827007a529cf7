"""Reclaim of the archive: the oldest cold records are evicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmem._core import scan, shadowing
from fastmem._core.layout import HEADER_UNITS, POINTER
from fastmem._core.log import COLD, Record
from fastmem.storage.oldest import OldestSegment
from fastmem.storage.segments import Segments
from fastmem.storage.values import Pointer, ValueFiles

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine


class ColdReclaimer(OldestSegment):
    """Works through the oldest cold segment.

    Nothing lies below the archive: what is live there is evicted, and its owner is told. An
    older copy in the warm log, of a value that had gone straight to the archive, stays dead by a
    tombstone there, not in the archive, which might in the end hold nothing else.
    """

    def __init__(self, engine: Engine, segments: Segments, values: ValueFiles) -> None:
        super().__init__(engine, COLD)
        self._segments = segments
        self._values = values

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

    def _settle(self, record: Record, length: int, after: int) -> int:
        """Let go of a record, live or not, for good.

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
            if uncovers := shadowing.uncovers(engine.log, record.key, record.version):
                gone = engine.room.provided(
                    shadowing.entomb, engine.log, record.key, expected, dropped
                )
            elif record.live:
                gone = engine.provided(engine.log.remove, record.key, expected, after, dropped)
        except (OSError, MemoryError):
            evictions["size"] -= record.live
            raise
        if not (gone and record.live):
            evictions["size"] -= record.live
            if pointer is not None:  # replaced meanwhile, and the file with it
                del self._values.leaving[pointer.number]
            return length
        if pointer is not None:
            self._remove_file(self._values, pointer.number, record, entombed=uncovers)
            length += pointer.length
        return length
