"""The first page of a store (`super`) and of an archive (`archive`): identity, tails, clock."""

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path

from fastmem._core.hashing import digest
from fastmem._core.layout import FORMAT, PAGE_BYTES, form, offset
from fastmem._core.mapping import Mapping
from fastmem.errors import ClosedError, FormatError, StoreError
from fastmem.storage.first_pages import blanks
from fastmem.storage.numbers import refuse_unread

STORE_MAGIC = b"FASTMEM\0"
ARCHIVE_MAGIC = b"FMARCHIV"
_IDENTITY = struct.Struct(form("super", "magic", "created_ns"))
_TRUST = struct.Struct(form("super", "boot_id", "archive_uuid"))
_U64 = struct.Struct("<Q")
_PAGE = struct.Struct(f"{PAGE_BYTES}s")
_CLOCK = struct.Struct(form("super", "anchor_wall_ns", "latest_wall_ns"))
_ANCHOR = struct.Struct(form("super", "anchor_wall_ns", "anchor_boot_ns"))
_LATEST_LIMIT_NS = 1 << 62  # the year 2116
_CHECK_AT = offset("super", "check")
_TRUST_AT, _TRUST_CHECK_AT = offset("super", "boot_id"), offset("super", "trust_check")
_CLEAN_AT = offset("super", "clean")
_CLOCK_AT, _CLOCK_CHECK_AT = offset("super", "anchor_wall_ns"), offset("super", "clock_check")
_COARSE_TICK_NS = 10_000_000  # how far the clock that checks deadlines may lag
NO_UUID = bytes(16)
LOST_PAGE = b"\xff" * 16  # in place of a boot's id
_FIELDS = {
    name: offset("super", name)
    for name in (
        "opens", "lock", "tail", "head", "synced", "cold_tail", "cold_head", "cold_synced",
        "changes", "value_changes", "joined", "section", "sync_failed", "damaged", "cold_damaged",
        "syncing",
    )
}  # fmt: skip


def new_identity(
    magic: bytes, segment_bytes: int, uuid: bytes = NO_UUID, salt: int = 0, *, lost: bool = False
) -> bytes:
    """Return the first page of a new store or archive. `lost`: of one that has segments, which it
    says until an opening is done with it.
    """
    while uuid == NO_UUID:
        uuid = os.urandom(16)
    while not salt:
        salt = int.from_bytes(os.urandom(8), "little")
    identity = _IDENTITY.pack(magic, FORMAT, segment_bytes, uuid, salt, time.time_ns())
    page = identity + _U64.pack(digest(identity))
    if lost:
        line = _TRUST.pack(LOST_PAGE, 0, 0, NO_UUID)
        page = page.ljust(_TRUST_AT, b"\0") + line + _U64.pack(digest(line))
    return page.ljust(PAGE_BYTES, b"\0")


def uuid_of(page: bytes) -> bytes | None:
    """The uuid that the bytes of a first page tell, None when their identity is damaged."""
    uuid: bytes = _IDENTITY.unpack_from(page)[3]
    (check,) = _U64.unpack_from(page, _CHECK_AT)
    return uuid if check == digest(page[:_CHECK_AT]) else None


def refuse_foreign(head: bytes, path: Path, magic: bytes) -> None:
    """FormatError when a first page begins as no page of ours, or is of a format not read here.

    A page of zeros, or cut within the magic, is damaged rather than foreign.
    """
    if any(head[: len(magic)]) and not magic.startswith(head[: len(magic)]):
        found = head[: len(magic)]
        raise FormatError(f"not fastmem's: it begins with {found!r}", path, errno.EINVAL)
    refuse_unread(head, "super", path)


