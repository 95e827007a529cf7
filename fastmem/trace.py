"""Recorded accesses to replay: text with one key a line, or dense ids packed as byte planes."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import sys
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

__all__ = ["CompactTrace", "TextTrace", "Trace", "TraceError", "open_trace"]

Request: TypeAlias = tuple[str | int, int]
"""A key, and the size of its value in bytes."""

DEFAULT_BYTES = 1024
LONGEST_LINE_BYTES = 1 << 16
LARGEST_VALUE_BYTES = 1 << 30
LARGEST_ARRAY_BYTES = 1 << 30  # unpacked: 268 million requests
CHUNK_BYTES = 1 << 20
IDS = ".ids.xz"
SIZES = ".sizes.xz"
DAMAGE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


class TraceError(ValueError):
    """A trace that is cut or malformed. The message begins with its path and the place."""


class Trace(Protocol):
    """Requests in their order, and how much of the trace has been read."""

    total: int | None
    """The unit of ``done()``; ``None`` when it is not known."""

    def requests(self) -> Iterator[Request]:
        """Yield each request. Raises :class:`TraceError` at the first malformed one."""

    def done(self) -> int:
        """How much of ``total`` has been read."""


def open_trace(path: str | os.PathLike[str]) -> Trace:
    """The trace in the file at *path*: compact when it is named ``*.ids.xz``, else text.

    Text may be compressed with gzip or xz, which is told from its first bytes. Raises ``OSError``
    when the file cannot be read and :class:`TraceError` when a compact one is malformed.
    """
    name = os.fspath(path)
    return CompactTrace(name) if name.endswith(IDS) else TextTrace(name)


class TextTrace:
    """One key a line, then perhaps white space or a comma and the size of its value in bytes.

    Empty lines and lines that begin with ``#`` are skipped. Keys are UTF-8.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        facts = os.stat(path)
        self.total = facts.st_size if stat.S_ISREG(facts.st_mode) else None
        self._raw: io.BufferedReader | None = None

    def done(self) -> int:
        if self._raw is None or self.total is None:
            return 0
        return self.total if self._raw.closed else self._raw.tell()

    def requests(self) -> Iterator[Request]:
        number = 0
        with open(self.path, "rb") as self._raw, _unpacked(self._raw) as stream:
            try:
                while line := stream.readline(LONGEST_LINE_BYTES + 1):
                    number += 1
                    request = self._parse(line, number)
                    if request is not None:
                        yield request
            except DAMAGE as error:
                place = f"{self.path}: cut or damaged after line {number:,}"
                raise TraceError(f"{place}: {error}") from error

    def _parse(self, line: bytes, number: int) -> Request | None:
        if len(line) > LONGEST_LINE_BYTES:
            raise self._malformed(number, f"longer than {LONGEST_LINE_BYTES:,} bytes")
        if b"\0" in line:
            raise self._malformed(number, "holds a NUL byte; this is not a text trace")
        fields = line.replace(b",", b" ").split()
        if not fields or fields[0].startswith(b"#"):
            return None
        if len(fields) > 2:
            raise self._malformed(number, f"{len(fields)} fields, not a key and perhaps a size")
        try:
            key = fields[0].decode()
        except UnicodeDecodeError as error:
            raise self._malformed(number, f"the key is not UTF-8: {error}") from error
        return key, self._size(fields[1], number) if len(fields) == 2 else DEFAULT_BYTES

    def _size(self, field: bytes, number: int) -> int:
        # The length first: int() of many digits is slow, or refused in its own words.
        if not field.isdigit() or len(field) > 12 or int(field) > LARGEST_VALUE_BYTES:
            shown = field[:20].decode("ascii", "replace")
            raise self._malformed(
                number, f"size {shown!r} is not a number from 0 to {LARGEST_VALUE_BYTES:,}"
            )
        return int(field)

    def _malformed(self, number: int, what: str) -> TraceError:
        return TraceError(f"{self.path}: line {number:,}: {what}")


def _unpacked(raw: io.BufferedReader) -> BinaryIO:
    magic = raw.peek(6)
    if magic.startswith(b"\x1f\x8b"):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), CHUNK_BYTES)
    if magic.startswith(b"\xfd7zXZ\0"):
        return io.BufferedReader(lzma.LZMAFile(raw), CHUNK_BYTES)
    return raw


class CompactTrace:
    """``NAME.ids.xz``, one dense object id per request, and ``NAME.sizes.xz``, bytes per object.

    Each is an array of little-endian 32-bit numbers stored as four planes, all low bytes first,
    and compressed with xz. Without sizes every object has 1,024 bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._ids = _unpack(path)
        sizes = path.removesuffix(IDS) + SIZES
        self._sizes = _unpack(sizes) if Path(sizes).exists() else None
        self.total: int | None = len(self._ids)
        self._done = 0

    def done(self) -> int:
        return self._done

    def requests(self) -> Iterator[Request]:
        sizes = self._sizes
        for self._done, key in enumerate(self._ids, 1):  # noqa: B020
            size = DEFAULT_BYTES
            if sizes is not None:
                if key >= len(sizes):
                    raise self._malformed(f"object {key:,}, but there are {len(sizes):,} sizes")
                size = sizes[key]
                if size > LARGEST_VALUE_BYTES:
                    raise self._malformed(f"object {key:,} has an impossible {size:,} bytes")
            yield key, size

    def _malformed(self, what: str) -> TraceError:
        return TraceError(f"{self.path}: request {self._done:,}: {what}")


def _unpack(path: str) -> array[int]:
    """The numbers in a packed file."""
    planes = _decompress(path)
    count, odd = divmod(len(planes), 4)
    if odd:
        raise TraceError(f"{path}: {len(planes):,} bytes unpacked are not four equal planes")
    packed = bytearray(len(planes))
    for plane in range(4):
        packed[plane::4] = planes[plane * count : (plane + 1) * count]
    numbers = array("I", bytes(packed))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _decompress(path: str) -> bytearray:
    unpacked = bytearray()
    with open(path, "rb") as file:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        while not unpacker.eof:
            chunk = file.read(CHUNK_BYTES) if unpacker.needs_input else b""
            if not chunk and unpacker.needs_input:
                raise TraceError(f"{path}: cut short at byte {file.tell():,}")
            try:
                unpacked += unpacker.decompress(chunk, CHUNK_BYTES)
            except lzma.LZMAError as error:
                raise TraceError(f"{path}: damaged before byte {file.tell():,}: {error}") from error
            if len(unpacked) > LARGEST_ARRAY_BYTES:
                raise TraceError(f"{path}: more than {LARGEST_ARRAY_BYTES:,} bytes unpacked")
        if unpacker.unused_data or file.read(1):
            end = file.tell() - len(unpacker.unused_data)
            raise TraceError(f"{path}: something follows the end of the data near byte {end:,}")
    return unpacked
