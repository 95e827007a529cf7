"""Memory for latency-sensitive Python: L1 in process, L2 in mapped segments, L3 a zstd archive."""

import atexit
import importlib
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

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
    StoreTimeoutError,
    TooManyProcessesError,
    UnsupportedPlatformError,
    ValueTooLargeError,
)
from fastmem.memoize import memoize

if TYPE_CHECKING:
    from fastmem.memory import TieredMemorySystem
    from fastmem.storage import Archive, SegmentStore

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
    "StoreTimeoutError",
    "TieredMemorySystem",
    "TooManyProcessesError",
    "UnsupportedPlatformError",
    "ValueTooLargeError",
    "__version__",
    "memoize",
]

# Of the import's time the lower tiers take two thirds: they are there at the first use of a name.
_LOWER_TIERS = {
    "Archive": "fastmem.storage",
    "SegmentStore": "fastmem.storage",
    "TieredMemorySystem": "fastmem.memory",
}


@atexit.register  # here: what the user registers comes before it, and finds the stores open
def _close_open_stores() -> None:
    for name in ("fastmem.memory", "fastmem.storage.engine"):  # in this order
        if name in sys.modules:
            sys.modules[name].close_at_exit()


if not TYPE_CHECKING:  # or every name would do for a type checker

    def __getattr__(name: str) -> object:
        if name in ("memory", "storage"):
            return importlib.import_module(f"fastmem.{name}")
        if name not in _LOWER_TIERS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = _LOWER_TIERS[name] if sys.platform == "linux" else "fastmem.elsewhere"
        globals()[name] = value = getattr(importlib.import_module(module), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LOWER_TIERS})
