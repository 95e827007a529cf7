"""Objects of any class as bytes: pickle 5 with its large buffers out of band, aligned.

Body of codec PICKLE, all numbers little-endian::

    u32 number of buffers, u64 length of the pickle
    u64 length of each buffer
    the pickle
    each buffer, after zeros up to the next multiple of 64
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from importlib import import_module
from struct import Struct

from fastmem.codecs.arrays import Body, copied
from fastmem.errors import SerializationError

__all__ = ["decode", "encode", "view"]

ALIGNMENT = 64
IN_BAND_BYTES = 1024  # below, aligning a buffer costs more than copying it

_HEAD = Struct("<IQ")
_LENGTH_BYTES = 8


def encode(value: object) -> bytes:
    """The body of a value; raises whatever its own code raises."""
    views: list[memoryview] = []

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < IN_BAND_BYTES:
            return True
        views.append(view)
        return False

    data = pickle.dumps(value, 5, buffer_callback=is_in_band)
    head = _HEAD.pack(len(views), len(data))
    if not views:
        return head + data
    lengths = Struct(f"<{len(views)}Q").pack(*[view.nbytes for view in views])
    parts: list[bytes | memoryview] = [head, lengths, data]
    used = len(head) + len(lengths) + len(data)
    for view in views:
        parts += (bytes(-used % ALIGNMENT), view)
        used += -used % ALIGNMENT + view.nbytes
    return b"".join(parts)


def decode(body: Body) -> object:
    """A new value. The body must come from where only this user writes: pickle runs what it says.

    Raises SerializationError for a class that is gone, else whatever the value's own code raises.
    """
    data, views = _split(body)
    # Fresh and writable, as the buffers of the value that was stored were or may have been.
    return _load(data, [bytearray(view) for view in views])


def view(body: Body) -> object:
    """As `decode`, but its large buffers are the body's memory, read-only, which they keep."""
    return _load(*_split(body))


def _load(data: bytes, buffers: Sequence[bytearray | memoryview]) -> object:
    try:
        return pickle.loads(data, buffers=buffers)  # noqa: S301 - only while allow_pickle=True
    except (ImportError, AttributeError) as error:
        gone = _first_gone(data)
        if gone is None:
            raise
        raise SerializationError(f"{gone} no longer exists") from error


def _split(body: Body) -> tuple[bytes, list[memoryview]]:
    """The pickle and the buffers of a body; every byte accounted for before one is used."""
    memory = memoryview(body).toreadonly()
    count, size = _HEAD.unpack(copied(body, 0, _HEAD.size))
    used: int = _HEAD.size + count * _LENGTH_BYTES
    if used + size > len(body):
        raise ValueError(f"{count:,} buffers and a pickle of {size:,} bytes in {len(body):,}")
    lengths = Struct(f"<{count}Q").unpack(copied(body, _HEAD.size, used))
    data = copied(body, used, used + size)
    used += size
    # pickle.loads would ignore what follows the pickle's STOP, such as the zeros before a buffer.
    if data[-1:] != pickle.STOP:
        raise ValueError(f"a pickle of {size:,} bytes that does not end in STOP")
    buffers = []
    for length in lengths:
        start = used + -used % ALIGNMENT
        if any(copied(body, used, start)):
            raise ValueError(f"a buffer not padded with zeros at offset {used}")
        used = start + length
        if used > len(body):
            raise ValueError(f"a buffer of {length:,} bytes at offset {start} of {len(body):,}")
        buffers.append(memory[start:used])
    if used != len(body):
        raise ValueError(f"{len(body) - used:,} bytes left over at offset {used}")
    return data, buffers


def _first_gone(data: bytes) -> str | None:
    """The first global that a pickle names and that cannot be found; None if all can."""
    for module, name in _globals(data):
        try:
            found = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError):
            return f"{module}.{name}"
    return None


def _globals(data: bytes) -> Iterator[tuple[str, str]]:
    """What a pickle of protocol 5 loads by name: module and qualified name, in order."""
    import pickletools  # only to explain a failure, and slow to import

    strings: list[str] = []
    memo: dict[int, str] = {}
    memoized = 0
    latest: str | None = None
    for opcode, argument, _offset in pickletools.genops(data):
        if opcode.name == "MEMOIZE":
            if latest is not None:
                memo[memoized] = latest
            memoized += 1
        elif opcode.name == "STACK_GLOBAL":
            yield strings[-2], strings[-1]
        latest = None
        if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"):
            latest = argument
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            latest = memo.get(argument or 0)
        if latest is not None:
            strings.append(latest)
