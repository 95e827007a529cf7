"""A store that several processes have open: joining them, and what each learns of the others.

The third part of StoreFiles (the map is in opening.py). What is found and mended at an opening is
the first one's, who has the directories to himself meanwhile. Whoever comes then maps what is
there. Two words of the first page count what happens to the files: with `changes` readers learn
that segments have come or gone and that the index has grown, and who goes to work on the files
lists them anew when that, or `value_changes`, has moved.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

from fastmem._core.layout import PAGE_BYTES
from fastmem._core.log import CHORE_PAY
from fastmem.codecs import Authenticator
from fastmem.errors import ClosedError, FormatError, StoreError, StoreLockedError
from fastmem.storage import index_head, partners
from fastmem.storage.files import Directory
from fastmem.storage.indexing import IndexFiles
from fastmem.storage.keying import refuse_other_key
from fastmem.storage.pins import Pins
from fastmem.storage.processes import Processes
from fastmem.storage.segments import Segments
from fastmem.storage.strangers import leftovers
from fastmem.storage.superblock import ARCHIVE_MAGIC, STORE_MAGIC, Superblock, refuse_foreign
from fastmem.storage.values import INCARNATION_MASK, number_in, owner_of

LONGEST_GAP = 1 << 20  # segments that one process may be behind the others
_REBUILT = "its index was made anew by a process that opened it; open it again"


class SharedFiles(IndexFiles):
    """The third of StoreFiles that knows of other processes."""

    processes: list[Processes]
    pins: Pins
    cold_directory: Directory | None
    timeout_s: float
    attached = False  # other processes had the store open
    died = False  # and one of them died at work, so that files may lie about
    _authenticator: Authenticator | None
    _alone: bool
    _supers: list[Superblock]
    _listed = (-1, -1)  # changes and value_changes of when the files were listed last

    # -- joining -----------------------------------------------------------------------------

    def _find_others(self) -> bool:
        """True when other processes write to the directories: as they lie there, they are in use.

        StoreLockedError when they do so in a way that goes with no other.
        """
        for processes in self.processes:
            processes.be_alone(alone=self._alone)
        others = [processes.others for processes in self.processes]
        if any(others) and not all(others):
            place = self.directories[others.index(True)].path
            raise StoreLockedError("another process has it open with another partner", place)
        if not self.read_only and not any(others):
            for processes in self.processes:
                processes.refuse_lookers()
        return any(others)

    def _attach(self) -> None:
        """Join the processes that have the store open. What they found and mended is not looked
        for again, and nothing is written but by the compiled steps.
        """
        for directory, name in ((self.directory, "super"), (self.cold_directory, "archive")):
            if directory is not None:
                refuse_other_key(directory, name, self._authenticator, read_only=self.read_only)
        self.attached = True
        self.super = self._live_page(self.directory, "super", STORE_MAGIC)
        self._listed = self.changes  # first: what comes later is news
        self.archive: Superblock | None = None
        if self.cold_directory is None:
            if not self.read_only:
                partners.refuse_without_archive(self.super, self.directories)
        else:
            self.archive = self._live_page(self.cold_directory, "archive", ARCHIVE_MAGIC)
            if self.archive.owner()[0] != self.super.uuid:
                raise StoreLockedError(
                    "another process has it open with another partner", self.cold_directory.path
                )
        self.page_was_lost = self.bounds_unknown = self.other_boot = self.was_clean = False
        self.same_boot = True
        self._list_all()
        self._attach_index()
        self.log.wall_offset_ns = self.super.wall_offset_ns(anchor=False)

    def _live_page(self, directory: Directory, name: str, magic: bytes) -> Superblock:
        """Map a first page that other processes have in use."""
        path = directory.path / name
        refuse_foreign(directory.read(name, PAGE_BYTES), path, magic)
        page = Superblock(directory.map(name, PAGE_BYTES), directory.path)
        self._supers.append(page)
        if not page.sound:
            raise FormatError("is damaged, while other processes have it open", path)
        return page

    def _settle_in(self) -> None:
        """Be one of the processes that have the store open, and let others open it."""
        if not self.read_only:
            for processes in self.processes:
                processes.take_slot()
            first = self.processes[0]
            mapping = first.map_lines()
            assert first.procs is not None
            self.log.join(mapping, first.procs, first.slot)
            for values in (self.warm_values, self.cold_values):
                if values is not None:
                    values.share(first.slot, first.incarnation, self)
            if self.attached:
                self.super.set("joined", self.super.get("joined") + 1)
                if self.anyone_died:
                    self.note_death()
            else:
                first.forget(first.dead())  # who opens a store removes what lies about
        elif not self.attached:
            for processes in self.processes:
                processes.look()
        if self.attached or not self.read_only:
            if not self.attached:
                self._listed = self.changes
                self.log.vouch_for_tails()
            self._attached_place = self._index_place()
            self.log.share(self, self._listed[0])
        for processes in self.processes:
            processes.stay()

    @property
    def was_shared(self) -> bool:
        """True when others have had the store open since nobody had."""
        return self.attached or self.super.get("joined") > 0

    def rejoin(self) -> None:
        """In a forked child: be a process of one's own, before the first change.

        StoreError when the store was opened anew meanwhile, by one who found nobody, and its index
        is another one.
        """
        try:
            for processes in self.processes:
                processes.begin(self.timeout_s)
            self._find_others()
            self._refuse_other_index()
            self.super.clean = False  # if its parent closed it, and was the last
            self.attached = True
            self._settle_in()
        except BaseException:
            self.log.withdraw()  # first: without its byte the name would be a dead one's
            for processes in self.processes:
                processes.withdraw()
            raise
        self._listed = (-1, -1)

    def _refuse_other_index(self) -> None:
        """StoreError when the index was made anew, or the archive opened without this store since,
        so that what the index says of it may be overwritten.
        """
        same = self._index_place() == self._attached_place
        if same and self.archive is not None:
            opens = index_head.archive_opens(self._index)
            same = self.archive.owner()[0] == self.super.uuid and self.archive.get("opens") == opens
        if not same:
            raise StoreError(_REBUILT, self.directory.path)

    def _is_last(self) -> bool:
        """True when nobody else has the store open, nor has died and left something; nobody will
        have then until this one has closed.
        """
        try:
            for processes in self.processes:
                processes.enter(self.timeout_s)
        except StoreError:  # somebody was stopped in the middle of opening it
            return False
        return not self.anyone_died and not any(processes.others for processes in self.processes)

    # -- what the others do ------------------------------------------------------------------

    def catch_up(self) -> None:
        """Called by the log when segments have come or gone, or the index has grown."""
        alone = self.read_only or self.log.orphaned  # one whom an opening does not wait for
        if alone and self._index_place() != self._attached_place:
            raise StoreError(_REBUILT, self.directory.path)
        self.learn_room()
        for which, mapping in self.log.retire():
            self.pins.retire(which, mapping)

    def map_segment(self, which: int, number: int) -> bool:
        """Map a segment that another process has begun. False when it is not there."""
        segments = self.segments(which)
        if segments is None:
            return False
        if self.log.mapping(which, number) is not None:
            return True
        if number > max(segments.numbers, default=0) + LONGEST_GAP:  # a damaged word
            return False
        mapping = None
        with contextlib.suppress(FileNotFoundError):
            mapping = segments.open(number)
        if mapping is None:
            if number < self.tail_segment(which):  # else it may still come
                self.log.note_gone(which, number)
            return False
        try:
            self.log.add_segment(which, number, mapping)
        except ValueError:  # older than all that are left: reclaim is done with it
            mapping.close()
            return False
        return True

    def require_mapped(self) -> None:
        """Map what a step asked for. StoreError when somebody has removed it, or damaged the
        index.
        """
        which, number = self.log.wanted
        if not self.log.map_missing():
            self.log.require_room()
            raise self.missing(which, number)

    def moved_tail(self) -> StoreError:
        """The error of a tail that is not where the last step left it."""
        return StoreError(
            "a tail of the log is damaged; close the store in all processes, and open it again",
            self.directory.path,
        )

    def missing(self, which: int, number: int) -> StoreError:
        """The error of a segment that somebody has removed."""
        segments = self.segments(which)
        assert segments is not None
        return StoreError(
            f"segment {number} has been removed, and the log is in segment "
            f"{self.tail_segment(which)}; close the store in all processes, and open it again",
            segments.directory.path / segments.name(number),
            errno.ENOENT,
        )

    def enter_section(self) -> None:
        """Called when no other process is at work on the files any more: know what they did."""
        if self.log.closed:  # by a close that was interrupted, and is called again
            return
        died = self.super.get("section") != 0
        self.super.set("section", 1 + self.processes[0].slot)
        if died:
            self.note_death()
            self.log.note_change()  # all others look too: of its last change it may not have told
            self.log.note_value_change()
        listed = self.changes
        if died or listed[0] != self._listed[0]:
            self.learn_room()
            for segments in (self.warm, self.cold):
                if segments is not None:
                    segments.list_anew()
        if died or listed[1] != self._listed[1]:
            for values in (self.warm_values, self.cold_values):
                if values is not None:
                    values.list_anew()
            if self.anyone_died:
                self.note_death()
        self._listed = listed

    def note_death(self) -> None:
        """Another process died at work: what it left behind is cleared up with the next chores."""
        self.died = True
        self.log.chores |= CHORE_PAY

    @property
    def anyone_died(self) -> bool:
        """True when a process died and nobody has cleared up after it since."""
        first = self.processes[0]
        return first.heir or bool(first.dead())

    def clear_up(self, pass_lock: Callable[[], None]) -> None:
        """Remove the files that dead processes were at work on. In the section. For `pass_lock` see
        `remove_orphans`.
        """
        first = self.processes[0]
        dead = first.dead()
        for directory in self.directories:
            for name in leftovers(directory):
                number = number_in(name)
                # A dictionary may be somebody's who lives, and does not lie about for long.
                if ".dict." not in name and (number is None or not self.is_somebodys(number)):
                    directory.unlink(name)
        self.remove_orphans(pass_lock)
        first.forget(dead)
        self.died = False

    def leave_section(self) -> None:
        """Called before the next may go to work."""
        with contextlib.suppress(ClosedError):
            self.super.set("section", 0)

    @property
    def changes(self) -> tuple[int, int]:
        """How often segments or the index, and value files, have changed."""
        return self.super.get("changes"), self.super.get("value_changes")

    def map_news(self, which: int, number: int) -> bool:
        """Map a segment if another process has begun it since this one went to work on files."""
        return self.changes[0] != self._listed[0] and self.map_segment(which, number)

    def note_change(self) -> None:
        """Tell the others that segments or the index are not what they were. In the section."""
        if not self.log.shared:  # opening it: nobody else is there
            return
        self.log.note_change()
        # What was listed is what is there now: nobody else is at work.
        self._listed = self.super.get("changes"), self._listed[1]

    def note_value_change(self) -> None:
        """Tell them that a value file has come or gone, which this process has counted."""
        before = self.log.note_value_change()
        if before == self._listed[1]:
            self._listed = self._listed[0], before + 1

    def is_somebodys(self, number: int) -> bool:
        """True for a value file of a process that lives, be it this one."""
        slot, incarnation = owner_of(number)
        first = self.processes[0]
        own = slot == first.slot and incarnation == first.incarnation & INCARNATION_MASK
        return own or self.is_anothers(number)

    def is_anothers(self, number: int) -> bool:
        """True for a value file of another process that lives: it may have no record yet."""
        slot, incarnation = owner_of(number)
        first = self.processes[0]
        return slot != first.slot and first.lives(slot, incarnation)

    # Of StoreFiles.

    def remove_orphans(self, pass_lock: Callable[[], None]) -> None:
        raise NotImplementedError

    def segments(self, tier: int) -> Segments | None:
        raise NotImplementedError

    def tail_segment(self, tier: int) -> int:
        raise NotImplementedError

    def _list_all(self) -> None:
        raise NotImplementedError
