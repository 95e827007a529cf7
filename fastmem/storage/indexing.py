"""The index of a store: the one that is there, finished where a writer died, or rebuilt.

The half of StoreFiles that opening.py, where the map is, does not have.
"""

from __future__ import annotations

import errno
import logging
import stat

from fastmem._core import recovery
from fastmem._core.layout import (
    BUCKET_BYTES,
    LOCATION_MASK,
    MOST_LEVEL,
    PAGE_BYTES,
)
from fastmem._core.log import COLD, NEED_OVERFLOW, Log
from fastmem._core.mapping import Mapping
from fastmem.errors import FormatError, StoreError
from fastmem.storage import index_head
from fastmem.storage.files import Directory
from fastmem.storage.progress import OnProgress
from fastmem.storage.rebuilding import Rebuild
from fastmem.storage.segments import Segments, tail_of
from fastmem.storage.superblock import NO_UUID, Superblock
from fastmem.storage.values import ValueFiles
from fastmem.storage.vouching import drop_dangling

log_to = logging.getLogger("fastmem.storage")

_NO_SENSE = "the index makes no sense; close the store in all processes, and open it again"
_MOST_BUCKETS = 1 << MOST_LEVEL  # the mapping reserves addresses for these: 4 GiB, no memory
_GROWTH_BUCKETS = 1 << 14  # at most so many at a time, with their pages: half a millisecond


