"""Having a store in memory before it is asked for anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastmem._core.layout import PAGE_BYTES, UNIT_BYTES
from fastmem._core.log import COLD, WARM
from fastmem._core.mapping import Mapping
from fastmem.storage.segments import tail_of

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

__all__ = ["prewarm"]

STEP_BYTES = 1 << 20  # some 0.3 ms when they are in memory; interrupts come between


def prewarm(engine: Engine, limit_bytes: int | None) -> int:
    """Read the index and then the segments, newest first, into memory. Return how many bytes."""
    done = 0
    for mapping, length in _parts(engine):
        whole = -(-length // PAGE_BYTES) * PAGE_BYTES
        for at in range(0, min(whole, mapping.size), STEP_BYTES):
            engine.files.require_open()
            step = min(STEP_BYTES, whole - at, mapping.size - at)
            if limit_bytes is not None:
                step = min(step, (limit_bytes - done) // PAGE_BYTES * PAGE_BYTES)
            if step <= 0:
                return done
            try:
                if not mapping.populate_read(at, step):
                    return done  # a kernel that does not know how
            except ValueError:
                break  # reclaim was done with the segment
            except OSError as error:  # the file is shorter by now, or the device failed
                engine.room.note_failure(error)
                break
            done += step
    return done


def _parts(engine: Engine) -> Iterator[tuple[Mapping, int]]:
    """What is in use of each mapping, in bytes."""
    files = engine.files
    yield from files.index_in_use()
    for tier in (WARM, COLD):
        segments = files.segments(tier)
        if segments is None:
            continue
        tail = files.super.get(tail_of(segments)) * UNIT_BYTES
        for number in sorted(segments.numbers, reverse=True):
            mapping = engine.log.mapping(tier, number)
            used = min(tail - number * segments.segment_bytes, segments.segment_bytes)
            if mapping is not None and used > 0:
                yield mapping, used
