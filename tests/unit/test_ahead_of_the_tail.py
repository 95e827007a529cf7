"""What is there before the log comes to it: the next segment, its pages, room in the budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastmem import SegmentStore
from fastmem._core.layout import UNIT_BYTES
from fastmem._core.log import WARM
from fastmem.storage import ahead, oldest
from fastmem.storage.engine import Engine
from tests.children import forked

BUDGET = 16 << 20
SEGMENT = 1 << 20
VALUE = bytes(1000)


def tail(engine: Engine) -> int:
    return engine.files.super.get("tail") * UNIT_BYTES


def fill(store: SegmentStore, until: Callable[[int], bool], prefix: str = "k") -> None:
    """Put until the tail of the log is where it is wanted."""
    number = 0
    while not until(tail(store._engine)):
        store.put((prefix, number), VALUE)
        number += 1


def test_from_the_middle_of_a_segment_on_there_is_the_next(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=BUDGET) as store:
        engine = store._engine
        assert engine.files.warm is not None
        fill(store, lambda at: at > SEGMENT // 4)
        assert engine.files.warm.numbers == [0]
        fill(store, lambda at: at > SEGMENT - SEGMENT // 8)
        assert engine.files.warm.numbers == [0, 1]
        assert engine.log.mapping(WARM, 1) is not None
        made = engine.files.warm.segment_bytes * 2
        assert store.stats()["bytes"] >= made  # the budget counts it
        store.check()
    with SegmentStore(private_tmp, budget_bytes=BUDGET) as store:
        assert store.get(("k", 0)) == VALUE
        store.check()


def test_a_full_store_goes_on_in_a_segment_made_before(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SegmentStore(private_tmp, budget_bytes=BUDGET) as store:
        asked: list[int] = []
        room, add_segment = store._engine.room, store._engine.room.add_segment

        def noted(tier: int) -> None:
            asked.append(tier)
            add_segment(tier)

        fill(store, lambda at: at > 2 * BUDGET)
        monkeypatch.setattr(room, "add_segment", noted)
        fill(store, lambda at: at > 3 * BUDGET, "more")
        assert asked == []
        store.check()
        assert store._engine.warm_bytes <= BUDGET


def test_what_the_budget_has_no_room_for_is_not_made(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=BUDGET) as store:
        engine = store._engine
        for number in range(14):  # files of their own, which no reclaim of the log frees ahead
            store.put(("large", number), bytes(SEGMENT - 100_000))
        fill(store, lambda at: at > 3 * SEGMENT)
        assert engine.warm_bytes <= BUDGET
        store.check()


def test_no_put_reclaims_for_longer_than_a_slice(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0]
    monkeypatch.setattr("fastmem.storage.ahead.time.monotonic_ns", lambda: clock[0])
    taken: list[int] = []
    step = oldest.OldestSegment.step

    def timed(self: oldest.OldestSegment, budget_bytes: int) -> int:
        clock[0] += ahead.SLICE_NS // 4
        taken.append(budget_bytes)
        return step(self, budget_bytes)

    with SegmentStore(private_tmp, budget_bytes=BUDGET) as store:
        fill(store, lambda at: at > 2 * BUDGET)
        monkeypatch.setattr(oldest.OldestSegment, "step", timed)
        most = 0
        for number in range(5000):
            taken.clear()
            store.put(number, VALUE)
            most = max(most, len(taken))
        assert 0 < most <= 4 + 1


def test_who_is_at_work_on_files_does_not_stop_a_put_that_needs_a_segment(
    private_tmp: Path,
) -> None:
    """Of two openers, as two processes would be."""
    with (
        SegmentStore(private_tmp, budget_bytes=BUDGET) as store,
        SegmentStore(private_tmp, budget_bytes=BUDGET, timeout_s=0.2) as other,
    ):
        other.put("k", VALUE)
        fill(store, lambda at: at > SEGMENT - SEGMENT // 8)
        assert other._engine.log.mapping(WARM, 1) is None
        with store._engine.lock:  # of the files, as a process that was stopped would have it
            fill(other, lambda at: at > SEGMENT + SEGMENT // 8, "other")
        assert other._engine.log.mapping(WARM, 1) is not None
        assert other.stats()["errors"]["io"] == 0
        assert store.get(("other", 0)) == VALUE


def test_a_process_that_came_later_reclaims_too(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=BUDGET) as store:
        fill(store, lambda at: at > 2 * BUDGET)

        def pace() -> int:
            with SegmentStore(private_tmp, budget_bytes=BUDGET) as other:
                other.put("k", VALUE)
                return other._engine.log.pace_bytes

        assert int(forked(pace)) > 0


def test_the_index_grows_in_steps(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=BUDGET * 4) as store:
        files = store._engine.files
        sizes = [files.index_bytes]
        steps: list[int] = []
        for number in range(300_000):
            store.put(number, b"")
            if files.index_bytes != sizes[-1]:
                steps.append(files.index_bytes - sizes[-1])
                sizes.append(files.index_bytes)
        assert max(steps) == 1 << 20
        assert len(steps) > 5
        store.check()
