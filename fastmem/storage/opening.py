"""Opening a store: lock, identity, segments, and an index that is trusted, finished or rebuilt.

StoreFiles is everything open of one store. Its four parts::

    opening.StoreFiles     directories and locks, first pages, lists of segments and value files,
                           what to claim and clean at open and at close
    orphans.OrphanFiles    value files that no record leads to
    sharing.SharedFiles    joining those that have the store open already, and what each learns of
                           the other's segments and value files
    indexing.IndexFiles    index and overflow files, and the Log over them: adopt, recover, rebuild,
                           grow; bounds of the log as far as the segments bear them out

They are one class because opening is one conversation: the identity decides whether the index is
trusted, the index whether segments are missing, the segments whether the identity is right.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from fastmem._core.layout import HEADER_UNITS, PAGE_BYTES
from fastmem._core.log import COLD, WARM, Log
from fastmem._core.mapping import Mapping
from fastmem.codecs import Authenticator
from fastmem.errors import ClosedError, StoreNotFoundError
from fastmem.storage import partners
from fastmem.storage.files import Directory
from fastmem.storage.keying import noted, refuse_other_key
from fastmem.storage.orphans import OrphanFiles
from fastmem.storage.parents import refuse_path
from fastmem.storage.pins import Pins
from fastmem.storage.processes import Processes
from fastmem.storage.progress import OnProgress
from fastmem.storage.segments import Segments, holds_segments, recover_identity, tail_of
from fastmem.storage.strangers import leftovers, refuse_other_tier, refuse_strangers
from fastmem.storage.superblock import (
    ARCHIVE_MAGIC,
    LOST_PAGE,
    NO_UUID,
    STORE_MAGIC,
    Superblock,
    boot_id,
    new_identity,
    refuse_foreign,
)
from fastmem.storage.symbols import bind_xxh3
from fastmem.storage.values import ValueFiles

log_to = logging.getLogger("fastmem.storage")

# A crash may have used versions that the archive was not told of; this many are skipped.
VERSION_RESERVE = 1 << 22


class StoreFiles(OrphanFiles):
    """Everything open of one store: directories, first pages, segments, value files and the log.

    `warm_path` None is an archive alone; `cold_path` None a segment store alone. The store's
    first page and its index lie in the warm directory when there is one.
    """

    def __init__(
        self,
        warm_path: str | os.PathLike[str] | None,
        cold_path: str | os.PathLike[str] | None,
        *,
        warm_segment_bytes: int,
        cold_segment_bytes: int,
        initial_level: int,
        cold_bounded: bool,
        authenticator: Authenticator | None,
        read_only: bool,
        alone: bool,
        timeout_s: float,
        progress: OnProgress | None = None,
    ) -> None:
        """Open the directories: to have them `alone`, or together with other processes."""
        bind_xxh3()
        self._alone = alone
        self.timeout_s = timeout_s
        self._authenticator = authenticator
        self.read_only = read_only
        self.closed = False
        self.initial_level = initial_level
        self.progress = progress
        self.dropped_records = 0
        self.redone_records = 0
        self.rebuilt = False
        self.directories: list[Directory] = []
        self.processes: list[Processes] = []  # of each directory
        self.pins = Pins()
        self._supers: list[Superblock] = []
        self._made: list[tuple[Directory, str]] = []  # first pages of what was new
        self._owned_by = b""  # whose the archive was before this opening, as its page has it
        self._segment_bytes = (warm_segment_bytes, cold_segment_bytes)
        try:
            opened = self._enter({WARM: warm_path, COLD: cold_path})
            self._cold_bounded = cold_bounded
            self.warm_directory, self.cold_directory = opened.get(WARM), opened.get(COLD)
            self.directory = self.directories[0]
            if self._find_others():
                self._attach()
            else:
                self._open()
            self._settle_in()
        except BaseException as error:
            # Nothing is stored yet, so the size of segments is not settled either.
            for directory, name in self._made:
                with contextlib.suppress(OSError):
                    directory.unlink(name)
            self.give_up()
            if self.read_only and type(error) is FileNotFoundError:
                # Without a lock file there was none to take: a writer may be making the store.
                path = self.directories[0].path
                raise StoreNotFoundError(f"{error.filename} is not there any more", path) from error
            raise

    def _enter(self, paths: dict[int, str | os.PathLike[str] | None]) -> dict[int, Directory]:
        """Lock the directories, once nothing in either speaks against it: till then neither is
        touched, nor made.
        """
        given = {
            tier: Path(os.path.abspath(path)) for tier, path in paths.items() if path is not None
        }
        for path in given.values():
            refuse_path(path)
        opened: dict[int, Directory] = {}
        for tier in sorted(given, key=lambda tier: not given[tier].exists()):
            opened[tier] = directory = self._directory(given[tier])
            self.directories.append(directory)
            refuse_strangers(directory, tier, first=tier == WARM or len(given) == 1)
            refuse_other_tier(directory, tier, given)
        self.directories = [opened[tier] for tier in given]
        for directory in self.directories:
            self.processes.append(Processes(directory, self.timeout_s))
        return opened

    def _directory(self, path: Path) -> Directory:
        return Directory(path, read_only=self.read_only)

    def _open(self) -> None:
        for directory, name in ((self.directory, "super"), (self.cold_directory, "archive")):
            if directory is not None:
                refuse_other_key(directory, name, self._authenticator, read_only=self.read_only)
        which = WARM if self.warm_directory else COLD
        self.super = self._first_page(self.directory, "super", STORE_MAGIC, which)
        self.page_was_lost = self.super.owner()[0] == LOST_PAGE
        self.archive: Superblock | None = None
        if not self.read_only and self.cold_directory is None:
            partners.refuse_without_archive(self.super, self.directories)
        if self.cold_directory:
            self.archive = self._first_page(self.cold_directory, "archive", ARCHIVE_MAGIC, COLD)
            if self.detached and self._cold_bounded and not self.read_only:
                partners.refuse_evictions(self.archive, self.directory)
            if self.warm_directory and self.super.claimed:  # a new L2 goes with any
                partners.refuse_others(self.super, self.archive, self.directories)
        self.was_clean = self.super.clean and not self.super.get("lock")
        self._list_all()
        if self.cold is None:
            for field in ("cold_tail", "cold_head", "cold_synced"):
                self.super.set(field, 0)  # no tier checks them, so damage would stay
        boot = boot_id()
        self.same_boot = self.super.same_boot(boot)
        owner = self.super.owner()[0]
        # As it was made, though puts came after: the first page that a power loss has left.
        self.bounds_unknown = self.page_was_lost or (
            owner == NO_UUID and any(tier.numbers for tier in (self.warm, self.cold) if tier)
        )
        self.other_boot = self.bounds_unknown or owner not in (boot, NO_UUID)
        trusted = self.super.trusts(boot, *self._index_place(), self._partner())
        adopted = trusted and self._adopt_index()
        if not adopted:
            self._rebuild_index()
        if self.warm is None:
            self.super.set("head", 0)
            if self.super.get("synced") > self.super.get("tail"):
                self.super.set("synced", 0)
        if not self.read_only:
            self._claim(boot)
            if not adopted or not self.was_clean:
                self.remove_orphans(self.log.pass_lock)
        self.log.wall_offset_ns = self.super.wall_offset_ns(
            anchor=not self.read_only and not (self.same_boot and self.super.anchored)
        )

    # -- identity ----------------------------------------------------------------------------

    def _first_page(self, directory: Directory, name: str, magic: bytes, which: int) -> Superblock:
        """Map a first page, making a new one where there is none, healing one that is damaged."""
        path = directory.path / name
        try:
            page = directory.read(name, PAGE_BYTES)
        except FileNotFoundError:
            page = b""
        refuse_foreign(page, path, magic)
        if len(page) == PAGE_BYTES and any(page[: len(magic)]):
            found = Superblock(self._page(directory, name, page), directory.path)
            self._supers.append(found)
            if found.sound:
                return found
            self._supers.pop()
            found.release()
        # A new directory, or a page that was cut or damaged: the segments tell the identity too.
        own = COLD if name == "archive" or which == COLD else WARM
        known = recover_identity(directory, own) if name == "archive" or which == WARM else None
        if page or known:
            log_to.warning("%s is damaged or missing; identity taken from the segments", path)
        elif self.read_only and not (name == "super" and "archive" in directory.names()):
            raise StoreNotFoundError("holds no fastmem store", directory.path)
        elif not page:
            self._made.append((directory, name))
        segment_bytes, uuid, salt = known or (self._segment_bytes[own], NO_UUID, 0)
        lost = name == "super" and any(map(holds_segments, self.directories))
        page = new_identity(magic, segment_bytes, uuid, salt, lost=lost)
        if not known:  # else nobody knows what key its records were made with
            page = noted(page, self._authenticator)
        if not self.read_only:
            directory.write(name, [page], sync=True)
        made = Superblock(self._page(directory, name, page), directory.path)
        self._supers.append(made)
        return made

    @property
    def detached(self) -> bool:
        """True for an archive opened alone that belongs to an L2: to keep dead what that holds, it
        loses neither value nor tombstone.
        """
        return (
            self.warm_directory is None
            and self.archive is not None
            and (self.archive.partner() != NO_UUID)
        )

    def _page(self, directory: Directory, name: str, page: bytes) -> Mapping:
        """Map a first page; a read-only store works on a private copy of it."""
        if not self.read_only:
            return directory.map(name, PAGE_BYTES)
        mapping = directory.private(name, PAGE_BYTES)
        with memoryview(mapping) as view:
            view[:] = page
        return mapping

    def _list_all(self) -> None:
        self.warm = self._list_segments(self.warm_directory, WARM, self.super)
        self.cold = self._list_segments(self.cold_directory, COLD, self.archive)
        self.warm_values = ValueFiles(self.warm_directory) if self.warm_directory else None
        self.cold_values = ValueFiles(self.cold_directory) if self.cold_directory else None

    def _list_segments(
        self, directory: Directory | None, which: int, page: Superblock | None
    ) -> Segments | None:
        if directory is None or page is None:
            return None
        return Segments(directory, which, page.uuid, page.salt, page.segment_bytes)

    # -- ready, and the end ------------------------------------------------------------------

    def _claim(self, boot: bytes) -> None:
        """Make the index trusted from here on, and the archive this store's."""
        if self.archive is not None:
            self._owned_by = self.archive.line
        self.own_archive()
        if self.page_was_lost and self.archive is not None:
            self.archive.sync()  # or a power loss may leave it with an L2 that is no more
        self.super.trust(boot, *self._index_place(), self._partner())
        if self.page_was_lost:
            self.super.sync()
        self.super.set("changes", (self.super.get("changes") + 1) % (1 << 64))
        # The device may have refused what counts as clean by now: see Syncer.
        self.super.set("sync_failed", 2 if self.super.get("sync_failed") and self.same_boot else 0)
        self.super.set("syncing", self.super.get("syncing") % 2)
        for field in ("joined", "section"):
            self.super.set(field, 0)
        for segments, prefix in ((self.warm, ""), (self.cold, "cold_")):
            # What reclaim met in the part of a segment that it is through with nobody knows.
            number, within = divmod(
                self.super.get(f"{prefix}head"), segments.segment_units if segments else 1
            )
            self.super.set(f"{prefix}damaged", 1 + number if within > HEADER_UNITS else 0)
        self._count_opening()
        self.super.clean = False
        for directory in self.directories:
            for name in leftovers(directory):
                directory.unlink(name)
        for segments in (self.warm, self.cold):
            if segments is not None:
                self._make_writable(segments)

    def give_up(self) -> None:
        """Close what could not be opened. The archive stays whose it was: nothing was put."""
        if self._owned_by and self.archive is not None:
            self.archive.restore(self._owned_by)
        self.close(clean=False)

    def own_archive(self) -> None:
        """Note in the archive's first page whose it is, and a bound of the versions given out."""
        if self.archive is not None:
            l2_uuid = self.archive.partner() if self.warm is None else self.super.uuid
            self.archive.own(self.super.uuid, self.version_floor(), l2_uuid)
            self.note_cold_head()

    def note_cold_head(self) -> None:
        """Keep the head of the cold log in the archive's first page too, for when the store's own
        is lost: without it, what was evicted would return, older than what came after.
        """
        if self.archive is not None:
            self.archive.set("cold_head", self.super.get("cold_head"))

    def _make_writable(self, segments: Segments) -> None:
        """Allocate and map in full the segments from the tail's on."""
        tail = self.super.get(tail_of(segments))
        for number in segments.numbers:
            if number >= tail // segments.segment_units and segments.allocate_all(number):
                mapping = segments.open(number)
                if mapping is not None:
                    self.log.add_segment(segments.which, number, mapping)

    def version_floor(self) -> int:
        """A bound that no version given out before the archive hears again will reach."""
        if self.warm is None:
            return self.super.get("tail") + VERSION_RESERVE
        last = max([self.super.get("tail") // self.warm.segment_units, *self.warm.numbers])
        return (last + 1) * self.warm.segment_units

    # -- by tier -----------------------------------------------------------------------------

    @property
    def first_tier(self) -> int:
        """The tier that the store's first page and index lie in."""
        return COLD if self.warm is None else WARM

    def segments(self, tier: int) -> Segments | None:
        return self.cold if tier == COLD else self.warm

    def values(self, tier: int) -> ValueFiles | None:
        return self.cold_values if tier == COLD else self.warm_values

    @property
    def all_values(self) -> list[ValueFiles]:
        """The value files of each tier that is there."""
        return [values for values in (self.warm_values, self.cold_values) if values is not None]

    def tail_segment(self, tier: int) -> int:
        """The number of the segment that a tier's tail lies in (or would)."""
        segments = self.segments(tier)
        assert segments is not None
        return self.super.get(tail_of(segments)) // segments.segment_units

    def next_segment(self, tier: int) -> int:
        """The number of the segment that an append needs which finds no room: that of the tail,
        unless this process has that.
        """
        number = self.tail_segment(tier)
        return number if self.log.mapping(tier, number) is None else number + 1

    def require_open(self) -> None:
        """ClosedError after close."""
        if self.log.closed:
            raise ClosedError(f"the store is closed: {str(self.directory.path)!r}")

    def close(self, *, clean: bool) -> None:
        """Unmap and unlock. `clean` records that nothing is left to look for at the next open; that
        is for the last one to say who has the store open.

        Idempotent, and to be called again when an interrupt came: `closed` tells whether it did.
        """
        log: Log | None = getattr(self, "log", None)
        if log is not None:
            if clean and not self.read_only and not log.closed and self._is_last():
                self._note_clean()
            if not self.read_only and not log.closed and log.shared and not log.orphaned:
                self.super.set("section", 0)  # a close is no death at work
            log.close()
        self._release(forked=False, clean=clean)

    def abandon(self) -> None:
        """In a forked child: let go of all, and touch no lock, which is the parent's."""
        log: Log | None = getattr(self, "log", None)
        if log is not None:
            log.close()
        self._release(forked=True, clean=False)

    def _release(self, *, forked: bool, clean: bool) -> None:
        for page in self._supers:
            page.release()
            page.mapping.close()
        for processes in self.processes:
            processes.leave(forked=forked, clean=clean)
        for directory in self.directories:
            directory.close()
        self.closed = True

    @property
    def paths(self) -> list[Path]:
        return [directory.path for directory in self.directories]
