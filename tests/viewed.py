"""Where the bytes of views lie, and stores whose segments are reclaimed under them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from fastmem import SegmentStore

SEGMENT = 1 << 20


def address(view: Any) -> int:
    """Where the first byte of a view or array is."""
    array = view if isinstance(view, np.ndarray) else np.frombuffer(view, np.uint8)
    return int(array.ctypes.data)


def mapped_file(view: Any) -> str:
    """The name of the mapped file that a view's bytes lie in, "" when they are in memory."""
    at = address(view)
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *rest = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= at < end:
            name = rest[4].removesuffix(" (deleted)") if len(rest) == 5 else ""
            return Path(name).name if name.startswith("/") else ""
    raise AssertionError(f"nothing is mapped at {at:#x}")


def anonymous_bytes() -> int:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def churn(store: SegmentStore, segments: int = 24) -> None:
    """Put so much that as many segments are reclaimed, and whatever was there is evicted."""
    reclaimed = store._engine.files.super.get("head")
    units = segments * SEGMENT // 16
    number = 0
    while store._engine.files.super.get("head") - reclaimed < units:
        store.put(f"churn:{number % 16}", os.urandom(100_000))
        number += 1