def boot_id() -> bytes:
    """Return the 16 bytes that name this boot of the machine."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return bytes.fromhex(text.replace("-", ""))


class Superblock:
    """A view of a mapped first page. Fields are read and written in place, in units of 16 bytes."""

    def __init__(self, mapping: Mapping, place: Path) -> None:
        self.mapping = mapping
        self._place = place  # the directory, for errors
        identity = self._read(0, _IDENTITY)
        _magic, _format, self.segment_bytes, self.uuid, self.salt, _created_ns = _IDENTITY.unpack(
            identity
        )
        (check,) = _U64.unpack(self._read(_CHECK_AT, _U64))
        self.sound = check == digest(identity)

    def release(self) -> None:
        """Unmap the page. Whoever asks from then on gets ClosedError."""
        self.mapping.close()

    def is_lost(self) -> bool:
        """True when the page is missing: its file was cut, or the device failed."""
        try:
            self._read(0, _U64)
        except StoreError:
            return True
        except ClosedError:
            return False
        return False

    def sync(self) -> None:
        """Make what is written here survive power loss. OSError when the device refuses."""
        self.mapping.sync(0, PAGE_BYTES)

    def blank_lines(self) -> None:
        """Make lines that do not match their check as if they were never written."""
        for at, line in blanks(self._read(0, _PAGE)):
            self._write(at, line)

    def check(self) -> list[str]:
        """Return what is wrong with the bounds of the log, as sentences."""
        problems = []
        for prefix in ("", "cold_"):
            head, synced, tail = (self.get(prefix + name) for name in ("head", "synced", "tail"))
            if head > tail or synced > tail:
                problems.append(f"{prefix}head {head}, {prefix}synced {synced}, tail {tail}")
        return problems

    def get(self, field: str) -> int:
        return int.from_bytes(self._read(_FIELDS[field], _U64), "little")

    def set(self, field: str, value: int) -> None:
        self._write(_FIELDS[field], _U64.pack(value))

    def _read(self, at: int, layout: struct.Struct) -> bytes:
        try:
            return self.mapping.fetch(at, layout.size)
        except ValueError:  # closed, by another thread just now
            raise self._closed() from None
        except OSError as error:
            raise self._missing(error) from None

    def _write(self, at: int, line: bytes) -> None:
        try:
            self.mapping.store(at, line)
        except ValueError:
            raise self._closed() from None
        except OSError as error:
            raise self._missing(error) from None

    def _missing(self, error: OSError) -> StoreError:
        return StoreError(f"the first page is missing: {error.strerror}", self._place)

    def _closed(self) -> ClosedError:
        return ClosedError(f"the store is closed: {str(self._place)!r}")

    @property
    def clean(self) -> bool:
        """True between a clean close and the next open."""
        return any(self._read(_CLEAN_AT, _U64))

    @clean.setter
    def clean(self, value: bool) -> None:
        self._write(_CLEAN_AT, _U64.pack(value))

    # The second line: of a store, where its index may be trusted; of an archive, whose it is.

    @property
    def claimed(self) -> bool:
        """False for a page that no opening was done with: it tells the identity, and no more."""
        return self.owner()[0] != LOST_PAGE and any(self._read(_TRUST_AT, _TRUST))

    def own(self, store_uuid: bytes, floor: int, l2_uuid: bytes) -> None:
        """Archive: record the store whose index covers it, a bound no version has reached, and the
        last store with a warm log that it was written together with.
        """
        self.trust(store_uuid, floor, 0, l2_uuid)

    @property
    def line(self) -> bytes:
        """The whole line, to be put back by `restore`."""
        return self._read(_TRUST_AT, _TRUST) + self._read(_TRUST_CHECK_AT, _U64)

    def restore(self, line: bytes) -> None:
        self._write(_TRUST_AT, line)

    def owner(self) -> tuple[bytes, int]:
        """Archive: (uuid of the store whose index covers it, bound of its versions)."""
        line = self._read(_TRUST_AT, _TRUST)
        (check,) = _U64.unpack(self._read(_TRUST_CHECK_AT, _U64))
        if check != digest(line):
            return NO_UUID, 0
        store_uuid, floor, _, _ = _TRUST.unpack(line)
        return store_uuid, floor

    def partner(self) -> bytes:
        """Store: the archive whose slots its index holds. Archive: the L2 that it was last written
        together with. NO_UUID for none, or a damaged line.
        """
        line = self._read(_TRUST_AT, _TRUST)
        (check,) = _U64.unpack(self._read(_TRUST_CHECK_AT, _U64))
        return bytes(_TRUST.unpack(line)[3]) if check == digest(line) else NO_UUID

    def trust(self, boot: bytes, device: int, inode: int, partner: bytes) -> None:
        line = _TRUST.pack(boot, device, inode, partner)
        self._write(_TRUST_AT, line + _U64.pack(digest(line)))  # no interrupt comes between

    def same_boot(self, boot: bytes) -> bool:
        """True when this page was last claimed during the boot named `boot`."""
        return self.owner()[0] == boot

    def trusts(self, boot: bytes, device: int, inode: int, partner: bytes) -> bool:
        line = self._read(_TRUST_AT, _TRUST)
        (check,) = _U64.unpack(self._read(_TRUST_CHECK_AT, _U64))
        return check == digest(line) and line == _TRUST.pack(boot, device, inode, partner)

    def wall_offset_ns(self, *, anchor: bool) -> int:
        """Return wall clock minus CLOCK_BOOTTIME as this store sees it.

        Anchored once per boot (when `anchor`), never earlier than the latest time the store has
        seen, so that a clock set back revives nothing; steps during the boot are not noticed.
        """
        wall, boot, latest = self._clock()
        if anchor or not wall:
            boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            wall = max(time.time_ns(), latest + _COARSE_TICK_NS)
            if anchor:
                self._set_clock(wall, boot, max(latest, wall))
        return int(wall - boot)

    def note_time(self, wall_ns: int) -> None:
        """Remember the latest time seen."""
        wall, boot, latest = self._clock()
        self._set_clock(wall, boot, max(latest, wall_ns))

    def _clock(self) -> tuple[int, int, int]:
        """(wall anchor, boot anchor, latest time seen); zeros for what is damaged."""
        wall, boot, latest = _CLOCK.unpack(self._read(_CLOCK_AT, _CLOCK))
        (check,) = _U64.unpack(self._read(_CLOCK_CHECK_AT, _U64))
        if check != digest(_ANCHOR.pack(wall, boot)):
            wall = boot = 0
        return wall, boot, latest if 0 <= latest < _LATEST_LIMIT_NS else 0

    def _set_clock(self, wall: int, boot: int, latest: int) -> None:
        # The log moves `latest` by itself, so the check leaves it out.
        self._write(_CLOCK_AT, _CLOCK.pack(wall, boot, latest))
        self._write(_CLOCK_CHECK_AT, _U64.pack(digest(_ANCHOR.pack(wall, boot))))

    @property
    def anchored(self) -> bool:
        """True when the clock line holds a whole anchor."""
        return self._clock()[0] != 0
