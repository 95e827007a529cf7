"""What has reached the device, and the value files that may go once it has."""

from __future__ import annotations

from typing import NoReturn

from fastmem._core.layout import TIER_BIT, UNIT_BYTES
from fastmem._core.log import COLD, WARM
from fastmem.errors import StoreError
from fastmem.storage.found import sync_found
from fastmem.storage.opening import StoreFiles
from fastmem.storage.section import Section


class Syncer:
    """Makes appends survive power loss, and unlinks replaced value files when that is safe.

    `each_put` ("disk"): a call that appends returns only after its sync, so every record counts as
    promised from the start.
    """

    def __init__(self, files: StoreFiles, section: Section, *, each_put: bool) -> None:
        self._files = files
        self._log = files.log
        self._section = section
        self._each_put = each_put
        self._failed = False
        self._found_too = False  # what the opening found has been synced
        self._under_way = False

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
        """Make everything appended so far survive power loss; concurrent callers share one wait.

        After a failure nothing here is promised again: the pages count as clean, so a retry
        would lie. Every later call raises until the store is opened anew.
        """
        end, cold_end = self._ends()
        with self._section.lock:  # reclaim must not move a record past what is being synced
            nested, self._under_way = self._under_way, True
            self._section.depth += 1
            try:
                self._sync(end, cold_end, nested=nested)
            finally:
                self._section.depth -= 1
                self._under_way = nested

    def sync_done(self) -> None:
        """Sync what a call has appended just now: it is done, so memory is asked for twice."""
        try:
            self.sync()
        except MemoryError:  # no device has refused anything
            self.sync()

    def _sync(self, end: int, cold_end: int, *, nested: bool) -> None:
        """Sync up to the tails, unless that was done. A `nested` one leaves the count of what is
        synced to the call it came in the middle of, which would set it back.
        """
        ended = self._ends()
        super_ = self._files.super
        synced = super_.get("synced") >= end and super_.get("cold_synced") >= cold_end
        if synced and self._found_too:
            if not nested:
                self._reap()
            return
        if self._failed or super_.get("sync_failed"):
            self.refuse()
        end, cold_end = ended
        try:
            if not self._found_too:
                sync_found(self._files.directories)
                self._found_too = True
            self._sync_range(COLD, super_.get("cold_synced"), cold_end)
            self._sync_range(WARM, super_.get("synced"), end)
        except OSError as error:
            self._failed = True
            super_.set("sync_failed", 1)
            error.filename = error.filename or str(self._files.directory.path)
            raise
        if self._failed:  # a nested one
            self.refuse()
        if not nested:
            super_.set("synced", end)
            super_.set("cold_synced", cold_end)
            self._reap()

    def forget_work(self) -> None:
        """In a forked child: leave to the parent the sync that is under way."""
        self._under_way = self._found_too = False

    def refuse(self) -> NoReturn:
        """Raise what every call gets after a failed sync."""
        raise StoreError(
            "an earlier sync failed, so nothing is promised any more; reopen the store "
            f"({self.unsynced_bytes:,} bytes are not synced)",
            self._files.directory.path,
        )

    def _ends(self) -> tuple[int, int]:
        self._files.require_open()
        return self._files.super.get("tail"), self._files.super.get("cold_tail")

    def _sync_range(self, tier: int, start: int, end: int) -> None:
        segments = self._files.segments(tier)
        values = self._files.values(tier)
        if segments is None or values is None:
            return
        values.sync()
        units = segments.segment_units
        for number in list(segments.numbers):
            first = max(start - number * units, 0)
            last = min(end - number * units, units)
            if first < last and self._files.map_segment(tier, number):
                mapping = self._log.mapping(tier, number)
                assert mapping is not None
                length = min(last * UNIT_BYTES, mapping.size) - first * UNIT_BYTES
                if length > 0:  # else the file was cut before that
                    mapping.sync(first * UNIT_BYTES, length)
        if not self._each_put or segments.listed_anew or values.listed_anew:
            values.listed_anew = False
            segments.sync_names()

    # -- value files -------------------------------------------------------------------------

    def free_values(self) -> None:
        """Unlink the value files whose records were replaced, once that cannot be undone."""
        while self._log.freed:
            word, number = self._log.first_freed()
            values = self._files.values(COLD if word & TIER_BIT else WARM)
            assert values is not None
            # Nothing that leads to a file which was never synced was promised to stay.
            at_once = number in values.unsynced or values.is_gone(number)
            values.doom(number, (0, 0) if at_once else self._files.ends)
            self._log.drop_freed()  # last: an interrupt before it does all of this again
        self._reap()

    def _reap(self) -> None:
        for tier in (WARM, COLD):
            values = self._files.values(tier)
            if values is not None:
                values.reap(self._files.synced)

    @property
    def has_doomed(self) -> bool:
        """True while value files wait for a sync before they can go."""
        for tier in (WARM, COLD):  # an interrupt that hits a generator being closed gets lost
            values = self._files.values(tier)
            if values is not None and values.doomed:
                return True
        return False
