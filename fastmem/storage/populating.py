"""Pages ahead of the tail, faulted in before a put comes to them."""

from __future__ import annotations

from fastmem._core.layout import UNIT_BYTES
from fastmem._core.log import CHORE_POPULATE, WARM
from fastmem.storage.opening import StoreFiles

__all__ = ["populate_ahead"]

POPULATE_BYTES = 512 << 10


def populate_ahead(files: StoreFiles) -> None:
    """Fault in the pages ahead of the tail in large steps: seven times cheaper than singly."""
    segments, log = files.warm, files.log
    log.chores &= ~CHORE_POPULATE
    if segments is None:
        return
    tail = files.super.get("tail")  # once: others move it meanwhile
    number = tail // segments.segment_units
    start = number * segments.segment_units
    offset = (tail - start) * UNIT_BYTES
    mapping = log.mapping(WARM, number)
    if mapping is None or mapping.size < segments.segment_bytes:
        log.populate_mark = (number + 1) * segments.segment_units
        return
    length = min(POPULATE_BYTES, segments.segment_bytes - (offset & -4096))
    mapping.populate(offset & -4096, length)
    log.populate_mark = start + ((offset & -4096) + length) // UNIT_BYTES
