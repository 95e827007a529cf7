"""Whose a directory is, found out before a byte of it is touched.

A directory whose first page begins with our magic is ours, with every file that bears one of our
names. In any other, each such file has to show that it is ours by how it begins: index, segments,
value files, dictionaries and `procs` by their magic. A file of zeros, an empty one, or one that
ends within the magic, may be ours and holds nothing. So a lost first page is recovered, and what
somebody else calls `index` is refused.

The same with every file of ours whose format this version does not read. Of value files, which may
be many, the first page tells.
"""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from fastmem._core.log import COLD, WARM
from fastmem.errors import DirectoryRefusedError, FormatError
from fastmem.storage.dictionaries import DICTIONARY_MAGIC
from fastmem.storage.files import LOCK_FILE, Directory
from fastmem.storage.index_head import INDEX_MAGIC, OVERFLOW_MAGIC
from fastmem.storage.numbers import HEAD_BYTES, refuse_unread
from fastmem.storage.processes import PROCESSES_MAGIC
from fastmem.storage.segments import SEGMENT_MAGIC
from fastmem.storage.superblock import ARCHIVE_MAGIC, STORE_MAGIC, refuse_foreign
from fastmem.storage.values import UNREADABLE, VALUE_MAGIC

__all__ = ["leftovers", "refuse_other_tier", "refuse_strangers"]

_NAME = re.compile(
    r"(?:(procs)|(new\.(?:rebuilt\.)?|rebuilt\.)?"
    r"(?:(super|archive|index|overflow)|(seg|cold)\.\d{1,18}|(dict)\.\d{1,10}|(val)\.[0-9a-f]{16})"
    r"(?(2)(?:\.[0-9a-f]{8})?))"
)
_BEGINS = {
    "super": STORE_MAGIC,
    "archive": ARCHIVE_MAGIC,
    "index": INDEX_MAGIC,
    "overflow": OVERFLOW_MAGIC,
    LOCK_FILE: PROCESSES_MAGIC,
    "seg": SEGMENT_MAGIC[WARM],
    "cold": SEGMENT_MAGIC[COLD],
    "val": VALUE_MAGIC,
    "dict": DICTIONARY_MAGIC,
}
_HEADS = {
    "super": "super",
    "archive": "super",
    "index": "index",
    "overflow": "overflow",
    LOCK_FILE: "processes",
    "seg": "segment",
    "cold": "segment",
    "dict": "dictionary",
}
# What this tier's directory holds, and with the store's first page in it (an archive alone).
_STORE = {"super", "index", "overflow"}
_OF_TIER = {WARM: {LOCK_FILE, "seg", "val"}, COLD: {"archive", LOCK_FILE, "cold", "val", "dict"}}


def refuse_strangers(directory: Directory, tier: int, *, first: bool) -> None:
    """FormatError, with the path, when a file that bears one of our names is somebody else's, or
    of a format that this version does not read.

    `first`: the store's first page belongs here, because no warmer tier has it.
    """
    stems = _OF_TIER[tier] | (_STORE if first else set())
    known = False
    for page in ("super", "archive"):
        if page in stems:
            head = _head_of_file(directory, page, HEAD_BYTES)
            refuse_foreign(head, directory.path / page, _BEGINS[page])
            known |= head.startswith(_BEGINS[page])
    for name, work, stem in _named(directory):
        if not work and stem not in stems:
            continue
        if not known:
            _refuse_file(directory, name, _BEGINS[stem])
        if not work and stem in _HEADS:
            _refuse_number(directory, name, stem)


def _refuse_file(directory: Directory, name: str, begins: bytes) -> None:
    """FormatError when a file does not begin as ours do."""
    head = _head_of_file(directory, name, len(begins))
    if any(head) and not begins.startswith(head):
        raise FormatError(
            f"not fastmem's: it begins with {head!r}, and no first page of a store lies beside it",
            directory.path / name,
            errno.EINVAL,
        )


def _refuse_number(directory: Directory, name: str, stem: str) -> None:
    """FormatError when a file of ours is of a format that this version does not read."""
    try:
        head = _head(directory, name, HEAD_BYTES)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return  # what the device does not give tells no number
    if head is not None and head.startswith(_BEGINS[stem]):
        refuse_unread(head, _HEADS[stem], directory.path / name)


def refuse_other_tier(directory: Directory, tier: int, given: dict[int, Path]) -> None:
    """DirectoryRefusedError for an archive's directory as L2, or one with warm segments as L3."""
    found = ""
    if tier == WARM:
        if _holds(directory, "archive") or _holds(directory, "cold"):
            found = "an archive"
    elif _holds(directory, "seg") or (
        # L2 before its first put. An archive opened alone makes both its first pages before that.
        _holds(directory, "index")
        and _holds(directory, "super")
        and not (_holds(directory, "archive") or _holds(directory, "cold"))
    ):
        found = "an L2"
    if found:
        if len(given) == 2:
            paths = f"L2 {str(given[WARM])!r}, L3 {str(given[COLD])!r}"
            text = f"holds {found}; are the paths swapped? Given are {paths}"
        else:
            wanted = "a SegmentStore" if tier == WARM else "an Archive"
            text = f"holds {found}, which {wanted} does not open"
        raise DirectoryRefusedError(text, directory.path, errno.EINVAL)


def _holds(directory: Directory, wanted: str) -> bool:
    """True when a file named so begins as ours do. Reads no more than it must."""
    begins = _BEGINS[wanted]
    return any(
        stem == wanted and not work and (_head(directory, name, len(begins)) or b"") == begins
        for name, work, stem in _named(directory)
    )


def leftovers(directory: Directory) -> list[str]:
    """Files that a process which died was at work on. For a directory that is ours."""
    return [name for name, work, _stem in _named(directory) if work]


def _named(directory: Directory) -> Iterator[tuple[str, bool, str]]:
    """(name, whether it is work in progress, what it is called without) of files named as ours."""
    for name in sorted(directory.names()):
        match = _NAME.fullmatch(name)
        if match:
            yield name, match[2] is not None, match[match.lastindex or 1]


def _head_of_file(directory: Directory, name: str, limit: int) -> bytes:
    """The first bytes of a file; FormatError when it is a directory, a link, a pipe."""
    head = _head(directory, name, limit)
    if head is None:
        raise FormatError("not fastmem's: no regular file", directory.path / name, errno.EINVAL)
    return head


def _head(directory: Directory, name: str, limit: int) -> bytes | None:
    """The first bytes of a file, b"" when it is not there, None when it is no regular file."""
    try:
        if not stat.S_ISREG(directory.stat(name).st_mode):  # opening a pipe would wait for ever
            return None
        return directory.read(name, limit)
    except FileNotFoundError:
        return b""
