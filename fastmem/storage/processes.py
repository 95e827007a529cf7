"""Who has a directory open: byte locks of its file `procs`, which the kernel frees at a death.

::

    0 .. 4095   one for each process that writes, while it lives
    OPENING     who opens or closes the directory, so that one at a time does
    ALONE       shared by all that have it open; the lock of one who wants no other beside him
    SECTION     who is at work on the files: see section.py
    LOOKING     shared by readers that came while nobody wrote, and hold on to what they found
    NEXT        who is next in line for SECTION
    SYNC        who syncs for all that wait for it: see syncing.py

The locks belong to the open file, not to the process: two stores of one process are two, and a
forked child has its parent's until it closes the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time

from fastmem._core.descriptor import Descriptor
from fastmem._core.hashing import digest
from fastmem._core.layout import (
    FORMAT,
    PAGE_BYTES,
    PROCESS_BYTES,
    PROCESS_SLOTS,
    PROCESSES_BYTES,
    TOUCHED_BITS,
    form,
    offset,
)
from fastmem._core.mapping import Mapping
from fastmem._core.ofd import held_byte, lock_bytes, unlock_bytes
from fastmem.errors import StoreLockedError, StoreTimeoutError, TooManyProcessesError
from fastmem.storage.files import LOCK_FILE, Directory
from fastmem.storage.values import INCARNATION_MASK

__all__ = ["NEXT", "PROCESSES_FILE_BYTES", "PROCESS_SLOTS", "SECTION", "SYNC", "Processes"]

PROCESSES_MAGIC = b"FMPROCS\0"
OPENING, ALONE, SECTION, LOOKING, NEXT, SYNC = range(PROCESS_SLOTS, PROCESS_SLOTS + 6)
_LOCKED_BYTES = PROCESS_SLOTS + 6
PROCESSES_FILE_BYTES = -(-PROCESSES_BYTES // PAGE_BYTES) * PAGE_BYTES
_HEAD = struct.Struct(form("processes", "magic", "touched_bits"))
_CHECK = struct.Struct(form("processes", "check", "check"))
_FIRST_LINE = offset("processes", "process")
_LINE = struct.Struct(form("process", "incarnation", "open"))
_OPEN_AT = _FIRST_LINE + offset("process", "open")
_NAPS_S = (0.0002, 0.02)  # between two tries for OPENING: the first, the longest


class Processes:
    """One process among those that have a directory open, or are about to."""

    def __init__(self, directory: Directory, timeout_s: float) -> None:
        """Enter: from here to `stay` or `leave` nobody else opens or closes the directory.

        StoreTimeoutError. Read-only and never opened for writing there is nobody to exclude.
        """
        self._directory = directory
        self.procs: Descriptor | None = None
        self.slot = -1
        self.mapping: Mapping | None = None
        self.heir = False  # who had the slot before died
        self.incarnation = 0
        self.begin(timeout_s)

    def begin(self, timeout_s: float) -> None:
        """Open the file, also in place of the one that a forked child had from its parent, and
        enter.
        """
        directory = self._directory
        flags = os.O_RDONLY if directory.read_only else os.O_RDWR | os.O_CREAT
        try:
            self.procs = Descriptor(directory.open(LOCK_FILE, flags), inherited=False)
        except FileNotFoundError:
            if directory.read_only:
                return
            raise
        self.slot = -1
        self.enter(timeout_s)

    def _fd(self) -> int:
        assert self.procs is not None
        return self.procs.fd

    def _lock(self, byte: int, *, exclusive: bool) -> bool:
        return lock_bytes(self._fd(), byte, 1, exclusive)

    def enter(self, timeout_s: float) -> None:
        """Wait until nobody else opens or closes the directory, and keep it so until `stay`."""
        until = time.monotonic() + timeout_s
        nap, longest = _NAPS_S
        while not self._lock(OPENING, exclusive=not self._directory.read_only):
            if time.monotonic() > until:
                raise StoreTimeoutError(
                    f"another process has been opening or closing it for {timeout_s:.3g} s; is it "
                    "stopped?",
                    self._directory.path,
                )
            time.sleep(nap)
            nap = min(2 * nap, longest)

    def stay(self) -> None:
        """Let others open or close the directory."""
        if self.procs is not None:
            unlock_bytes(self._fd(), OPENING, 1)

    @property
    def others(self) -> bool:
        """True while another process has the directory open for writing."""
        if self.procs is None:
            return False
        return held_byte(self._fd(), 0, PROCESS_SLOTS) is not None  # its own is not another's

    def count(self) -> int:
        """How many processes have the directory open for writing. One system call each."""
        procs, found = self.procs, int(self.slot >= 0)
        if procs is None:
            return 0
        if procs.fd < 0:  # a forked child that is none of them
            try:
                procs, found = Descriptor(self._directory.open(LOCK_FILE, os.O_RDONLY)), 0
            except FileNotFoundError:
                return 0
        slot = -1
        while slot + 1 < PROCESS_SLOTS:
            held = held_byte(procs.fd, slot + 1, PROCESS_SLOTS - slot - 1)
            if held is None:
                break
            found, slot = found + 1, held
        return found

    def refuse_lookers(self) -> None:
        """StoreLockedError while readers hold on to what an opening would change."""
        if not self._lock(LOOKING, exclusive=True):
            raise self._locked("another process has it open with read_only=True")
        unlock_bytes(self._fd(), LOOKING, 1)

    def look(self) -> None:
        """Hold on to what is found, as long as nobody writes."""
        if self.procs is not None:
            self._lock(LOOKING, exclusive=False)

    def be_alone(self, *, alone: bool) -> None:
        """Want no other beside this one (`alone`), or only nobody who wants that."""
        if self.procs is None or self._lock(ALONE, exclusive=alone):
            return
        if alone:
            raise self._locked(
                'durability="cache" takes a directory for itself, and others have it open'
            )
        raise self._locked("another process has it open for itself")

    def _locked(self, reason: str) -> StoreLockedError:
        return StoreLockedError(reason, self._directory.path, errno.EAGAIN)

    def take_slot(self) -> None:
        """Become one of those that write. TooManyProcessesError when all slots are taken."""
        for slot in range(PROCESS_SLOTS):
            if self._lock(slot, exclusive=True):
                self.slot = slot
                return
        raise TooManyProcessesError(
            f"{PROCESS_SLOTS:,} processes have it open", self._directory.path, errno.EUSERS
        )

    def map_lines(self) -> Mapping:
        """Map the file, made whole first, and count this process in the line of its slot."""
        directory = self._directory
        if directory.size(LOCK_FILE) < PROCESSES_FILE_BYTES:
            directory.extend(LOCK_FILE, 0, PROCESSES_FILE_BYTES)
        if self.mapping is None:
            self.mapping = directory.map(LOCK_FILE, PROCESSES_FILE_BYTES)
        sizes = PROCESS_SLOTS, PROCESS_BYTES, TOUCHED_BITS
        head = _HEAD.pack(PROCESSES_MAGIC, FORMAT, *sizes)
        self.mapping.store(0, head + _CHECK.pack(digest(head)))
        at = _FIRST_LINE + self.slot * PROCESS_BYTES
        incarnation, still_open = _LINE.unpack(self.mapping.fetch(at, _LINE.size))
        self.heir = still_open != 0
        if not incarnation:  # a new file: no number from before a lost one may come again
            incarnation = int.from_bytes(os.urandom(5), "little")
        self.incarnation = incarnation + 1
        self.mapping.store(at, _LINE.pack(self.incarnation, 1))
        return self.mapping

    def lives(self, slot: int, incarnation: int) -> bool:
        """True while the process that has, or had, a slot lives; of its number the low bits count
        that a value file's name has room for.
        """
        if self.mapping is None or self.procs is None or held_byte(self._fd(), slot, 1) is None:
            return False
        at = _FIRST_LINE + slot * PROCESS_BYTES
        try:
            now, _open = _LINE.unpack(self.mapping.fetch(at, _LINE.size))
        except OSError:  # its page is missing: nobody can tell
            return True
        return bool(now & INCARNATION_MASK == incarnation)

    def dead(self) -> list[int]:
        """The slots of those that died and left what they were at work on. Some microseconds."""
        if self.mapping is None or self.procs is None:
            return []
        found: list[int] = []
        try:
            for slot in self.mapping.marked(_OPEN_AT, PROCESS_BYTES, PROCESS_SLOTS):
                held = slot == self.slot or held_byte(self._fd(), slot, 1) is not None
                # Or was it closed since? That is noted before the byte is free.
                if not held and self.mapping.fetch(_OPEN_AT + slot * PROCESS_BYTES, 1) == b"\1":
                    found.append(slot)
        except OSError:  # a page is missing: nobody can tell
            return []
        return found

    def forget(self, slots: list[int]) -> None:
        """Note that nothing is left of those that died in `slots`, nor of who had this one's before
        it. Who has come in one of them meanwhile stays.
        """
        assert self.mapping is not None
        self.heir = False
        for slot in slots:
            if self._lock(slot, exclusive=True):
                with contextlib.suppress(OSError):  # its page is missing
                    self.mapping.store(_OPEN_AT + slot * PROCESS_BYTES, b"\0")
                unlock_bytes(self._fd(), slot, 1)

    def withdraw(self) -> None:
        """Give up what `begin` and what followed it took, after a failure: a forked child may try
        again. What is mapped stays.
        """
        if self.procs is None or self.procs.fd < 0:  # it did not come to this one
            return
        if self.slot >= 0:
            self._note_end()
        unlock_bytes(self._fd(), 0, _LOCKED_BYTES)
        self.procs, self.slot = None, -1

    def _note_end(self) -> None:
        if self.mapping is not None:
            with contextlib.suppress(ValueError, OSError):
                at = _FIRST_LINE + self.slot * PROCESS_BYTES
                # else the next one is
                self.mapping.store(at, _LINE.pack(self.incarnation, self.heir))

    def leave(self, *, forked: bool = False, clean: bool = True) -> None:
        """Give up every lock. `forked`: they are the parent's, and only the file is closed. Not
        `clean`: something may be left to clear up, so this one counts as one that died.
        """
        if self.slot >= 0 and clean and not forked:
            self._note_end()
        if self.mapping is not None:
            self.mapping.close()  # again, after an interrupt right here: then it is closed already
            self.mapping = None
        if self.procs is not None and self.procs.fd >= 0 and not forked:
            unlock_bytes(self._fd(), 0, _LOCKED_BYTES)
        self.procs = None
        self.slot = -1
