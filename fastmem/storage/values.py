"""Values too large for a segment: a file each, `val.<id>`, and the pointer record that names it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from fastmem._core.hashing import digest
from fastmem._core.layout import BODY_ALIGNMENT_BYTES, FORMAT, KEY_LIMIT_BYTES, form
from fastmem._core.mapping import Mapping
from fastmem._core.tally import Tally
from fastmem.errors import CorruptRecordError
from fastmem.storage.descriptors import NO_FILE
from fastmem.storage.files import Directory
from fastmem.storage.numbers import refuse_number
from fastmem.storage.surviving import Surviving

log_to = logging.getLogger("fastmem.storage")

VALUE_MAGIC = b"FMVALUE\0"
# What a device or file system answers when the bytes are not to be had. That may pass (EACCES), so
# a reader removes nothing; but neither reclaim nor an opening waits for it. All other answers (no
# descriptors, no memory) are about this process, and errors of the call.
UNREADABLE = NO_FILE.union(
    (errno.EIO, errno.ESTALE, errno.ENODATA, errno.EUCLEAN, errno.EBADMSG, errno.EREMOTEIO),
    (errno.EACCES, errno.EPERM),
)
_HEAD = struct.Struct(form("value", "magic", "pointer.checksum"))
_CHECK = struct.Struct(form("value", "check", "check"))
_POINTER = struct.Struct(form("pointer", "id", "checksum"))
_NAME = re.compile(r"val\.([0-9a-f]{16})")


# A file's number: the slot and the incarnation of the process that wrote it, and a count.
_SLOT_SHIFT, _INCARNATION_SHIFT = 52, 32
INCARNATION_MASK = (1 << (_SLOT_SHIFT - _INCARNATION_SHIFT)) - 1
_COUNT_MASK = (1 << _INCARNATION_SHIFT) - 1


def owner_of(number: int) -> tuple[int, int]:
    """(slot, incarnation as far as there is room for it) of the process that wrote a file."""
    return number >> _SLOT_SHIFT, number >> _INCARNATION_SHIFT & INCARNATION_MASK


def number_in(name: str) -> int | None:
    """The number of the value file that a name, of work in progress too, is of."""
    match = re.search(r"(?:^|\.)val\.([0-9a-f]{16})$", name)
    return int(match[1], 16) if match else None


class Pointer(NamedTuple):
    """The body of a pointer record."""

    number: int
    length: int
    checksum: int

    def pack(self) -> bytes:
        return _POINTER.pack(*self)

    @classmethod
    def unpack(cls, body: bytes) -> Pointer:
        return cls(*_POINTER.unpack_from(body))


class Sharer(Protocol):
    """Who tells other processes of value files."""

    def note_value_change(self) -> None: ...


class Maps(Protocol):
    """What has value files mapped."""

    def drop(self, number: int) -> None: ...


class ValueFiles:
    """The value files of one directory.

    A file is written whole before a record points to it and is unlinked only after no record
    does, so that a crash leaves at worst an orphan, which the next open removes.
    """

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._tally = Tally()
        for number, name in self._listed():
            self._tally.add(number, directory.allocated_bytes(name))
        # About to lose their record, and then to be unlinked: number -> key.
        self.leaving: dict[int, bytes] = {}
        self._doomed: list[tuple[tuple[int, int], int]] = []
        self.unsynced: dict[int, int] = {}  # written here without a sync -> `asked` as of then
        self.surviving = Surviving(directory)
        self._owner = 0  # the part of a new number that tells whose it is
        self._counts = itertools.count(int.from_bytes(os.urandom(4), "little"))
        self._sharer: Sharer | None = None
        self.maps: Maps | None = None  # of views

    def _listed(self) -> Iterator[tuple[int, str]]:
        for name in self.directory.names():
            match = _NAME.fullmatch(name)
            if match:
                yield int(match[1], 16), name

    def share(self, slot: int, incarnation: int, sharer: Sharer) -> None:
        """Name new files after a process, and tell `sharer` when a file has come or gone."""
        self._owner = slot << _SLOT_SHIFT | (incarnation & INCARNATION_MASK) << _INCARNATION_SHIFT
        self._sharer = sharer

    def forget_work(self) -> None:
        """In a forked child: leave to the parent the files that it is at work on."""
        for number in self.pending:
            self._tally.drop(number)
        self.leaving.clear()
        self._doomed.clear()
        self.unsynced.clear()
        self.surviving.forget()

    def _changed(self) -> None:
        if self._sharer is not None:
            self._sharer.note_value_change()

    def _unmap(self, number: int) -> None:
        """No view begins on a file that is gone."""
        if self.maps is not None:
            self.maps.drop(number)

    def list_anew(self) -> None:
        """Take in what other processes have written and removed. What one of them is about to put
        counts from here on, too.
        """
        counted = self.numbers()  # first: what other threads write meanwhile stays
        there = dict(self._listed())
        for number in counted:
            if number not in there:
                self._tally.drop(number)
                self._unmap(number)
        for number, name in there.items():
            if not self._tally.knows(number):
                self._tally.add(number, self.directory.allocated_bytes(name))
                if self.is_gone(number):
                    self._tally.drop(number)

    def numbers(self) -> list[int]:
        """The files that count."""
        return list(self._tally.counted())

    @property
    def linked_bytes(self) -> int:
        """Bytes of the files that count."""
        return self._tally.total_bytes

    @property
    def pending(self) -> dict[int, bytes]:
        """Files written, or about to be, for a record that is not appended yet: number -> key."""
        return self._tally.pending()

    def check(self) -> list[str]:
        """Return what is wrong with the count of files and bytes, as sentences."""
        pending = self.pending
        there = {
            number: self.directory.allocated_bytes(name)
            for number, name in self._listed()
            if number not in pending
        }
        counted = self._tally.counted()
        problems = []
        if there != counted:
            problems.append(f"value files counted as {counted}, found as {there}")
        if self.linked_bytes != sum(counted.values()):
            problems.append(f"value files take {sum(there.values()):,}, not {self.linked_bytes:,}")
        return problems

    @staticmethod
    def footprint(length: int) -> int:
        """Bytes on disk of a value of `length` bytes, key aside."""
        return (length + 2 * 4096 - 1) & -4096

    def write(
        self, number: int, key: bytes, content: bytes, *, sync: bool, asked: int = 0
    ) -> Pointer:
        """Write value file `number` (see `new_number`). The content begins at a 64-byte offset.

        It is pending, and counts from `publish` on. After an exception it may be there or not.
        `asked`: how often the device was asked for a sync, as of before.
        """
        self._tally.begin(number, key)
        pointer = Pointer(number, len(content), digest(content))
        head = _HEAD.pack(VALUE_MAGIC, FORMAT, len(key), *pointer)
        head += _CHECK.pack(digest(head + key)) + key
        name = self._name(number)
        padding = bytes(-len(head) % BODY_ALIGNMENT_BYTES)
        self.directory.write(name, [head, padding, content], sync=sync)
        if sync:
            self.surviving.note(name)
        else:
            self.unsynced[number] = asked
        self._tally.measure(number, self.directory.allocated_bytes(name))
        self._changed()
        return pointer

    def new_number(self) -> int:
        """A number that no file has."""
        for count in self._counts:
            number = self._owner | count & _COUNT_MASK
            if self.is_gone(number):
                break
        return number

    def publish(self, number: int) -> None:
        """Count a pending file: a record leads to it now. One step, which needs no memory; no
        effect when another thread has removed it, because its record was replaced already.
        """
        self._tally.publish(number)

    def abandon(self, number: int) -> None:
        """Note that the writer of a pending file gave up. See `LargeWriter.settle`."""
        self._tally.abandon(number)

    def is_abandoned(self, number: int) -> bool:
        """True for a pending file whose writer gave up."""
        return self._tally.is_abandoned(number)

    def bytes_of(self, number: int) -> int:
        """Bytes on disk of a counted file, 0 when there is none."""
        return self._tally.bytes_of(number)

    def read(self, key: bytes, pointer: Pointer, *, wait: bool = True) -> bytes:
        """Return a value, its checksum verified. Without `wait` BlockingIOError for one that is not
        all in memory.

        CorruptRecordError, also for what the device cannot read; FileNotFoundError. Other errors
        (too many open files, say) tell nothing of the value.
        """
        start = self._start(key)
        try:
            read = self.directory.read if wait else self.directory.read_resident
            content = read(self._name(pointer.number), pointer.length, start)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            raise self._unreadable(error, pointer, start) from error
        if len(content) != pointer.length or digest(content) != pointer.checksum:
            raise self.damaged(pointer, start)
        return content

    def map(self, key: bytes, pointer: Pointer) -> tuple[Mapping, int]:
        """Map a value's file up to its end, read-only. Return where in it the value begins.

        Its checksum is not verified. Otherwise raises as `read` does.
        """
        name, start = self._name(pointer.number), self._start(key)
        try:
            if self.directory.size(name) < start + pointer.length:
                raise self.damaged(pointer, start)
            return self.directory.map(name, start + pointer.length, writable=False), start
        except OSError as error:
            if error.errno not in UNREADABLE or isinstance(error, CorruptRecordError):
                raise
            raise self._unreadable(error, pointer, start) from error

    @staticmethod
    def _start(key: bytes) -> int:
        """Where in its file a value begins."""
        head = _HEAD.size + _CHECK.size + len(key)
        return -(-head // BODY_ALIGNMENT_BYTES) * BODY_ALIGNMENT_BYTES

    def damaged(self, pointer: Pointer, start: int) -> CorruptRecordError:
        """The error of a value that is not what was written."""
        return CorruptRecordError(
            f"value of {pointer.length:,} bytes does not match its checksum",
            self.directory.path / self._name(pointer.number),
            start,
        )

    def _unreadable(self, error: OSError, pointer: Pointer, start: int) -> CorruptRecordError:
        return CorruptRecordError(
            f"value of {pointer.length:,} bytes cannot be read: {error.strerror}",
            self.directory.path / self._name(pointer.number),
            start,
        )

    def vouch(self, key: bytes, pointer: bytes) -> bool:
        """True when the file of a packed pointer is there and whole, or cannot be read for now.

        Reads all of it.
        """
        try:
            self.read(key, Pointer.unpack(pointer))
        except FileNotFoundError:
            return False
        except CorruptRecordError as error:
            return isinstance(error.__cause__, OSError)
        return True

    def key_of(self, number: int) -> bytes | None:
        """Return the encoded key a value file was written for, None when that is damaged.

        OSError when the device cannot read it; FormatError when it is of a format not read here.
        """
        start = _HEAD.size + _CHECK.size
        head = self.directory.read(self._name(number), start + KEY_LIMIT_BYTES)
        if len(head) < start:
            return None
        magic, format_number, klen, *_pointer = _HEAD.unpack_from(head)
        (check,) = _CHECK.unpack_from(head, _HEAD.size)
        key = head[start : start + klen]
        if magic != VALUE_MAGIC or check != digest(head[: _HEAD.size] + key):
            return None
        refuse_number(format_number, self.directory.path / self._name(number))
        return key

    def is_gone(self, number: int) -> bool:
        """True when a file is not there, whatever was counted."""
        return not self.directory.allocated_bytes(self._name(number))

    def doom(self, number: int, until: tuple[int, int]) -> None:
        """Unlink a file once the warm and the cold log are synced up to `until`.

        Its record must not come back, and what took its place must be there. The file is marked
        meanwhile: when this process rests, or dies, another one makes that sync (`marked`).
        """
        self._doomed.append((until, number))
        if self._sharer is not None and any(until):
            with contextlib.suppress(OSError):  # a mark helps others, and is not needed here
                self.directory.mark(self._name(number))

    def marked(self) -> list[int]:
        """The files that another process waits, or has waited, to unlink. Cost: a stat of each."""
        own = {number for _until, number in self._doomed}
        return [
            number
            for number in self.numbers()
            if number not in own and self.directory.is_marked(self._name(number))
        ]

    @property
    def doomed(self) -> bool:
        """True while a file waits for a sync to be unlinked."""
        return bool(self._doomed)

    def reap(self, synced: tuple[int, int]) -> None:
        """Unlink what `synced` (up to where the warm and the cold log are) has set free."""
        for entry in list(self._doomed):
            (warm, cold), _number = entry
            if warm <= synced[0] and cold <= synced[1]:
                self.remove(entry[1])
                with contextlib.suppress(ValueError):  # another thread was at it too
                    self._doomed.remove(entry)

    def remove(self, number: int) -> None:
        """Unlink a value file now; one that cannot be is doomed, and tried again with the next."""
        name = self._name(number)
        try:
            if self._tally.is_pending(
                number
            ):  # perhaps not renamed yet, and not to be unlinked just then
                self.directory.unlink(f"new.{name}")
            self.directory.unlink(name)
            self._unmap(number)
            self.unsynced.pop(number, None)
            self._tally.drop(number)
            self.leaving.pop(number, None)
            self._changed()
        except OSError as error:
            log_to.warning("%s: %s", self.directory.path / name, error)
            self.doom(number, (0, 0))
        except BaseException:  # of an interrupt between the file and its count
            self._tally.measure(number, self.directory.allocated_bytes(name))
            raise

    def recount(self) -> bool:
        """Measure the files that count, and forget those that are gone. True when that is news."""
        news = [
            self._tally.measure(number, self.directory.allocated_bytes(self._name(number)))
            for number in self.numbers()
        ]
        return any(news)

    @staticmethod
    def _name(number: int) -> str:
        return f"val.{number:016x}"
