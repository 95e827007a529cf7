"""The index made anew from the log: what an opening does when there is none to be trusted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fastmem._core import rebuild
from fastmem._core.layout import HEADER_UNITS
from fastmem._core.log import CHORE_BUCKETS, CHORE_OVERFLOW, COLD, NEED_OVERFLOW, WARM
from fastmem.storage.found import sync_found
from fastmem.storage.progress import Reading
from fastmem.storage.segments import Segments, tail_of
from fastmem.storage.superblock import NO_UUID
from fastmem.storage.values import Pointer, ValueFiles
from fastmem.storage.vouching import Vouching

if TYPE_CHECKING:
    from fastmem.storage.indexing import IndexFiles

log_to = logging.getLogger("fastmem.storage")

Vouch = Callable[[bytes, bytes, int], bool]  # of key, packed pointer and version


class Bounds(NamedTuple):
    """What is known of a tier's log before it is read, as addresses.

    vouched  below it every record was whole once
    settled  below it reclaim was done with every record
    noted    the tail as the first page has it
    """

    vouched: int
    settled: int
    noted: int


class Found(NamedTuple):
    """What reading a tier's log showed: the newest version, and where the last record ends."""

    newest: int
    tail: int


class Rebuild:
    """Indexes every whole record, the newest version of each key, over an empty index.

    It reads all, then decides, then writes: one that is cut short leaves the next as much to know
    as it had itself. That something is torn shows in what is mended next, so it is written first,
    as a head that goes back to where the log begins.
    """

    def __init__(self, files: IndexFiles) -> None:
        self._files = files
        self._log = files.log
        self._vouching = Vouching()
        self._torn = False  # not all is there that was appended
        self._to_sweep = False
        self._passed: list[tuple[int, int, list[tuple[int, int]]]] = []  # tier, segment, records

    def run(self) -> bool:
        """Return True when records are left that lead to value files."""
        files = self._files
        tiers = {
            segments.which: (segments, values, self._bounds(segments))
            for segments, values in (
                (files.cold, files.cold_values),
                (files.warm, files.warm_values),
            )
            if segments is not None and values is not None
        }
        self._reading = Reading(
            files.progress,
            sum(
                segments.linked_bytes + values.linked_bytes
                for segments, values, _ in tiers.values()
            ),
        )
        found = {which: self._absorb(*tier) for which, tier in tiers.items()}
        heads = {which: bounds.settled for which, (*_, bounds) in tiers.items()}
        if WARM in tiers and (self._torn or self._vouching.lost(self._log)):
            self._absorb_settled(*tiers[WARM])
            heads[WARM] = 0
            self._reading.finish()
            files.super.set("head", 0)
            if not files.read_only:
                files.super.sync()
        self._reading.finish()
        if lost := self._vouching.lost(self._log):
            files.dropped_records += lost
            log_to.warning("%s: %d records lost with their value files", files.directory.path, lost)
        pointers = self._to_sweep and rebuild.sweep(self._log, heads.get(COLD, 0))
        if not files.read_only:
            self._mend()
            if files.bounds_unknown:
                sync_found(files.directories)
        for which, (segments, *_) in tiers.items():
            prefix = "cold_" if which == COLD else ""
            files.super.set(f"{prefix}head", min(heads[which], found[which].tail))
            files.set_bounds(segments, found[which].tail)
        self._place_tail(max(tier.newest for tier in found.values()))
        return pointers

    def _bounds(self, segments: Segments) -> Bounds:
        files, prefix = self._files, "cold_" if segments.which == COLD else ""
        end = (max(segments.numbers, default=-1) + 1) * segments.segment_units
        # What this boot wrote was whole; of another boot, what was synced, as far as is known.
        head, noted = files.super.get(f"{prefix}head"), files.super.get(tail_of(segments))
        vouched = noted if files.same_boot else files.super.get(f"{prefix}synced")
        if files.page_was_lost:
            vouched = noted = end  # better miss the newest value of a key than find an older one
        believed = head <= noted
        if (
            segments.which == COLD
            and files.archive is not None
            and (files.page_was_lost or files.archive.owner()[0] not in (files.super.uuid, NO_UUID))
        ):  # what the store's first page says of it is lost, or another store moved it
            head, believed = files.archive.get("cold_head"), True
        settled = head if believed and head <= end else 0  # else it is damaged
        return Bounds(vouched, settled, noted)

    def _absorb(self, segments: Segments, values: ValueFiles, bounds: Bounds) -> Found:
        """Index every record of a tier's segments from its head on."""
        for _segments, number in self._files.add_segments(segments):
            self._files.set_aside(segments, number)
        newest = tail = 0
        vouch = self._told(values, partial(self._vouching.vouch, values))
        for number in segments.numbers:
            survey = self._absorb_segment(segments, number, vouch, bounds)
            if survey.dropped:
                self._files.dropped_records += survey.dropped
                log_to.warning(
                    "%s: %d damaged places passed over, %d whole records kept",
                    segments.directory.path / segments.name(number),
                    survey.dropped,
                    survey.records,
                )
            self._reading.more(segments.segment_bytes)
            newest = max(newest, survey.newest)
            tail = survey.end or tail
            self._torn |= survey.holes > 0
        units = segments.segment_units
        if not tail and segments.numbers:
            tail = segments.numbers[0] * units
        since = max(bounds.vouched, bounds.settled)
        self._torn |= bounds.vouched < bounds.noted and not segments.reach(since, bounds.noted)
        return Found(newest, tail)

    def _told(self, values: ValueFiles, vouch: Vouch) -> Vouch:
        """`vouch`, which reads a value file, and what it has read."""

        def told(key: bytes, pointer: bytes, version: int) -> bool:
            vouched = vouch(key, pointer, version)
            self._reading.more(values.bytes_of(Pointer.unpack(pointer).number))
            return vouched

        return told

    def _absorb_settled(self, segments: Segments, values: ValueFiles, bounds: Bounds) -> None:
        """Index what lies below the warm head too: a power loss that took some of what was appended
        may have taken what reclaim had moved on from there. So the evicted there count again.
        """
        for number in segments.numbers:
            if number * segments.segment_units < bounds.settled:
                # Not to be reported: reclaim may have been right to let their files go.
                vouch = partial(Vouching().vouch, values)
                self._absorb_segment(segments, number, vouch, bounds._replace(settled=0))
                self._reading.more(0)

    def _absorb_segment(
        self,
        segments: Segments,
        number: int,
        vouch: Vouch,
        bounds: Bounds,
    ) -> rebuild.Survey:
        """Index the records of one segment, growing the index as it must. See `absorb`."""
        files, log, which = self._files, self._log, segments.which
        survey = rebuild.Survey()
        at = 0
        while True:
            at = rebuild.absorb(log, which, number, at, survey, vouch, *bounds)
            if log.need == NEED_OVERFLOW or log.chores & CHORE_OVERFLOW:
                files.grow("overflow")
            if log.chores & CHORE_BUCKETS:
                files.grow("index")
            if at == 0:
                self._to_sweep |= survey.to_sweep
                self._passed.append((which, number, survey.passed))
                return survey

    def _mend(self) -> None:
        """Put skips in the place of what counts for nothing: it shall not count for more when all
        that is there is taken for synced.
        """
        for which, number, passed in self._passed:
            mapping = self._log.mapping(which, number)
            if passed and mapping is not None:
                for at, units in passed:
                    rebuild.pass_over(self._log, which, at, units)
                mapping.sync(0, mapping.size)

    def _place_tail(self, newest: int) -> None:
        """Put the next version above the `newest` (0: none), and above every one ever given out, as
        far as anything tells.
        """
        files = self._files
        super_, warm = files.super, files.warm
        floor = files.archive.owner()[1] if files.archive else 0
        least = max(newest + 1 if newest else 0, floor)
        if warm is None:
            super_.set("tail", max(least, HEADER_UNITS))
        elif least > super_.get("tail"):
            units = warm.segment_units
            end, after = super_.get("tail"), max([-1, *warm.numbers]) + 1
            if not files.read_only:
                rebuild.pass_rest(self._log)
            super_.set("tail", max(after, -(-least // units)) * units)
            files.skipped = end, super_.get("tail")
            if files.other_boot:  # of another boot all is on the device that will ever be
                super_.set("synced", super_.get("tail"))
            if not warm.numbers:
                super_.set("head", super_.get("tail"))
