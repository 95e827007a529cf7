"""The bytes of a bytes-like value, where they lie in its body."""

from __future__ import annotations

from fastmem.codecs.arrays import Body, copied
from fastmem.codecs.leaves import Kind

__all__ = ["plain_bytes"]

# MessagePack of a table of one node (see graph.py), which is the root: [[0], [[kind, ...]]].
_ONE_NODE = bytes((0x92, 0x91, 0x00, 0x91))
_BYTEARRAY = _ONE_NODE + bytes((0x92, Kind.BYTEARRAY))
_ARRAY = _ONE_NODE + bytes((0x94, Kind.ARRAY, 0xA1))
_ARRAY_BYTES = len(_ARRAY) + 2  # the type code and the bytes of an item, below 128
_BIN_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4}


def plain_bytes(body: Body) -> memoryview | None:
    """The bytes of a body of codec GRAPH that is a bytearray or an array.array; None for others."""
    front = copied(body, 0, _ARRAY_BYTES)
    if front.startswith(_BYTEARRAY):
        return _last(body, len(_BYTEARRAY))
    if front.startswith(_ARRAY) and len(front) == _ARRAY_BYTES and front[-1] < 0x80:
        return _last(body, _ARRAY_BYTES)
    return None


def _last(body: Body, at: int) -> memoryview | None:
    """The content of MessagePack bytes that begin at an offset of a body, and end it."""
    item = copied(body, at, at + 1 + max(_BIN_LENGTHS.values()))
    width = _BIN_LENGTHS.get(item[0]) if item else None
    if width is None or len(item) <= width:
        return None
    content = memoryview(body)[at + 1 + width :]
    return content if len(content) == int.from_bytes(item[1 : 1 + width], "big") else None
