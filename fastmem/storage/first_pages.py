"""What is wrong with a first page, line by line, told from its bytes."""

from __future__ import annotations

import struct

from fastmem._core.hashing import digest
from fastmem._core.layout import PAGE_BYTES, form, offset

__all__ = ["blanks", "page_problems"]

_U64 = struct.Struct("<Q")
# (first and last field that a check covers, where it stands, what it is about, what damage costs)
_LINES = (
    ("magic", "created_ns", "check", "identity", "it is taken from the segments instead"),
    ("boot_id", "archive_uuid", "trust_check", "trust", "the index is made anew at an opening"),
    ("anchor_wall_ns", "anchor_boot_ns", "clock_check", "clock", "deadlines may shift by a step"),
    ("key_check", "key_check", "key_sum", "secret key", "another key is not refused any more"),
)


def page_problems(page: bytes) -> list[tuple[int, int, str, str]]:
    """(offset, bytes, what, what it means) of every line that does not match its check.

    A line that was never written is none.
    """
    if len(page) < PAGE_BYTES:
        return [(0, len(page), f"cut to {len(page):,} bytes", _LINES[0][4])]
    found = []
    for first, last, check, name, meaning in _LINES:
        start = offset("super", first)
        size = struct.calcsize(form("super", first, last))
        line = page[start : start + size]
        (noted,) = _U64.unpack_from(page, offset("super", check))
        if (any(line) or noted) and noted != digest(line):
            found.append((start, size, f"line of the {name} does not match its check", meaning))
    return found


def blanks(page: bytes) -> list[tuple[int, bytes]]:
    """(offset, bytes) that make lines which do not match their check as if they were never written,
    but the identity.
    """
    bad = {start for start, *_told in page_problems(page)}
    found = []
    for first, last, check, *_told in _LINES[1:]:
        start = offset("super", first)
        if start in bad:
            size = struct.calcsize(form("super", first, last))
            found += [(start, bytes(size)), (offset("super", check), bytes(_U64.size))]
    return found
