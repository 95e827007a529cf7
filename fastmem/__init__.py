"""Memory for latency-sensitive Python: L1 in process, L2 in mapped segments, L3 a zstd archive."""

import sys
from collections.abc import MutableMapping

from fastmem._core.events import NOT_LOADED
from fastmem._core.l1 import L1Cache
from fastmem.entries import MemoryEntry, MemoryTier
from fastmem.errors import (
    ClosedError,
    CorruptRecordError,
    DirectoryRefusedError,
    FastmemError,
    FormatError,
    KeyTypeError,
    MissingSymbolError,
    PickleRefusedError,
    ReadOnlyError,
    SerializationError,
    StoreError,
    StoreLockedError,
    StoreNotFoundError,
    UnsupportedPlatformError,
    ValueTooLargeError,
)
from fastmem.memoize import memoize

if sys.platform == "linux":
    from fastmem.memory import TieredMemorySystem
    from fastmem.storage import Archive, SegmentStore
else:
    from fastmem.elsewhere import Archive, SegmentStore, TieredMemorySystem

__version__ = "0.1.0"

MutableMapping.register(L1Cache)

__all__ = [
    "NOT_LOADED",
    "Archive",
    "ClosedError",
    "CorruptRecordError",
    "DirectoryRefusedError",
    "FastmemError",
    "FormatError",
    "KeyTypeError",
    "L1Cache",
    "MemoryEntry",
    "MemoryTier",
    "MissingSymbolError",
    "PickleRefusedError",
    "ReadOnlyError",
    "SegmentStore",
    "SerializationError",
    "StoreError",
    "StoreLockedError",
    "StoreNotFoundError",
    "TieredMemorySystem",
    "UnsupportedPlatformError",
    "ValueTooLargeError",
    "__version__",
    "memoize",
]
