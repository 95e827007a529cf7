"""The way through the oldest segment of a tier, record by record, and its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.layout import (
    COLD_SEAL_UNITS,
    HEADER_UNITS,
    LOCATION_MASK,
    SEAL_UNITS,
    UNIT_BYTES,
)
from fastmem._core.log import COLD, WARM, Record
from fastmem._core.passing import KeyFilter

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine
    from fastmem.storage.segments import Segments
    from fastmem.storage.values import ValueFiles

_HEADS = {WARM: "head", COLD: "cold_head"}
_SYNCED = {WARM: "synced", COLD: "cold_synced"}
_DAMAGED = {WARM: "damaged", COLD: "cold_damaged"}
_SEALS = {WARM: SEAL_UNITS, COLD: COLD_SEAL_UNITS}


class OldestSegment(ABC):
    """What reclaim of either tier does; `_settle` says what becomes of a record.

    Call it under the engine's lock.
    """

    def __init__(self, engine: Engine, tier: int) -> None:
        self._engine = engine
        self._tier = tier
        self._cursor = 0
        self._damaged = False
        self._elsewhere = False  # another process has settled some of the segment
        self._dead = KeyFilter(engine.log)  # of the segment's records that were not live

    @abstractmethod
    def _settle(self, record: Record, length: int, after: int) -> int:
        """Move a record on or let it go. Return how much of the budget that was, in bytes.

        It takes `length` in the segment, and is the oldest of its log: the next begins at `after`.
        """

    def step(self, budget_bytes: int) -> int:
        """Settle about `budget_bytes` of the oldest segment's records, value files of live ones
        included; unlink it when it is done. Return how much was settled.

        OSError (no room where they go) leaves every record where it was.
        """
        segments = self._engine.files.segments(self._tier)
        if segments is None or not segments.numbers:
            return 0
        number = segments.numbers[0]
        if number >= self._engine.files.tail_segment(self._tier):
            return 0
        if not self._engine.files.map_segment(self._tier, number):
            self._damaged = True  # somebody has removed it
            self._finish(segments, number)
            return 0
        settled = 0
        self._begin(number * segments.segment_units, segments.segment_units)
        while settled < budget_bytes:
            if passed := self._pass_plain(budget_bytes - settled):
                settled += passed
                self._cursor += passed // UNIT_BYTES
                self._pass(self._cursor)
                if self._cursor % segments.segment_units == 0:
                    self._finish(segments, number)
                    break
                continue
            record, after = scan.next_record(self._engine.log, self._tier, self._cursor)
            if record is None:
                self._damaged |= after - self._cursor > _SEALS[self._tier]
                self._finish(segments, number)
                return settled
            self._damaged |= record.word & LOCATION_MASK != self._cursor
            if self._damaged:  # for whoever goes on here
                self._engine.files.super.set(_DAMAGED[self._tier], 1 + number)
            settled += self._settle(record, (after - self._cursor) * UNIT_BYTES, after)
            if not record.live:
                self._dead.add(record.key)
            self._cursor = after
            self._pass(after)
            if after % segments.segment_units == 0:
                self._finish(segments, number)
                break
        return settled

    def _pass_plain(self, _most_bytes: int) -> int:
        """Settle records from the cursor on as far as that takes no more than compiled code. Return
        how many bytes.
        """
        return 0

    def _begin(self, first: int, units: int) -> None:
        """Go on in the segment at address `first`, where this or another process left off."""
        super_ = self._engine.files.super
        if not first <= self._cursor < first + units:
            self._cursor = first + HEADER_UNITS
            self._damaged = self._elsewhere = False
            self._dead.clear()
        head = super_.get(_HEADS[self._tier])
        if self._cursor < head < first + units:
            self._cursor, self._elsewhere = head, True
            self._damaged |= super_.get(_DAMAGED[self._tier]) == 1 + first // units

    def _remove_file(
        self, values: ValueFiles, number: int, record: Record, *, entombed: bool
    ) -> None:
        """Unlink the value file of a record that has left for good.

        After a power loss an older record of the key must not count for more than one without its
        file. It lies before it in this segment, or in one that is gone, unless a tombstone was
        appended just now for it: so the device has to know of that, or of the head.
        """
        segments = self._engine.files.segments(self._tier)
        assert segments is not None
        if self._was_synced(record.word & LOCATION_MASK):
            segments.let_none_linger()
            if entombed:
                self._engine.syncer.sync()
            elif self._may_be_dead(record):
                self._engine.files.super.sync()
        values.remove(number)

    def _may_be_dead(self, record: Record) -> bool:
        """True when there may have been a record of the key in the segment that was not live."""
        return self._elsewhere or record.key in self._dead

    def _was_synced(self, address: int) -> bool:
        """True when what lies at an address was promised to stay, or is about to be."""
        if self._engine.syncer.lead.under_way:  # of what lies where, nothing is known here
            return True
        return self._engine.files.super.get(_SYNCED[self._tier]) > address

    def _pass(self, address: int) -> None:
        """Move the head on: a rebuild leaves out what lies below it."""
        head, super_ = _HEADS[self._tier], self._engine.files.super
        if super_.get(head) < address:  # a walk after an opening begins with its segment
            super_.set(head, address)
        if self._tier == COLD:  # also where it moved with the record's leaving
            self._engine.files.note_cold_head()

    def _finish(self, segments: Segments, number: int) -> None:
        """Unlink an empty segment, after what left or replaced its records, tombstones among it, is
        as durable as they were.
        """
        engine, tier = self._engine, self._tier
        if self._damaged:
            engine.counters[tier].errors["dropped"] += scan.forget(
                engine.log, tier, number, engine.room.provide
            )
        if self._was_synced(number * segments.segment_units):
            engine.syncer.sync()
            segments.let_none_linger()  # or it may return without what keeps its records dead
        # The next may not be there yet: a record that ends with its segment leaves the tail there.
        rest = [other for other in segments.numbers if other > number]
        self._pass((rest[0] if rest else number + 1) * segments.segment_units)
        if engine.log.mapping(tier, number) is not None:  # else an interrupt came right here
            engine.files.pins.retire(tier, engine.log.drop_segment(tier, number))
        segments.unlink(number)
        engine.files.note_change()
        self._cursor = 0
