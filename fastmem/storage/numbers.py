"""The format number of a file: which ones this version reads."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from fastmem._core.hashing import digest
from fastmem._core.layout import FIRST_FORMAT, FORMAT, form, offset
from fastmem.errors import FormatError

__all__ = ["HEAD_BYTES", "refuse_number", "refuse_unread"]

_START = struct.Struct(form("segment", "magic", "format"))  # of every file
_CHECK = struct.Struct("<Q")
# Where the check of each head lies, which covers all that is before it, in every format.
_CHECK_AT = {
    structure: offset(structure, "check")
    for structure in ("super", "index", "overflow", "processes", "segment", "dictionary")
}
HEAD_BYTES = max(_CHECK_AT.values()) + _CHECK.size  # enough of any file for `refuse_unread`


def refuse_unread(head: bytes, structure: str, path: Path) -> None:
    """FormatError when a file begins with a sound head of a format that this version does not read.

    A head that does not match its check tells no number: it is damaged.
    """
    at = _CHECK_AT[structure]
    if len(head) < at + _CHECK.size:
        return
    _magic, number = _START.unpack_from(head)
    if not FIRST_FORMAT <= number <= FORMAT:
        (check,) = _CHECK.unpack_from(head, at)
        if check == digest(head[:at]):
            refuse_number(number, path)


def refuse_number(number: int, path: Path) -> None:
    """FormatError when this version does not read format `number`."""
    if number > FORMAT:
        text = f"has format {number}, this version reads up to {FORMAT}"
    elif number < FIRST_FORMAT:
        text = f"has format {number}, this version reads from {FIRST_FORMAT} on"
    else:
        return
    raise FormatError(text, path, errno.EINVAL)
