"""The segment files of one tier: `seg.<n>` (warm) and `cold.<n>`. They are created and unlinked,
never overwritten; their numbers are never reused."""

from __future__ import annotations

import contextlib
import logging
import re
import struct
from collections import Counter
from pathlib import Path

from fastmem._core.hashing import digest
from fastmem._core.layout import FORMAT, SEGMENT_HEADER_BYTES, UNIT_BYTES, form
from fastmem._core.log import COLD
from fastmem._core.mapping import Mapping
from fastmem.errors import FormatError
from fastmem.storage.files import Directory
from fastmem.storage.numbers import refuse_number

log_to = logging.getLogger("fastmem.storage")

_PREFIX = ("seg", "cold")
SEGMENT_MAGIC = (b"FMWARM\0\0", b"FMCOLD\0\0")
_HEAD = struct.Struct(form("segment", "magic", "spare"))
_CHECK = struct.Struct(form("segment", "check", "check"))
MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES = 1 << 20, 64 << 20


def segment_bytes_for(budget_bytes: int | None) -> int:
    """Return the segment size of a budget: a sixteenth, 1 to 64 MiB, down to a power of two.

    An unbounded tier takes 16 MiB: small archives stay small.
    """
    wanted = 16 << 20 if budget_bytes is None else budget_bytes // 16
    clamped = min(max(wanted, MIN_SEGMENT_BYTES), MAX_SEGMENT_BYTES)
    return 1 << (clamped.bit_length() - 1)


def holds_segments(directory: Directory) -> bool:
    """True when a directory has segments of either tier."""
    return any(name.startswith(("seg.", "cold.")) for name in directory.names())


def tail_of(segments: Segments) -> str:
    """The field of the first page that holds a tier's tail."""
    return "cold_tail" if segments.which == COLD else "tail"


