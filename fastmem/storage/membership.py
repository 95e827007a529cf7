"""An engine among the processes that have its store open: waiting for them, and being forked."""

from __future__ import annotations

from threading import get_ident

from fastmem._core.log import COLD, WARM, Log
from fastmem._core.sectionlock import SectionLock
from fastmem._core.turns import wait_for_lock
from fastmem.storage.large import LargeWriter
from fastmem.storage.opening import StoreFiles
from fastmem.storage.processes import NEXT, SECTION, SYNC
from fastmem.storage.room import Room
from fastmem.storage.section import Section
from fastmem.storage.syncing import Syncer
from fastmem.storage.viewing import Views

__all__ = ["Membership"]

_HURRY_MS = 10  # many steps of whoever is at work on files


class Membership:
    """The part of Engine that knows of other processes."""

    files: StoreFiles
    log: Log
    section: Section
    large: LargeWriter
    lock: SectionLock
    room: Room
    syncer: Syncer
    views: Views
    durability: str
    read_only: bool
    _timeout_ns: int

    def _share_section(self) -> None:
        first = self.files.processes[0]
        if first.slot >= 0 and first.procs is not None:
            path = str(self.files.directory.path)
            self.lock.share(first.procs, SECTION, NEXT, self._timeout_ns, self, path)
            self.syncer.lead.share(first.procs, SYNC)

    def enter_section(self) -> None:
        self.files.enter_section()

    def leave_section(self) -> None:
        self.files.leave_section()

    def rejoin(self) -> None:
        """In a forked child: be a process of one's own."""
        if self.log.orphaned:
            self.section.depth += 1
            try:
                self.files.rejoin()
                self._share_section()
            finally:
                self.section.depth -= 1

    def be_member(self) -> None:
        """In a forked child: be a process of one's own, if it is none yet. FastmemError in the
        middle of just that.
        """
        if self.log.orphaned:
            with self.lock:  # which begins with that
                if self.log.orphaned:
                    self.section.refuse_nested("the first change of a forked child")

    def leave_parent(self) -> bool:
        """In a forked child: close. False, and nothing is done, when it is a process of its own."""
        if not self.log.orphaned:
            return False
        with self.lock.apart() as apart:  # another thread may be about to become one
            if apart:
                self.section.refuse_nested("close()")
                self.abandon()
        return apart

    def wait_for_lock(self) -> None:
        """Wait until the write lock may be had. StoreTimeoutError, and nothing has changed."""
        if self.log.orphaned:
            self.be_member()
            return
        steals = self.log.steals
        redone = wait_for_lock(self.log, self._timeout_ns)
        if self.log.steals != steals:
            self.files.redone_records += redone
            self.files.note_death()

    def hurry(self) -> None:
        """Hardly wait for anybody from here on. For a finalizer: what it would wait for may be the
        call that the collector runs in, of another store on the same directory.
        """
        self._timeout_ns = self.lock.timeout_ns = self.syncer.timeout_ns = _HURRY_MS * 1_000_000
        self.files.timeout_s = _HURRY_MS / 1e3

    def _clear_up(self) -> None:
        """Before a close: what dead processes left goes. Where that fails, no close is clean."""
        if self.files.died or self.files.anyone_died:
            try:
                self.files.clear_up(self.pass_lock)
            except (OSError, MemoryError) as error:
                self.room.note_failure(error)

    def pass_lock(self) -> None:
        """Take the write lock once, and give it back. See `Log.pass_lock`. StoreTimeoutError."""
        self.room.provided(self.log.pass_lock)

    def inherit(self) -> None:
        """In a forked child: leave to the parent what is the parent's. Reading goes on; the first
        change makes this one of the processes that share the store. What the parent has for itself
        alone is closed; so is the store when the thread that forked was at work on its files, in
        the middle of a call which is the parent's and to which a signal handler comes back here.
        """
        self.section.depth = 0
        at_work, leads = self.lock.renew(), self.syncer.lead.renew()
        amid = at_work or leads or self.large.is_at_work(get_ident())
        if amid or (self.durability == "cache" and not self.read_only):
            self.abandon()
            return
        self.log.forget_work()
        for tier in (WARM, COLD):
            if (values := self.files.values(tier)) is not None:
                values.forget_work()

    def abandon(self) -> None:
        """In a forked child: give up without a trace. The parent's locks stay the parent's."""
        self.lock.unshare()
        self.syncer.lead.unshare()
        self.views.close()
        self.files.abandon()
