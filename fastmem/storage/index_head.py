"""The first page of an index file: whose it is, of which opening, and what it held at close; and
what the file of its overflow buckets begins with.
"""

from __future__ import annotations

import struct

from fastmem._core.hashing import digest, digest_seeded
from fastmem._core.layout import FORMAT, MOST_LEVEL, PAGE_BYTES, form, offset
from fastmem._core.mapping import Mapping

INDEX_MAGIC = b"FMINDEX\0"
OVERFLOW_MAGIC = b"FMOVERF\0"
_HEAD = struct.Struct(form("index", "magic", "uuid"))
_OVERFLOW = struct.Struct(form("overflow", "magic", "uuid"))
_CHECK = struct.Struct(form("overflow", "check", "check"))
_SEAL = struct.Struct(form("index", "check", "opens"))
_CLOSED = struct.Struct(form("index", "digest", "heads"))
_CLOSED_AT = offset("index", "digest")
_ARCHIVE = struct.Struct(form("index", "archive_opens", "archive_opens"))
_ARCHIVE_AT = offset("index", "archive_opens")
_DIRECTORY_AT, _OVERFLOW_NEXT_AT = offset("index", "directory"), offset("index", "overflow_next")


def new_head(level: int, uuid: bytes) -> bytes:
    """The first page of an empty index of ``1 << level`` buckets."""
    head = bytearray(PAGE_BYTES)
    _HEAD.pack_into(head, 0, INDEX_MAGIC, FORMAT, level, uuid)
    struct.pack_into("<Q", head, _DIRECTORY_AT, level << 56)
    struct.pack_into("<Q", head, _OVERFLOW_NEXT_AT, 1)
    return bytes(head)


def overflow_head(uuid: bytes) -> bytes:
    """What the overflow buckets of store `uuid` begin with, in the place of the first."""
    head = _OVERFLOW.pack(OVERFLOW_MAGIC, FORMAT, 0, uuid)
    return head + _CHECK.pack(digest(head))


def belongs(index: Mapping, overflow: Mapping, uuid: bytes, opens: int) -> bool:
    """True for the index that the last opener of store `uuid` left, both heads undamaged."""
    wanted = overflow_head(uuid)
    try:
        if overflow.fetch(0, len(wanted)) != wanted:
            return False
        head = index.fetch(0, _HEAD.size)
        check, counted = _SEAL.unpack(index.fetch(_HEAD.size, _SEAL.size))
    except OSError:  # a page is missing
        return False
    magic, number, level, owner = _HEAD.unpack(head)
    if (magic, number, owner) != (INDEX_MAGIC, FORMAT, uuid) or level > MOST_LEVEL:
        return False
    # One more than the store counts: a process died between the two stores that count an opening.
    return check == digest(head) and (counted - opens) % (1 << 64) in (0, 1)


def seal(index: Mapping, opens: int) -> None:
    """Note the number of the opening."""
    index.store(_HEAD.size, _SEAL.pack(digest(index.fetch(0, _HEAD.size)), opens))


def archive_opens(index: Mapping) -> int:
    """How often the archive had been opened when this index was in use last."""
    return int(_ARCHIVE.unpack(index.fetch(_ARCHIVE_AT, _ARCHIVE.size))[0])


def note_archive_opens(index: Mapping, opens: int) -> None:
    """Note how often the archive has been opened by now."""
    index.store(_ARCHIVE_AT, _ARCHIVE.pack(opens))


def digests_at_close(index: Mapping) -> tuple[int, int]:
    """What `note_digests` noted."""
    noted, heads = _CLOSED.unpack(index.fetch(_CLOSED_AT, _CLOSED.size))
    return noted, heads


def heads_digest(head: int, cold_head: int, seed: int) -> int:
    """What is noted of the log's heads; `seed` is the digest beside it."""
    return digest_seeded(struct.pack("<QQ", head, cold_head), seed)


def note_digests(index: Mapping, noted: int, heads: int) -> None:
    """Note what the index holds and where the log's heads are, for the next opening to compare."""
    index.store(_CLOSED_AT, _CLOSED.pack(noted, heads))
