"""What is done ahead of the tail, in bounded pieces, so that no one put pays for all of it.

Nobody is elected for it and no thread waits for it: whoever puts does a piece after his own put.
The budget's room is reclaimed at twice the pace at which the log grows, a slice of time with any
one put; from the middle of a segment on there is a file for the next one; and the pages that the
tail comes to are in memory, and writable, before it does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastmem._core.layout import UNIT_BYTES
from fastmem._core.log import CHORE_PACE, CHORE_POPULATE, WARM

if TYPE_CHECKING:
    from fastmem._core.mapping import Mapping
    from fastmem.storage.engine import Engine
    from fastmem.storage.room import Room
    from fastmem.storage.segments import Segments

SLICE_NS = 1_000_000  # of reclaim with any one put that the budget does not force to more
KEEP_BYTES = 1 << 20  # of records and value files that one put reclaims towards a free segment
STEP_BYTES = 32 << 10  # of these that are reclaimed between two looks at the clock
PACE_BYTES = 64 << 10  # of the log that are appended between two slices
POPULATE_BYTES = 512 << 10  # of pages with any one put
_PIECE_UNITS = POPULATE_BYTES // UNIT_BYTES
LAG_PARTS = 8  # of a segment: that much may be appended without a turn
NEAR_SEGMENTS = 2  # so many free, or fewer, and reclaim begins


class Ahead:
    """Reclaim, segment and pages ahead of the warm tail. Everything here runs under the lock."""

    def __init__(self, engine: Engine, room: Room) -> None:
        self._files, self._log = engine.files, engine.log
        self._engine, self._room = engine, room
        self._owed = 0  # bytes of the log to reclaim, for what was appended
        self._paid_at = 0  # where the tail was when this process reclaimed last
        self._populated = 0  # the address up to which pages are in memory
        self._refused = False  # no segment was to be had ahead since the last that was made
        self._advised: Mapping | None = None  # the segment whose pages are made as huge ones

    # -- room in the budget ------------------------------------------------------------------

    def spare_bytes(self) -> int:
        """Bytes of segments that the tail has not come to."""
        segments = self._files.warm
        if segments is None or not segments.numbers:
            return 0
        tail = self._files.tail_segment(WARM)
        return segments.segment_bytes * sum(number > tail for number in segments.numbers[-2:])

    def lacks(self, segments: Segments, count: int) -> bool:
        """True unless there is room for `count` more segments, those made ahead among them."""
        budget = self._room.budget(WARM)
        if budget is None:
            return False
        used = self._room.used(WARM) - self.spare_bytes()
        return used + count * segments.segment_bytes > budget

    def set_pace(self) -> None:
        """Reclaim a little with every few puts once the budget is nearly full."""
        segments = self._files.warm
        if segments is not None:
            near = self.lacks(segments, NEAR_SEGMENTS)
            self._log.pace_bytes = min(segments.segment_bytes // 64, PACE_BYTES) if near else 0
            if not near:
                self._owed = 0

    def lags(self) -> bool:
        """True when reclaim is due, and was left to other processes for so long that the log would
        outrun it: then a put waits for its turn, which is a slice of theirs, or it would find
        nothing reclaimed at the end of a segment. Without the lock.
        """
        segments = self._files.warm
        if segments is None or not self._log.chores & CHORE_PACE:
            return False
        run = self._files.super.get("tail") - self._paid_at
        return run * LAG_PARTS > segments.segment_units

    def reclaim(self) -> None:
        """Reclaim for what was appended, a slice at a time."""
        segments = self._files.warm
        self._paid_at = self._files.super.get("tail")
        self._owed += 2 * self._log.take_appended()
        if segments is None:
            return
        self._owed = min(self._owed, segments.segment_bytes)
        self._owed -= self._slice(self._owed)
        if not self._room.can_step(WARM):
            self._owed = 0
        self._look_ahead(segments)
        self.set_pace()
        if self._owed > 0:
            self._log.chores |= CHORE_PACE  # the next put goes on

    def keep(self) -> None:
        """Work towards a free segment, a slice at a time.

        The tail is left while there is still room for another segment, and so before it must be.
        """
        segments = self._files.warm
        if segments is None or not self.lacks(segments, 2):
            return
        if not self._room.can_step(WARM) and not self._room.leave_tail(WARM, beyond=False):
            return
        if self.lacks(segments, 1):
            self._slice(KEEP_BYTES)

    def _slice(self, wanted_bytes: int) -> int:
        """Reclaim so much, value files included, or what fits the slice. Return how much it was."""
        until = time.monotonic_ns() + SLICE_NS
        done = 0
        while done < wanted_bytes and self._room.can_step(WARM) and time.monotonic_ns() < until:
            done += self._engine.reclaimer.step(min(STEP_BYTES, wanted_bytes - done))
        self._engine.syncer.free_values()
        return done

    # -- segments and pages ------------------------------------------------------------------

    def prepare(self) -> None:
        """Have the next segment, once the tail is in the second half of its own, and pages."""
        self._log.chores &= ~CHORE_POPULATE
        segments = self._files.warm
        if segments is None:
            return
        self._look_ahead(segments)
        self.set_pace()
        self._populate(segments, self._files.super.get("tail"))

    def _look_ahead(self, segments: Segments) -> None:
        """Have the next segment, if it is time and there is room for it.

        A device that has refused it is not asked again: what is freed there is for those who put.
        """
        number, within = divmod(self._files.super.get("tail"), segments.segment_units)
        if 2 * within <= segments.segment_units:
            return
        if segments.has(number + 1):
            self._files.map_segment(WARM, number + 1)
        elif not self._refused and not self.lacks(segments, 1):
            self._refused = True
            self._room.begin_segment(WARM, number + 1)

    def begin(self, number: int, mapping: Mapping) -> None:
        """Make the first pages of a segment that has just been made, before a put touches them.

        From there on those ahead of the tail are always made here, so huge ones cost no put more
        than a slice.
        """
        segments = self._files.warm
        assert segments is not None
        self._refused = False
        mapping.advise(filling=True)
        mapping.populate(0, min(POPULATE_BYTES, mapping.size))
        if number == self._files.tail_segment(WARM):
            self._enter(segments, number, mapping)

    def _enter(self, segments: Segments, number: int, mapping: Mapping) -> None:
        """Go on in a segment: its first pages are there. What is left is read like any other."""
        if self._advised is not None and self._advised.mapped:
            self._advised.advise(filling=False)
        self._advised = mapping
        self._mark(number * segments.segment_units + _PIECE_UNITS)

    def _mark(self, address: int) -> None:
        self._populated = address
        self._log.populate_mark = address - _PIECE_UNITS // 2

    def _populate(self, segments: Segments, tail: int) -> None:
        """Fault in the next pages in one large step, so that none of them stops a put."""
        number, units = tail // segments.segment_units, segments.segment_units
        end = (number + 1) * units
        if self._files.map_segment(WARM, number):
            mapping = self._log.mapping(WARM, number)
            assert mapping is not None
            if mapping is not self._advised:
                mapping.advise(filling=True)
                self._enter(segments, number, mapping)
            start = max(self._populated, tail & -(4096 // UNIT_BYTES))
            length = min(_PIECE_UNITS, end - start)
            if length > 0 and mapping.size == segments.segment_bytes:
                mapping.populate((start - number * units) * UNIT_BYTES, length * UNIT_BYTES)
                self._mark(start + length)
                return
        self._log.populate_mark = end
