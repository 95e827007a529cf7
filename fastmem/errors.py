"""Every error fastmem raises on purpose. Each also inherits the builtin a caller would expect.

::

    FastmemError
    +-- ClosedError                 (ValueError)   used after close()
    +-- KeyTypeError                (TypeError)    no str, bytes, int or tuple of these
    +-- ValueTooLargeError          (ValueError)   larger than every tier that could hold it
    +-- SerializationError          (TypeError)    a value does not become bytes, or back
    |   +-- PickleRefusedError                     pickle needed while allow_pickle=False
    +-- UnsupportedPlatformError    (NotImplementedError)
    +-- MissingSymbolError          (ImportError)  a wheel without the C symbols fastmem binds to
    +-- StoreError                  (OSError)
        +-- StoreNotFoundError      (FileNotFoundError)  read_only=True, and no store is there
        +-- StoreLockedError                       another process has the directory to itself
        +-- StoreTimeoutError       (TimeoutError)       ... or its lock, for too long
        +-- TooManyProcessesError                  4,096 have the directory open
        +-- DirectoryRefusedError                  wrong owner, mode, link, file system, tier, key
        +-- FormatError                            a foreign file or a newer format
        +-- CorruptRecordError                     bytes on disk that do not validate
        +-- ReadOnlyError                          a write to a memory opened with read_only=True
"""

from __future__ import annotations

import errno
import os
from typing import Any

__all__ = [
    "ClosedError",
    "CorruptRecordError",
    "DirectoryRefusedError",
    "FastmemError",
    "FormatError",
    "KeyTypeError",
    "MissingSymbolError",
    "PickleRefusedError",
    "ReadOnlyError",
    "SerializationError",
    "StoreError",
    "StoreLockedError",
    "StoreNotFoundError",
    "StoreTimeoutError",
    "TooManyProcessesError",
    "UnsupportedPlatformError",
    "ValueTooLargeError",
]


class FastmemError(Exception):
    """The root of every error fastmem raises on purpose."""


class ClosedError(FastmemError, ValueError):
    """The memory, store or cache was closed (or belongs to the parent of this forked process)."""


class KeyTypeError(FastmemError, TypeError):
    """A key that the tiers cannot encode: only exact str, bytes, int and tuples of these."""


class ValueTooLargeError(FastmemError, ValueError):
    """A value larger than every tier that could hold it; nothing was changed.

    Attributes: ``size`` and ``limit``, both in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"value of {size:,} bytes is larger than the limit of {limit:,} bytes")
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[type[ValueTooLargeError], tuple[int, int]]:
        return type(self), (self.size, self.limit)


class SerializationError(FastmemError, TypeError):
    """A value that cannot become bytes, or bytes that do not become a value.

    ``path`` names the place inside the value, such as ``value['rows'][3].socket``; ``key`` the
    entry whose bytes were read, and is None when a value was to be written.
    """

    def __init__(self, message: str, path: str = "value") -> None:
        super().__init__(f"{path}: {message}")
        self.message = message
        self.path = path
        self.key: object = None

    def __reduce__(self) -> tuple[type[SerializationError], tuple[str, str], dict[str, Any]]:
        return type(self), (self.message, self.path), self.__dict__  # key and notes


class PickleRefusedError(SerializationError):
    """The value needs pickle and ``allow_pickle=False`` was given."""


class UnsupportedPlatformError(FastmemError, NotImplementedError):
    """L2 and L3 need Linux; L1 works elsewhere."""


class MissingSymbolError(FastmemError, ImportError):
    """An installed wheel does not export the C symbols that fastmem binds to."""


class StoreError(FastmemError, OSError):
    """A directory or file of the lower tiers cannot be used. ``filename`` is its path."""

    def __init__(self, message: str, path: str | os.PathLike[str], code: int = errno.EIO) -> None:
        super().__init__(code, message, os.fspath(path))


class StoreNotFoundError(StoreError, FileNotFoundError):
    """Opened with ``read_only=True``, and no store is there: none yet, or not all of it yet."""

    def __init__(
        self, message: str, path: str | os.PathLike[str], code: int = errno.ENOENT
    ) -> None:
        super().__init__(message, path, code)


class StoreLockedError(StoreError):
    """Another process has the directory open in a way that goes with no other."""


class StoreTimeoutError(StoreError, TimeoutError):
    """Another process, which lives but may be stopped, has kept a lock for longer than `timeout_s`.

    Nothing has changed; but when ``durability="disk"`` waits in vain for the turn to sync, and only
    then, the change is done, and the message says so: a power loss may take it until the next
    change, or `flush`, has returned.
    """

    def __init__(
        self, message: str, path: str | os.PathLike[str], code: int = errno.ETIMEDOUT
    ) -> None:
        super().__init__(message, path, code)


class TooManyProcessesError(StoreError):
    """As many processes as there may be have the directory open."""


class DirectoryRefusedError(StoreError):
    """The directory is none, another tier's, made with another secret key, part of a memory and to
    be opened with the other part, or not this user's alone on a local file system.
    """


class FormatError(StoreError):
    """The file is not fastmem's, or its format is newer than this version reads."""


class ReadOnlyError(StoreError):
    """A write to a memory that was opened with ``read_only=True``."""


class CorruptRecordError(StoreError):
    """Bytes on disk that do not validate. ``offset`` is the record's place in the file."""

    def __init__(self, message: str, path: str | os.PathLike[str], offset: int) -> None:
        super().__init__(f"{message} (offset {offset:,})", path)
        self.offset = offset
