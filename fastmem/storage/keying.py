"""The secret key that a store was made with: noted in its first pages, and any other is refused.

Records of another key are misses, so whoever opened a store with it by mistake would find it empty,
and fill it with records that the right key's owner misses in turn.
"""

from __future__ import annotations

import errno
import struct

from fastmem._core.hashing import digest
from fastmem._core.layout import MAC_BYTES, form, offset
from fastmem.codecs import Authenticator
from fastmem.errors import DirectoryRefusedError
from fastmem.storage.files import Directory
from fastmem.storage.superblock import uuid_of

_NOTE = struct.Struct(form("super", "key_check", "key_sum"))
_NOTE_AT = offset("super", "key_check")
_NO_KEY = bytes(MAC_BYTES)


def noted(page: bytes, authenticator: Authenticator | None) -> bytes:
    """Return a new first page with the note of the key, or of there being none."""
    check = _check(page, authenticator)
    note = _NOTE.pack(check, digest(check))
    return page[:_NOTE_AT] + note + page[_NOTE_AT + len(note) :]


def refuse_other_key(
    directory: Directory, name: str, authenticator: Authenticator | None, *, read_only: bool
) -> None:
    """DirectoryRefusedError when first page `name` was made with another key, or with none.

    Who only reads may do so without the key. A page that is damaged tells nothing.
    """
    try:
        page = directory.read(name, _NOTE_AT + _NOTE.size)
    except FileNotFoundError:
        return
    if len(page) < _NOTE_AT + _NOTE.size or uuid_of(page) is None:
        return
    made_with, check = _NOTE.unpack_from(page, _NOTE_AT)
    if check != digest(made_with) or made_with == _check(page, authenticator):
        return
    if made_with == _NO_KEY:
        text = "was made without a secret_key, so no record in it would be believed"
    elif authenticator is not None:
        text = "was made with another secret_key"
    elif read_only:
        return
    else:
        text = "was made with a secret_key; without it, only read_only opens it"
    raise DirectoryRefusedError(text, directory.path, errno.EACCES)


def _check(page: bytes, authenticator: Authenticator | None) -> bytes:
    uuid = uuid_of(page)
    return _NO_KEY if authenticator is None or uuid is None else authenticator.check(uuid)