class IndexFiles:
    """The half of StoreFiles that finds, makes and grows the index over segments already listed."""

    directory: Directory
    directories: list[Directory]
    super: Superblock
    archive: Superblock | None
    warm: Segments | None
    cold: Segments | None
    warm_values: ValueFiles | None
    cold_values: ValueFiles | None
    log: Log
    read_only: bool
    initial_level: int
    progress: OnProgress | None
    rebuilt: bool
    page_was_lost: bool  # the store's first one, so nothing is known of the bounds of the log
    bounds_unknown: bool  # for that reason, or because the page was never written after it was made
    dropped_records: int
    redone_records: int
    was_clean: bool
    same_boot: bool
    other_boot: bool
    _private_index = False
    skipped = (0, 0)  # addresses that this opening passed over: nothing is there
    _index_name, _overflow_name = "index", "overflow"

    def _partner(self) -> bytes:
        return self.archive.uuid if self.archive else NO_UUID

    def _index_place(self) -> tuple[int, int]:
        try:
            facts = self.directory.stat("index")
        except FileNotFoundError:
            return (0, 0)
        return facts.st_dev, facts.st_ino

    def _map_index(self, index: str, overflow: str) -> tuple[Mapping, Mapping]:
        size = PAGE_BYTES + BUCKET_BYTES * _MOST_BUCKETS
        mappings = self.directory.map(index, size), self.directory.map(overflow, size)
        mappings[0].advise(filling=True)
        return mappings

    def _make_log(self, index: Mapping, overflow: Mapping) -> None:
        warm, cold = self.warm, self.cold
        self._index, self._overflow = index, overflow
        self.log = Log(
            self.super.mapping,
            index,
            overflow,
            warm.segment_bytes if warm else 0,
            warm.salt if warm else 0,
            cold.segment_bytes if cold else 0,
            cold.salt if cold else 0,
            str(self.directory.path),
        )

    def _adopt_index(self) -> bool:
        """Use the index that is there. False when it, or a segment it leads to, is not sound."""
        if self.read_only and self.super.get("lock"):
            return False
        if self.archive and self.archive.owner()[0] != self.super.uuid:
            return False
        if not {"index", "overflow"} <= set(self.directory.names()):
            return False
        if any(self.super.get(field) > LOCATION_MASK for field in ("tail", "cold_tail")):
            return False
        files = [self.directory.stat(name) for name in ("index", "overflow")]
        if not all(stat.S_ISREG(facts.st_mode) for facts in files):
            return False
        sizes = [facts.st_size for facts in files]
        if sizes[0] < PAGE_BYTES + BUCKET_BYTES or sizes[1] < BUCKET_BYTES:
            return False
        index, overflow = self._map_index("index", "overflow")
        if not index_head.belongs(index, overflow, self.super.uuid, self.super.get("opens")):
            return False
        if self.archive and index_head.archive_opens(index) != self.archive.get("opens"):
            return False  # another copy of this store has written to it
        rooms = [
            min(size // BUCKET_BYTES, _MOST_BUCKETS) for size in (sizes[0] - PAGE_BYTES, sizes[1])
        ]
        self._make_log(index, overflow)
        self.log.set_room(*rooms)
        foreign: list[tuple[Segments, int]] = []
        whole = True
        for segments in (self.warm, self.cold):
            if segments is not None:
                foreign += self.add_segments(segments)
                whole &= self.set_bounds(segments, self.super.get(tail_of(segments)))
        if not self._settle_index(whole=whole and not foreign):
            self.log.close()
            return False
        for segments, number in foreign:
            self.set_aside(segments, number)
        return True

    def _attach_index(self) -> None:
        """Map the index that other processes have in use, and the segments that are there."""
        index, overflow = self._map_index("index", "overflow")
        if not index_head.belongs(index, overflow, self.super.uuid, self.super.get("opens")):
            raise FormatError(
                "is damaged, while other processes have it open", self.directory.path / "index"
            )
        self._make_log(index, overflow)
        if not self.learn_room():
            raise FormatError(
                "is cut short, while other processes have it open", self.directory.path / "index"
            )
        for segments in (self.warm, self.cold):
            if segments is not None:
                for number in list(segments.numbers):
                    self.map_segment(segments.which, number)

    def learn_room(self) -> bool:
        """Take over what other processes have made of the index. False when its files hold less
        than its first page says.
        """
        sizes = [self.directory.size(name) for name in (self._index_name, self._overflow_name)]
        return self.log.learn_room(
            max(sizes[0] - PAGE_BYTES, 0) // BUCKET_BYTES, sizes[1] // BUCKET_BYTES
        )

    def map_segment(self, which: int, number: int) -> bool:
        """Of SharedFiles."""
        raise NotImplementedError

    def _settle_index(self, *, whole: bool) -> bool:
        """Make sure that the index belongs to the log, finishing what a dead writer had begun.

        Where segments are lost (not `whole`), a sound index is still better than a rebuild: what
        they held is missed, and no older version of it returns.
        """
        if not self.was_clean:
            if not self.log.tails_likely or not self._recover():
                return False
        else:
            digest = recovery.index_digest(self.log)
            noted, heads = index_head.digests_at_close(self._index)
            if not digest or digest != noted:
                return False
            if heads == self._heads_digest(digest) and recovery.nothing_lost(self.log):
                return True  # as the last opener left it, who saw to all that follows
        found = recovery.sound(self.log)
        if found is None or (found[0] and whole):
            return False
        if lost := found[0]:
            self.dropped_records += lost
            log_to.warning("%s: %d records lost with segments", self.directory.path, lost)
            if not self.read_only:
                recovery.forget_lost(self.log)
                found = recovery.sound(self.log) or found
        for field, oldest in (("head", found[1]), ("cold_head", found[2])):
            # Nothing live is settled: a death came just before it left the index, or a head that
            # was damaged.
            self.super.set(field, min(self.super.get(field), oldest))
        return True

    def _heads_digest(self, seed: int) -> int:
        return index_head.heads_digest(self.super.get("head"), self.super.get("cold_head"), seed)

    def _count_opening(self) -> None:
        """Count an opening in index and store, the index first: one put back later is behind. So in
        the archive and the index.
        """
        opens = (self.super.get("opens") + 1) % (1 << 64)
        index_head.seal(self._index, opens)
        self.super.set("opens", opens)
        if self.archive:
            opens = (self.archive.get("opens") + 1) % (1 << 64)
            self.archive.set("opens", opens)
            index_head.note_archive_opens(self._index, opens)

    def _digest_index(self) -> None:
        """Note in the index what it holds and the bounds of the log, for the next opening."""
        digest = recovery.index_digest(self.log)
        index_head.note_digests(self._index, digest, self._heads_digest(digest))

    def _note_clean(self) -> None:
        """Before a close: the next opening need not look for what is unfinished."""
        try:
            self._digest_index()
            self.super.clean = not self.log.shared or self.log.tails_agree
        except OSError as error:  # a page is missing: the next opening has to look
            log_to.warning("%s: not closed cleanly: %s", self.directory.path, error)

    def add_segments(self, segments: Segments) -> list[tuple[Segments, int]]:
        """Map the segments that are linked. Return those that are foreign."""
        foreign: list[tuple[Segments, int]] = []
        for number in segments.numbers:
            mapping = segments.open(number)
            if mapping is None:
                foreign.append((segments, number))
            else:
                self.log.add_segment(segments.which, number, mapping)
        if foreign and len(foreign) == len(segments.numbers):
            segments.refuse_strangers()
        return foreign

    def set_bounds(self, segments: Segments, tail: int) -> bool:
        """Set a tier's tail, and its head and synced address as far as they can be believed.

        False when segments between the old head and the tail are missing or cut short.
        """
        prefix = "cold_" if segments.which == COLD else ""
        units = segments.segment_units
        first = segments.numbers[0] * units if segments.numbers else tail
        head = self.super.get(f"{prefix}head")
        whole = head >= first and not segments.any_short()
        whole &= segments.reach(first, tail)
        self.super.set(f"{prefix}head", head if first <= head <= tail else first)
        self.super.set(f"{prefix}tail", tail)
        # What another boot finds in the files has reached the device.
        synced = tail if self.other_boot else self.super.get(f"{prefix}synced")
        self.super.set(f"{prefix}synced", min(synced, tail))
        return whole

    def _recover(self) -> bool:
        # Read-only: nobody died under the lock, or the index would not have been adopted.
        while not self.read_only:
            redone = recovery.recover(self.log)
            if redone < 0:
                return False
            self.redone_records += redone
            if self.log.need != NEED_OVERFLOW:
                break
            self.grow("overflow")
        return True

    def grow(self, name: str) -> None:
        """Make the file of the buckets ("index") or of the overflow buckets ("overflow") longer: to
        the double, or by 1 MiB.

        OSError (no space, or as large as it may get) leaves it as it was.
        """
        used, buckets, spilled, overflow = self.log.buckets
        if used > buckets or spilled > overflow:
            raise StoreError(_NO_SENSE, self.directory.path)
        now, more = buckets if name == "index" else overflow, self._growth(name)
        if more == 0:
            raise StoreError(f"{name} cannot grow any more", self.directory.path, errno.ENOSPC)
        if name == "index":
            start, buckets = PAGE_BYTES + now * BUCKET_BYTES, now + more
            file, mapping = self._index_name, self._index
        else:
            start, overflow = now * BUCKET_BYTES, now + more
            file, mapping = self._overflow_name, self._overflow
        if not self._private_index:
            self.directory.extend(file, start, start + more * BUCKET_BYTES)
        self.log.set_room(buckets, overflow)
        self.note_change()
        if not self._private_index:
            mapping.populate(start, more * BUCKET_BYTES)

    def _growth(self, name: str) -> int:
        """How many buckets `grow` of "index" or "overflow" would add."""
        _, buckets, _, overflow = self.log.buckets
        now = buckets if name == "index" else overflow
        return min(now, _GROWTH_BUCKETS, _MOST_BUCKETS - now)

    def note_change(self) -> None:
        """Of SharedFiles."""
        raise NotImplementedError

    def growth_bytes(self, name: str) -> int:
        """Bytes that `grow` of "index" or "overflow" would add."""
        return BUCKET_BYTES * self._growth(name)

    def index_in_use(self) -> list[tuple[Mapping, int]]:
        """The mappings of the index, and how many bytes of each are in use."""
        buckets, _, overflow, _ = self.log.buckets
        return [
            (self._index, PAGE_BYTES + buckets * BUCKET_BYTES),
            (self._overflow, overflow * BUCKET_BYTES),
        ]

    @property
    def index_bytes(self) -> int:
        if self._private_index:  # of the files, which say nothing here
            return sum(map(self.directory.allocated_bytes, ("index", "overflow")))
        _, buckets, _, overflow = self.log.buckets
        return PAGE_BYTES + BUCKET_BYTES * (buckets + overflow)

    def _rebuild_index(self) -> None:
        """Make a new index from the log: every whole record, the newest version of each key."""
        self.rebuilt = any(tier.numbers for tier in (self.warm, self.cold) if tier)
        buckets = 1 << self.initial_level
        head = index_head.new_head(self.initial_level, self.super.uuid)
        room = max(buckets // 8, PAGE_BYTES // BUCKET_BYTES)
        if self.read_only:
            self._private_index = True
            size = PAGE_BYTES + BUCKET_BYTES * _MOST_BUCKETS
            index = self.directory.private("index", size)
            overflow = self.directory.private("overflow", size)
            with memoryview(index) as view:
                view[:PAGE_BYTES] = head
        else:
            self._index_name, self._overflow_name = "rebuilt.index", "rebuilt.overflow"
            for name in (self._index_name, self._overflow_name):
                self.directory.unlink(name)  # of a rebuild that was cut short
            self.directory.create(
                self._index_name, PAGE_BYTES + buckets * BUCKET_BYTES, head
            ).close()
            spilled = index_head.overflow_head(self.super.uuid)
            self.directory.create(self._overflow_name, room * BUCKET_BYTES, spilled).close()
            index, overflow = self._map_index(self._index_name, self._overflow_name)
        self._make_log(index, overflow)
        self.log.set_room(buckets, room)
        pointers = Rebuild(self).run()
        self.super.set("lock", 0)
        if pointers:
            drop_dangling(self.log, self.warm_values, self.cold_values)
        if not self.read_only:
            self.directory.rename(self._index_name, "index")
            self.directory.rename(self._overflow_name, "overflow")
            self._index_name, self._overflow_name = "index", "overflow"

    def set_aside(self, segments: Segments, number: int) -> None:
        """Do without a file that bears a segment's name but is none of ours."""
        self.dropped_records += 1
        segments.set_aside(number)
