"""Values too large for a segment: a file each, `val.<id>`, and the pointer record that names it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from fastmem._core.hashing import digest
from fastmem._core.layout import BODY_ALIGNMENT_BYTES, FORMAT, KEY_LIMIT_BYTES, form
from fastmem.errors import CorruptRecordError
from fastmem.storage.files import Directory

log_to = logging.getLogger("fastmem.storage")

VALUE_MAGIC = b"FMVALUE\0"
# What a device or file system answers when the bytes are not to be had, now or later.
UNREADABLE = frozenset((errno.EIO, errno.ESTALE, errno.ENODATA, errno.EUCLEAN))
_HEAD = struct.Struct(form("value", "magic", "pointer.checksum"))
_CHECK = struct.Struct(form("value", "check", "check"))
_POINTER = struct.Struct(form("pointer", "id", "checksum"))
_NAME = re.compile(r"val\.([0-9a-f]{16})")


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


class ValueFiles:
    """The value files of one directory.

    A file is written whole before a record points to it and is unlinked only after no record
    does, so that a crash leaves at worst an orphan, which the next open removes.
    """

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._bytes = {number: directory.allocated_bytes(name) for number, name in self._listed()}
        self.linked_bytes = sum(self._bytes.values())
        # Written, or about to be, for a record that is not appended yet: number -> key, bytes.
        self.pending: dict[int, tuple[bytes, int]] = {}
        # About to lose their record, and then to be unlinked: number -> key.
        self.leaving: dict[int, bytes] = {}
        self._doomed: list[tuple[int, int]] = []
        self.unsynced: set[int] = set()

    def _listed(self) -> Iterator[tuple[int, str]]:
        for name in self.directory.names():
            match = _NAME.fullmatch(name)
            if match:
                yield int(match[1], 16), name

    def numbers(self) -> list[int]:
        return list(self._bytes)

    def check(self) -> list[str]:
        """Return what is wrong with the count of files and bytes, as sentences."""
        there = self._found()
        problems = []
        if there != self._bytes:
            problems.append(f"value files counted as {self._bytes}, found as {there}")
        if self.linked_bytes != sum(self._bytes.values()):
            problems.append(f"value files take {sum(there.values()):,}, not {self.linked_bytes:,}")
        return problems

    @staticmethod
    def footprint(length: int) -> int:
        """Bytes on disk of a value of `length` bytes, key aside."""
        return (length + 2 * 4096 - 1) & -4096

    def write(self, number: int, key: bytes, content: bytes, *, sync: bool) -> Pointer:
        """Write value file `number` (see `new_number`). The content begins at a 64-byte offset.

        It is pending, and counts from `publish` on. After an exception it may be there or not.
        """
        self.pending[number] = key, 0
        pointer = Pointer(number, len(content), digest(content))
        head = _HEAD.pack(VALUE_MAGIC, FORMAT, len(key), *pointer)
        head += _CHECK.pack(digest(head)) + key
        name = self._name(number)
        padding = bytes(-len(head) % BODY_ALIGNMENT_BYTES)
        self.directory.write(name, [head, padding, content], sync=sync)
        if not sync:
            self.unsynced.add(number)  # not before: a sync meanwhile would find no file
        self.pending[number] = key, self.directory.allocated_bytes(name)
        return pointer

    @staticmethod
    def new_number() -> int:
        return int.from_bytes(os.urandom(8), "little")

    def publish(self, number: int) -> None:
        """Count a pending file: a record leads to it now."""
        # No call before the last line, so no other thread comes between (it may unlink the file,
        # whose record was replaced already), and no interrupt.
        if number in self.pending and number not in self._bytes:
            _key, size = self.pending[number]
            self._bytes[number] = size
            self.linked_bytes += size
        self.pending.pop(number, None)

    def bytes_of(self, number: int) -> int:
        """Bytes on disk of a counted file, 0 when there is none."""
        return self._bytes.get(number, 0)

    def read(self, key: bytes, pointer: Pointer) -> bytes:
        """Return a value, its checksum verified.

        CorruptRecordError, also for what the device cannot read; FileNotFoundError. Other errors
        (too many open files, say) tell nothing of the value.
        """
        name = self._name(pointer.number)
        start = (
            -(-(_HEAD.size + _CHECK.size + len(key)) // BODY_ALIGNMENT_BYTES) * BODY_ALIGNMENT_BYTES
        )
        try:
            content = self.directory.read(name, pointer.length, start)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            reason = f"value of {pointer.length:,} bytes cannot be read: {error.strerror}"
            raise CorruptRecordError(reason, self.directory.path / name, start) from error
        if len(content) != pointer.length or digest(content) != pointer.checksum:
            raise CorruptRecordError(
                f"value of {pointer.length:,} bytes does not match its checksum",
                self.directory.path / name,
                start,
            )
        return content

    def vouch(self, key: bytes, pointer: bytes) -> bool:
        """True when the file of a packed pointer is there and whole. Reads all of it."""
        try:
            self.read(key, Pointer.unpack(pointer))
        except (CorruptRecordError, FileNotFoundError):
            return False
        return True

    def key_of(self, number: int) -> bytes | None:
        """Return the encoded key a value file was written for, None when its head is damaged.

        OSError when the device cannot read it.
        """
        start = _HEAD.size + _CHECK.size
        head = self.directory.read(self._name(number), start + KEY_LIMIT_BYTES)
        if len(head) < start:
            return None
        magic, _format, klen, *_pointer = _HEAD.unpack_from(head)
        (check,) = _CHECK.unpack_from(head, _HEAD.size)
        if magic != VALUE_MAGIC or check != digest(head[: _HEAD.size]):
            return None
        return head[start : start + klen]

    def doom(self, number: int, until: int) -> None:
        """Unlink a file once the log is synced up to `until` (its record must not come back)."""
        self._doomed.append((until, number))

    @property
    def doomed(self) -> bool:
        """True while a file waits for a sync to be unlinked."""
        return bool(self._doomed)

    def reap(self, synced: int) -> None:
        """Unlink what `synced` (the log's synced address) has set free."""
        for entry in list(self._doomed):
            if entry[0] <= synced:
                self.remove(entry[1])
                with contextlib.suppress(ValueError):  # another thread was at it too
                    self._doomed.remove(entry)

    def remove(self, number: int) -> None:
        """Unlink a value file now; one that cannot be is doomed, and tried again with the next."""
        try:
            if number in self.pending:  # perhaps not renamed yet, and not to be unlinked just then
                self.directory.unlink(f"new.{self._name(number)}")
            self.directory.unlink(self._name(number))
            self.unsynced.discard(number)
            self.pending.pop(number, None)
            self.leaving.pop(number, None)
            gone = self._bytes.pop(number, 0)  # a call, so not in the sum: another thread may come
            self.linked_bytes -= gone
        except OSError as error:
            log_to.warning("%s: %s", self.directory.path / self._name(number), error)
            self.doom(number, 0)
        except BaseException:
            self.recount()
            raise

    def recount(self) -> bool:
        """Count the files that are there: an interrupt may have come between a file and its count.

        True when the count was wrong.
        """
        there = self._found()
        wrong = there != self._bytes or self.linked_bytes != sum(there.values())
        self._bytes = there
        self.linked_bytes = sum(there.values())
        return wrong

    def _found(self) -> dict[int, int]:
        """The files that are there and not pending, with their bytes."""
        return {
            number: self.directory.allocated_bytes(name)
            for number, name in self._listed()
            if number not in self.pending
        }

    def sync(self) -> None:
        """Make every value written so far survive power loss."""
        for number in list(self.unsynced):
            self.directory.sync_file(self._name(number))
            self.unsynced.discard(number)

    @staticmethod
    def _name(number: int) -> str:
        return f"val.{number:016x}"
