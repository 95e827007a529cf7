"""The archive's oldest segment goes, also when no younger one is there yet."""

from __future__ import annotations

import os
from pathlib import Path

from fastmem import Archive
from fastmem._core.log import COLD
from tests.crash.directories import BUDGET, SEGMENT, UNIT, engine_of

HEADER_BYTES = 48 + 16  # of a cold record


def test_the_only_segment_is_reclaimed_when_the_tail_has_just_left_it(private_tmp: Path) -> None:
    """A record that ends with its segment leaves the tail in one that does not exist."""
    with Archive(private_tmp / "l3", budget_bytes=BUDGET) as archive:
        engine = engine_of(archive)
        archive.put("large", os.urandom(6 << 20))
        tail_bytes = engine.files.super.get("cold_tail") * UNIT
        while tail_bytes < SEGMENT:
            key = f"{tail_bytes:07}"  # a type byte before it: 8
            size = min(SEGMENT - tail_bytes, 100_000 // UNIT * UNIT)
            if 0 < SEGMENT - tail_bytes - size < 1_000:
                size //= 2 * UNIT
                size *= UNIT
            archive.put(key, os.urandom(size - HEADER_BYTES - 8))
            tail_bytes += size
            assert engine.files.super.get("cold_tail") * UNIT == tail_bytes
        assert engine.files.cold.numbers == [0]
        assert engine.files.tail_segment(COLD) == 1
        with engine.lock:
            engine.room.make_room(COLD, 15 << 20)
        assert engine.files.cold.numbers == []
        assert len(archive) == 0
        archive.put("next", 1)
        assert archive["next"] == 1
        archive.check()
    with Archive(private_tmp / "l3", budget_bytes=BUDGET) as archive:
        assert dict(archive) == {"next": 1}


def test_the_first_page_of_the_archive_knows_its_head_after_every_eviction(
    private_tmp: Path,
) -> None:
    with Archive(private_tmp / "l3", budget_bytes=BUDGET) as archive:
        for number in range(20):
            archive.put(number, os.urandom(100_000))
        engine = engine_of(archive)
        for evicted in range(1, 6):
            with engine.lock:
                engine.cold_reclaimer.step(1)
            assert archive.stats()["evictions"]["size"] == evicted
            assert engine.files.archive.get("cold_head") == engine.files.super.get("cold_head") > 0