class Segments:
    """The linked segment files of one tier, oldest first, all of one size."""

    def __init__(
        self, directory: Directory, which: int, uuid: bytes, salt: int, segment_bytes: int
    ) -> None:
        self.directory = directory
        self.which = which
        self.uuid = uuid
        self.salt = salt
        self.segment_bytes = segment_bytes
        self.segment_units = segment_bytes // UNIT_BYTES
        self.numbers = self._listed()
        self._leaving = -1  # the number that was unlinked last, or is about to be
        self._lingers = True  # the device may have it still

    def _listed(self) -> list[int]:
        pattern = re.compile(rf"{_PREFIX[self.which]}\.(\d{{1,18}})")
        found = (pattern.fullmatch(name) for name in self.directory.names())
        return sorted(int(match[1]) for match in found if match)

    def list_anew(self) -> None:
        """Take in what other processes have begun and removed."""
        self.numbers[:] = self._listed()
        self._lingers = True

    def name(self, number: int) -> str:
        return f"{_PREFIX[self.which]}.{number}"

    @property
    def linked_bytes(self) -> int:
        return len(self.numbers) * self.segment_bytes

    def check(self) -> list[str]:
        """Return what is wrong with the list of files, as sentences."""
        problems = []
        if self.numbers != sorted(set(self.numbers)):
            problems.append(f"segment numbers are not in order: {self.numbers}")
        listed = set(self.directory.names())
        problems += [
            f"{self.name(number)} is gone"
            for number in self.numbers
            if self.name(number) not in listed and number != self._leaving
        ]
        return problems

    def create(self, number: int) -> Mapping:
        """Make segment `number`: allocated, zeroed, headed, mapped. OSError leaves nothing.

        One that is there already is mapped: an interrupt, or a call in the middle of this one,
        came right after it had been made.
        """
        head = self.head(number)
        try:
            if number not in self.numbers:
                self.numbers.append(number)
            return self._made(number, head)
        finally:
            self._count(number)

    def head(self, number: int) -> bytes:
        """The header of segment `number`."""
        head = _HEAD.pack(
            SEGMENT_MAGIC[self.which], FORMAT, self.segment_bytes, self.uuid, number, self.salt, 0
        )
        return head + _CHECK.pack(digest(head))

    def _made(self, number: int, head: bytes) -> Mapping:
        name = self.name(number)
        # Looked for first: an interrupt while a second file is taken back would leave that behind.
        if name not in self.directory.names():
            with contextlib.suppress(FileExistsError):
                return self.directory.create(name, self.segment_bytes, head)
        return self._own(number)

    def _own(self, number: int) -> Mapping:
        mapping = self.open(number)
        if mapping is None:
            name = self.name(number)
            raise FormatError("is no segment of this store", self.directory.path / name)
        return mapping

    def _count(self, number: int) -> None:
        """Count segment `number` if its file is there, whatever came in between."""
        while True:
            there = self.name(number) in self.directory.names()
            if there == (number in self.numbers):
                return
            # What follows is one step: no call but the last.
            if there:
                self.numbers.append(number)
            else:
                self.numbers.remove(number)

    def has(self, number: int) -> bool:
        """True when segment `number` is there, whoever began it."""
        return number in self.numbers

    def open(self, number: int) -> Mapping | None:
        """Map an existing segment; None when it is not one of this store's.

        A file cut short is mapped as far as it goes: what is whole in it stays readable.
        """
        size = self.directory.size(self.name(number))
        if size <= SEGMENT_HEADER_BYTES:
            return None
        name = self.name(number)
        mapping = self.directory.map(name, min(size, self.segment_bytes))
        facts = read_head(mapping, self.which, self.directory.path / name)
        if facts is None:
            # The records vouch for themselves: none validates but where this store wrote it.
            log_to.warning("%s has a damaged header", self.directory.path / name)
        elif facts[:3] != (self.segment_bytes, self.uuid, number):
            mapping.close()
            return None
        return mapping

    def reach(self, start: int, end: int) -> bool:
        """True when no segment between two addresses is missing."""
        wanted = range(start // self.segment_units, -(-end // self.segment_units))
        return set(self.numbers).issuperset(wanted)

    def any_short(self) -> bool:
        """True when a segment's file was cut."""
        sizes = (self.directory.size(self.name(number)) for number in self.numbers)
        return any(size < self.segment_bytes for size in sizes)

    def refuse_strangers(self) -> None:
        """FormatError when all segments agree that they are another store's; none is touched."""
        told = recover_identity(self.directory, self.which)
        if told is not None and told[1] != self.uuid:
            raise FormatError("holds the segments of another store", self.directory.path)

    def allocate_all(self, number: int) -> bool:
        """Give a segment that was cut short, or copied with holes, all its blocks back (zeros).

        Writing to a hole of a full file system would be a SIGBUS. True when the file grew and must
        be mapped anew.
        """
        name = self.name(number)
        size = self.directory.size(name)
        whole = size >= self.segment_bytes
        if whole and self.directory.allocated_bytes(name) >= self.segment_bytes:
            return False
        self.directory.extend(name, 0, self.segment_bytes)
        return not whole

    def set_aside(self, number: int) -> None:
        """Do without a file that bears a segment's name but is none of this store's. Read-only it
        stays where it is.
        """
        name = self.name(number)
        if self.directory.read_only:
            log_to.warning("%s is no segment of this store", self.directory.path / name)
        elif self.directory.is_empty(name):  # a power loss took what it had
            self.directory.unlink(name)
        else:
            self.directory.set_aside(name)
        self.numbers.remove(number)

    def let_none_linger(self) -> None:
        """No segment that was unlinked returns with a power loss any more. In the section."""
        if self._lingers:
            self.directory.sync()
            self._lingers = False

    def unlink(self, number: int) -> None:
        """Remove a segment's file. After an interrupt reclaim comes to it again."""
        self._leaving, self._lingers = number, True
        self.directory.unlink(self.name(number))
        with contextlib.suppress(ValueError):  # listed anew meanwhile
            self.numbers.remove(number)


def read_head(mapping: Mapping, which: int, path: Path) -> tuple[int, bytes, int, int] | None:
    """Return (segment_bytes, uuid, number, salt) of a segment's header, None when unsound, or when
    its page is missing. FormatError when it is sound and of a format that this version does not
    read.
    """
    try:
        head = mapping.fetch(0, _HEAD.size)
        (check,) = _CHECK.unpack(mapping.fetch(_HEAD.size, _CHECK.size))
    except OSError:
        return None
    magic, form, segment_bytes, uuid, number, salt, _spare = _HEAD.unpack(head)
    if magic != SEGMENT_MAGIC[which] or check != digest(head):
        return None
    refuse_number(form, path)
    return segment_bytes, uuid, number, salt


def recover_identity(directory: Directory, which: int) -> tuple[int, bytes, int] | None:
    """Return (segment_bytes, uuid, salt) as most sound segments tell it, None if there is none."""
    pattern = re.compile(rf"{_PREFIX[which]}\.\d{{1,18}}")
    told: Counter[tuple[int, bytes, int]] = Counter()
    for name in directory.names():
        if not pattern.fullmatch(name) or directory.size(name) < SEGMENT_HEADER_BYTES:
            continue
        mapping = directory.map(name, SEGMENT_HEADER_BYTES)
        facts = read_head(mapping, which, directory.path / name)
        mapping.close()
        if facts is not None:
            told[facts[0], facts[1], facts[3]] += 1
    return told.most_common(1)[0][0] if told else None
