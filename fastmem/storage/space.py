"""Room and durability: what the log asks for, within the budgets, and as safe as it is said."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from fastmem._core.layout import LOCATION_MASK, PAGE_BYTES, TIER_BIT, UNIT_BYTES
from fastmem._core.log import (
    CHORE_BUCKETS,
    CHORE_OVERFLOW,
    CHORE_PACE,
    CHORE_POPULATE,
    COLD,
    NEED_COLD_SEGMENT,
    NEED_OVERFLOW,
    NEED_SEGMENT,
    WARM,
    LogNeeds,
)
from fastmem.errors import ClosedError, ReadOnlyError, StoreError
from fastmem.storage.cold import ColdWriter
from fastmem.storage.contents import Contents
from fastmem.storage.reclaim import Reclaimer

log_to = logging.getLogger("fastmem.storage")

POPULATE_BYTES = 512 << 10
PACE_LIMIT_BYTES = 1 << 20  # what one put may have to reclaim: about half a millisecond
T = TypeVar("T")


class Space(Contents):
    """The providing half of the engine. What needs files or time runs under `_lock`."""

    warm_budget_bytes: int
    cold_budget_bytes: int | None
    durability: str
    read_only: bool
    cold: ColdWriter | None
    reclaimer: Reclaimer
    _lock: threading.RLock
    _sync_failed: bool

    @property
    def first_tier(self) -> int:
        """The tier that the store's first page and index lie in."""
        return COLD if self.files.warm is None else WARM

    @property
    def unsynced_bytes(self) -> int:
        """Bytes of the log that power loss may take."""
        page = self.files.super
        cold = page.get("cold_tail") - max(page.get("cold_synced"), page.get("cold_head"))
        if self.files.warm is None:
            return UNIT_BYTES * cold
        return UNIT_BYTES * (page.get("tail") - max(page.get("synced"), page.get("head")) + cold)

    def require_writable(self) -> None:
        """ReadOnlyError when opened so, ClosedError after close."""
        if self.log.closed:
            raise ClosedError("the store is closed")
        if self.read_only:
            path = self.files.directory.path
            raise ReadOnlyError("opened with read_only=True", path, errno.EROFS)

    def provided(self, step: Callable[..., T], *args: Any) -> T:
        """Call a compiled step, again and again, until the log has what the step needs."""
        while True:
            try:
                return step(*args)
            except LogNeeds as missing:
                self.provide(missing.what)

    def provide(self, need: int) -> None:
        """Give the log what an append needs. OSError when it cannot be had; nothing changed."""
        with self._lock:
            if self.log.closed:
                raise ClosedError("the store is closed")
            if need == NEED_OVERFLOW:
                self._grow("overflow")
            elif need == NEED_COLD_SEGMENT:
                assert self.cold is not None
                self.cold.add_segment()
            elif need == NEED_SEGMENT:
                self._add_segment()
            else:
                raise AssertionError(f"the log needs {need}")

    def _grow(self, name: str) -> None:
        """Double the index or its overflow file, at the cost of records if the budget asks it."""
        self._make_room(self.first_tier, self.files.growth_bytes(name), spare=True)
        self.files.grow(name)

    def _make_room(self, tier: int, wanted_bytes: int, *, spare: bool = False) -> None:
        """Reclaim until `wanted_bytes` more fit in a tier's budget. StoreError when they cannot.

        `spare`: and a segment on top, so that the log can always move on; what is no segment
        leaves that much free.
        """
        if tier == WARM and self.files.warm is not None:
            self.reclaimer.make_room(wanted_bytes + spare * self.files.warm.segment_bytes)
        elif tier == COLD and self.cold is not None:
            self.cold.make_room(wanted_bytes, spare=spare)

    def tail_segment(self) -> int:
        """The number of the warm segment that the tail lies in (or would)."""
        assert self.files.warm is not None
        return self.files.super.get("tail") // self.files.warm.segment_units

    def _add_segment(self) -> None:
        segments = self.files.warm
        assert segments is not None
        number = self.tail_segment()
        if self.log.mapping(WARM, number) is not None:
            number += 1
            if self.log.mapping(WARM, number) is not None:
                return  # another thread was here first
        self._make_room(WARM, segments.segment_bytes)
        if self.log.mapping(WARM, number) is not None:
            return  # making room left the tail's segment, and began this one for it
        mapping = segments.create(number, sync=self.durability == "disk")
        self.log.add_segment(WARM, number, mapping)
        self.log.populate_mark = 0
        if self.files.archive is not None:
            self.files.archive.own(self.files.super.uuid, self.files.version_floor())
        self._set_pace()

    def _set_pace(self) -> None:
        """Reclaim a little with every few puts once the budget is nearly full."""
        segments = self.files.warm
        if segments is not None:
            near = self.warm_bytes + 3 * segments.segment_bytes > self.warm_budget_bytes
            self.log.pace_bytes = segments.segment_bytes // 64 if near else 0

    @property
    def warm_bytes(self) -> int:
        """Bytes of linked files of the warm tier, index and value files included."""
        if self.files.warm is None or self.files.warm_values is None:
            return 0
        return (
            self.files.warm.linked_bytes
            + self.files.warm_values.linked_bytes
            + self.files.index_bytes
            + PAGE_BYTES
        )

    @property
    def cold_bytes(self) -> int:
        """Bytes of linked files of the cold tier."""
        if self.files.cold is None or self.files.cold_values is None:
            return 0
        index = self.files.index_bytes + PAGE_BYTES if self.files.warm is None else 0
        return (
            self.files.cold.linked_bytes
            + self.files.cold_values.linked_bytes
            + self.cold_extra_bytes
            + index
            + PAGE_BYTES
        )

    @property
    def cold_extra_bytes(self) -> int:
        """Bytes of the archive's dictionaries."""
        return self.cold.dictionaries.linked_bytes if self.cold else 0

    def settle(self) -> None:
        """After an append: do the chores the log asks for and, in "disk", wait for the device."""
        if self.log.chores or self.log.freed:
            self._do_chores()
        if self.durability == "disk":
            self.sync()

    def _do_chores(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # another thread is at it
        try:
            if self.log.closed:
                return  # the append came before that, and is whole
            self.free_values()
            chores = self.log.chores
            if chores & CHORE_PACE:
                self.reclaimer.step(min(2 * self.log.take_appended(), PACE_LIMIT_BYTES))
                self.free_values()
                self._set_pace()
            if chores & CHORE_POPULATE:
                self._populate()
            for bit, name in ((CHORE_BUCKETS, "index"), (CHORE_OVERFLOW, "overflow")):
                if self.log.chores & bit:
                    self.log.chores &= ~bit
                    self._grow(name)
        except OSError as error:
            # The append is done; what could not be done now is tried again when it must be.
            self._note_failure(error)
        finally:
            self._lock.release()

    def _note_failure(self, error: OSError) -> None:
        kind = errno.errorcode.get(error.errno or 0, "OSError")
        self.counters[self.first_tier].errors[kind] += 1
        log_to.warning("%s: %s", self.files.directory.path, error)

    def _populate(self) -> None:
        """Fault in the pages ahead of the tail in large steps: seven times cheaper than singly."""
        segments = self.files.warm
        self.log.chores &= ~CHORE_POPULATE
        if segments is None:
            return
        tail = self.files.super.get("tail")  # once: other threads move it meanwhile
        number = tail // segments.segment_units
        start = number * segments.segment_units
        offset = (tail - start) * UNIT_BYTES
        mapping = self.log.mapping(WARM, number)
        if mapping is None or mapping.size < segments.segment_bytes:
            self.log.populate_mark = (number + 1) * segments.segment_units
            return
        length = min(POPULATE_BYTES, segments.segment_bytes - (offset & -4096))
        mapping.populate(offset & -4096, length)
        self.log.populate_mark = start + ((offset & -4096) + length) // UNIT_BYTES

    def free_values(self) -> None:
        """Unlink the value files whose records were replaced, once that cannot be undone."""
        super_ = self.files.super
        while self.log.freed:
            word, number = self.log.first_freed()
            values = self.files.cold_values if word & TIER_BIT else self.files.warm_values
            assert values is not None
            synced = super_.get("cold_synced" if word & TIER_BIT else "synced")
            if word & LOCATION_MASK >= synced and self.durability != "disk":
                values.doom(number, 0)  # its record was never promised to survive power loss
            else:
                values.doom(number, super_.get("tail"))
            self.log.drop_freed()  # last: an interrupt before it does all of this again
        self._reap()

    def _reap(self) -> None:
        for values in (self.files.warm_values, self.files.cold_values):
            if values is not None:
                values.reap(self.files.super.get("synced"))

    @property
    def has_doomed(self) -> bool:
        """True while value files wait for a sync before they can go."""
        return any(
            values.doomed for values in (self.files.warm_values, self.files.cold_values) if values
        )

    def sync(self) -> None:
        """Make everything appended so far survive power loss; concurrent callers share one wait.

        After a failure nothing here is promised again: the pages count as clean, so a retry
        would lie. Every later call raises until the store is opened anew.
        """
        end, cold_end = self._ends()
        with self._lock:  # reclaim must not move a record past what is being synced
            ended = self._ends()
            super_ = self.files.super
            if super_.get("synced") >= end and super_.get("cold_synced") >= cold_end:
                self._reap()
                return
            if self._sync_failed:
                raise StoreError(
                    "an earlier sync failed; reopen the store", self.files.directory.path
                )
            end, cold_end = ended
            try:
                self._sync_range(COLD, super_.get("cold_synced"), cold_end)
                self._sync_range(WARM, super_.get("synced"), end)
            except OSError:
                self._sync_failed = True
                raise
            super_.set("synced", end)
            super_.set("cold_synced", cold_end)
            self._reap()

    def _ends(self) -> tuple[int, int]:
        if self.log.closed:
            raise ClosedError("the store is closed")
        return self.files.super.get("tail"), self.files.super.get("cold_tail")

    def _sync_range(self, tier: int, start: int, end: int) -> None:
        segments = self.files.cold if tier == COLD else self.files.warm
        values = self.files.cold_values if tier == COLD else self.files.warm_values
        if segments is None or values is None:
            return
        values.sync()
        units = segments.segment_units
        for number in list(segments.numbers):
            first = max(start - number * units, 0)
            last = min(end - number * units, units)
            mapping = self.log.mapping(tier, number)
            if first < last and mapping is not None:
                mapping.sync(first * UNIT_BYTES, (last - first) * UNIT_BYTES)
        if self.durability != "disk":
            segments.directory.sync()
