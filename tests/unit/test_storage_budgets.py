"""Budgets are true on disk: what `du` counts, after every call, and nothing is left behind."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem.storage.values import ValueFiles
from tests.crash.directories import (
    BUDGET,
    SEGMENT,
    contents,
    engine_of,
    linked_bytes,
    open_segments,
    open_tiers,
)
from tests.crowd import together


def value_names(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith("val.")]


def test_tiny_records_grow_the_index_within_the_budget(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for i in range(280_000):
            store.put(i, i)
            if i % 1000 == 0:
                assert engine_of(store).warm_bytes <= BUDGET
                assert linked_bytes(private_tmp / "l2") <= BUDGET
        store.check()
        assert store.stats()["evictions"]["size"] > 0


@pytest.mark.parametrize("seed", range(3))
def test_mixed_sizes_stay_within_the_warm_budget(private_tmp: Path, seed: int) -> None:
    draw = random.Random(seed)
    with open_tiers(private_tmp) as memory:
        model: dict[Any, bytes] = {}
        for _ in range(400):
            key = draw.randrange(60)
            size = draw.choice([10, 1000, 100_000, 262_144, 262_145, 900_000, 4_000_000])
            if draw.random() < 0.15:
                memory.delete(key)
                model.pop(key, None)
            else:
                model[key] = draw.randbytes(min(size, 64)) * (size // 64 + 1)
                memory.put(key, model[key])
            assert engine_of(memory).warm_bytes <= BUDGET
            assert linked_bytes(private_tmp / "l2") <= BUDGET
        assert contents(memory) == model
        memory.check()


def test_an_archive_of_large_values_stays_within_its_budget(private_tmp: Path) -> None:
    draw = random.Random(5)
    with Archive(private_tmp / "l3", budget_bytes=BUDGET) as archive:
        for i in range(30):
            archive.put(i, draw.randbytes(3 << 20))
            assert engine_of(archive).cold_bytes <= BUDGET
            assert linked_bytes(private_tmp / "l3") <= BUDGET
        assert archive.get(29) is not None
        assert archive.get(0) is None
        assert archive.stats()["evictions"]["size"] >= 24
        assert len(value_names(private_tmp / "l3")) == len(archive)
        archive.check()
    (private_tmp / "l3" / "index").unlink()
    with Archive(private_tmp / "l3", budget_bytes=BUDGET) as archive:
        assert all(archive.get(i) is not None for i in archive)


def test_a_bounded_archive_under_a_memory(private_tmp: Path) -> None:
    draw = random.Random(6)
    with open_tiers(private_tmp, l3_size_mb=16) as memory:
        for i in range(90):
            memory.put(i, draw.randbytes(draw.choice([1000, 300_000, 2_000_000])))
            memory.put((i,), draw.randbytes(100_000))
            assert linked_bytes(private_tmp / "l2") <= BUDGET
            assert linked_bytes(private_tmp / "l3") <= BUDGET
        memory.check()


def test_opening_with_a_smaller_budget_makes_it_fit(private_tmp: Path) -> None:
    with SegmentStore(private_tmp / "l2", budget_bytes=2 * BUDGET) as store:
        pass
    for name in (private_tmp / "l2").iterdir():
        name.unlink()
    with SegmentStore(private_tmp / "l2", budget_bytes=BUDGET):
        pass
    with SegmentStore(private_tmp / "l2", budget_bytes=2 * BUDGET) as store:
        for i in range(30_000):
            store.put(i, "x" * 1000)
        assert engine_of(store).warm_bytes > BUDGET
    with SegmentStore(private_tmp / "l2", budget_bytes=BUDGET) as store:
        assert linked_bytes(private_tmp / "l2") <= BUDGET
        assert store.get(29_999) == "x" * 1000
        store.check()


def test_no_value_file_is_left_behind_by_a_clean_close(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", b"x" * 300_000)
        store.put("other", b"z" * 300_000)
        store.flush()
        store.put("k", b"y" * 300_000)
        store.delete("other")
    with open_segments(private_tmp) as store:
        assert store.get("k") == b"y" * 300_000
        store.flush()
        store.put("trigger", 1)
    with open_segments(private_tmp) as store:
        assert len(value_names(private_tmp / "l2")) == 1
        assert store.get("k") == b"y" * 300_000


def test_threads_putting_large_values_stay_within_the_budget(private_tmp: Path) -> None:
    over: list[int] = []
    with open_segments(private_tmp) as store:
        engine = engine_of(store)

        def put(first: int) -> None:
            for i in range(first, first + 12):
                store.put(i, os.urandom(1000) * 1500)
                over.append(linked_bytes(private_tmp / "l2"))

        assert together(partial(put, 100 * n) for n in range(4)) == []
        # While it is under way, a put may hold its own value and a segment beyond the budget.
        held = ValueFiles.footprint(1_500_000 + 10) + SEGMENT
        assert max(over) <= BUDGET + 3 * held
        assert linked_bytes(private_tmp / "l2") <= BUDGET
        assert engine.warm_bytes <= BUDGET
        store.check()


def test_threads_filling_a_bounded_archive(private_tmp: Path) -> None:
    with Archive(private_tmp / "l3", budget_bytes=BUDGET) as archive:

        def put(first: int) -> None:
            draw = random.Random(first)
            for i in range(first, first + 40):
                archive.put(i, draw.randbytes(draw.choice([100_000, 200_000, 400_000])))

        assert together(partial(put, 1000 * n) for n in range(4)) == []
        archive.check()
        assert linked_bytes(private_tmp / "l3") <= BUDGET
        assert len(value_names(private_tmp / "l3")) <= len(archive)


def test_the_footprint_of_a_value_is_never_less_than_its_blocks(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for size in (262_145, 262_200, 266_200, 270_336, 300_000, 1_000_003):
            for key in (b"k", b"k" * 4000):
                store.put(key, b"x" * size)
        values: ValueFiles = engine_of(store).files.warm_values
        for key in (b"k", b"k" * 4000):
            record = engine_of(store).log.get(b"b" + key)
            assert record is not None
        assert values.linked_bytes <= 2 * values.footprint(1_000_003 + 4000)


def test_making_room_may_take_the_very_value_that_is_replaced(private_tmp: Path) -> None:
    """Its bytes are then free once, not twice: what the log needs to move on is there after it."""
    with open_tiers(private_tmp) as memory:
        segments = engine_of(memory).files.warm.numbers

        def fill(count: int) -> None:
            while len(segments) < count:
                memory.put(("small", len(memory)), bytes(60_000))

        fill(3)
        memory.put("k", bytes(900_000))
        fill(4)
        memory.put("large", bytes(7 << 20))
        memory.put("k", bytes(7 << 20))  # only the tail's segment is left beside these two
        for i in range(40):
            memory.put(("more", i), bytes(60_000))
            memory.check()


def test_two_large_values_and_a_budget_cut_to_the_bone(private_tmp: Path) -> None:
    """Only the tail's segment is left, and no room for another: still every put goes on."""
    paths = private_tmp / "l2", private_tmp / "l3"
    with TieredMemorySystem(1, *paths, l2_size_mb=24) as memory:
        for name in "ab":
            memory.put(name, bytes(7_390_000))
    with TieredMemorySystem(1, *paths, l2_size_mb=16) as memory:
        engine = engine_of(memory)
        assert engine.warm_bytes + engine.files.warm.segment_bytes > BUDGET
        for i in range(40):
            memory.put(i, bytes(60_000))
            assert engine.warm_bytes <= BUDGET
