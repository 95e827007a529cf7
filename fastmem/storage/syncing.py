"""What has reached the device, and the value files that may go once it has."""

from __future__ import annotations

import contextlib
import errno
from typing import NoReturn

from fastmem._core.layout import TIER_BIT, UNIT_BYTES
from fastmem._core.log import COLD, WARM
from fastmem._core.synclead import SyncLead, SyncTurn
from fastmem.errors import StoreError, StoreTimeoutError
from fastmem.storage.opening import StoreFiles
from fastmem.storage.section import Section
from fastmem.storage.values import ValueFiles

REFUSED, REFUSED_BEFORE = 1, 2  # of `sync_failed`
_TOO_MANY = (errno.EMFILE, errno.ENFILE)


class Syncer:
    """Makes appends survive power loss, and unlinks replaced value files when that is safe.

    All processes that wait share one sync: who has the lead (`lead`) syncs as far as the log goes
    by then, and says so in the store's first page. The section is not entered for it, so whoever
    needs a segment meanwhile may make one; and who is in the section may wait for the lead, but
    not the other way round. While a sync is under way, reclaim takes all there is for promised.
    """

    def __init__(self, files: StoreFiles, section: Section) -> None:
        self._files = files
        self._log = files.log
        self._section = section
        self.lead = SyncLead(files.super.mapping, str(files.directory.path))
        self.timeout_ns = int(files.timeout_s * 1e9)
        self._failed = False
        self._again = False  # the device is asked for what it may have refused before

    @property
    def unsynced_bytes(self) -> int:
        """Bytes of the log that power loss may take."""
        page = self._files.super
        cold = page.get("cold_tail") - max(page.get("cold_synced"), page.get("cold_head"))
        if self._files.warm is None:
            return UNIT_BYTES * cold
        start, (gap, gap_end) = max(page.get("synced"), page.get("head")), self._files.skipped
        skipped = max(gap_end - max(gap, start), 0)
        return UNIT_BYTES * (page.get("tail") - start - skipped + cold)

    def sync(self) -> None:
        """Make everything appended so far survive power loss; all who wait share one sync.

        After a failure nothing is promised again, in any process: the pages count as clean, so a
        retry would lie. Every later call raises until the store is opened anew.
        """
        self._files.require_open()
        if self._log.orphaned:
            with self._section.lock:  # which begins with being a process of one's own
                if self._log.orphaned:
                    self._section.refuse_nested("flush()")
        end, cold_end = self._files.ends
        with self.lead.turn(end, cold_end, self.timeout_ns, not self._found) as turn:
            if turn.leads and not (self._found and self._is_synced(end, cold_end)):
                if self._refused:
                    self.refuse()
                self._sync()
        if not self._is_synced(end, cold_end):
            self.refuse()
        if self.has_doomed:
            self._reap_in_section()

    def sync_done(self) -> None:
        """Sync what a call has appended just now: it is done, so memory is asked for twice."""
        try:
            self.sync()
        except MemoryError:  # no device has refused anything
            self.sync()

    @property
    def _refused(self) -> bool:
        return self._failed or self._files.super.get("sync_failed") == REFUSED

    @property
    def _found(self) -> bool:
        """True once what the opening found has been synced."""
        return all(values.surviving.known for values in self._files.all_values)

    def _is_synced(self, end: int, cold_end: int) -> bool:
        warm, cold = self._files.synced
        return warm >= end and cold >= cold_end

    def _sync(self) -> None:
        """Sync up to the tails of now, under the lead.

        Where the last leader was interrupted, or died, or this call came in the middle of another,
        nobody may have heard that the device refused: what is asked for is written again then.
        """
        lead, super_ = self.lead, self._files.super
        undone, end, cold_end = lead.begin()
        refused_before = super_.get("sync_failed") == REFUSED_BEFORE
        self._again = undone or lead.depth > 1 or refused_before
        try:
            self._sync_files(WARM, end, again=lead.depth > 1 or refused_before)
            self._sync_files(COLD, cold_end, again=lead.depth > 1 or refused_before)
            self._sync_range(COLD, super_.get("cold_synced"), cold_end)
            self._sync_range(WARM, super_.get("synced"), end)
        except OSError as error:
            if error.errno in _TOO_MANY:  # no device was asked: the next leader begins anew
                raise
            self._failed = True
            super_.set("sync_failed", REFUSED)
            lead.end()
            error.filename = error.filename or str(self._files.directory.path)
            raise
        if self._refused:  # as one was told that came in the middle
            lead.end()
            self.refuse()
        lead.publish(end, cold_end)
        if refused_before:
            super_.set("sync_failed", 0)
        lead.end()

    def refuse(self) -> NoReturn:
        """Raise what every call gets after a failed sync."""
        raise StoreError(
            "an earlier sync failed, so nothing is promised any more; reopen the store "
            f"({self.unsynced_bytes:,} bytes are not synced)",
            self._files.directory.path,
        )

    def last_turn(self) -> SyncTurn:
        """What a close waits by until this process syncs no more."""
        return self.lead.turn(0, 0, self.timeout_ns, needed=True)

    def _sync_files(self, tier: int, end: int, *, again: bool) -> None:
        """Sync value files, dictionaries and names of a tier that are new to this process."""
        segments, values = self._files.segments(tier), self._files.values(tier)
        if segments is None or values is None:
            return
        start = self._files.synced[tier == COLD]
        units = segments.segment_units
        wanted = {segments.name(number) for number in range(start // units, -(-end // units))}
        values.surviving.sync(self._files.changes, wanted, again=again)

    def _sync_range(self, tier: int, start: int, end: int) -> None:
        segments = self._files.segments(tier)
        if segments is None:
            return
        units = segments.segment_units
        for number in range(start // units, -(-end // units)):
            first = max(start - number * units, 0)
            last = min(end - number * units, units)
            # One that has gone had nothing left, but what was synced elsewhere before.
            if self._files.map_segment(tier, number):
                mapping = self._log.mapping(tier, number)
                if mapping is None:
                    continue
                length = min(last * UNIT_BYTES, mapping.size) - first * UNIT_BYTES
                if length > 0:  # else the file was cut before that
                    if self._again:
                        mapping.rewrite(first * UNIT_BYTES, length)
                    mapping.sync(first * UNIT_BYTES, length)

    # -- value files -------------------------------------------------------------------------

    def free_values(self) -> None:
        """Unlink the value files whose records were replaced, once that cannot be undone."""
        while self._log.freed:
            word, number = self._log.first_freed()
            values = self._files.values(COLD if word & TIER_BIT else WARM)
            assert values is not None
            # Nothing that leads to a file which was never synced was promised to stay.
            at_once = self._is_unpromised(number, values) or values.is_gone(number)
            values.doom(number, (0, 0) if at_once else self._files.ends)
            self._log.drop_freed()  # last: an interrupt before it does all of this again
        self._reap()

    def _is_unpromised(self, number: int, values: ValueFiles) -> bool:
        """True for a value file that no sync, of whatever process, can have gone by."""
        written = values.unsynced.get(number)
        return written == self.lead.word and not self.lead.under_way

    def _reap(self) -> None:
        for values in self._files.all_values:
            values.reap(self._files.synced)

    def _reap_in_section(self) -> None:
        """Where no other thread closes the store meanwhile. What stays goes with the next sync."""
        with contextlib.suppress(StoreTimeoutError), self._section.lock:
            if not self._files.closed:
                self._reap()

    @property
    def has_doomed(self) -> bool:
        """True while value files wait for a sync before they can go."""
        for tier in (WARM, COLD):  # an interrupt that hits a generator being closed gets lost
            values = self._files.values(tier)
            if values is not None and values.doomed:
                return True
        return False
