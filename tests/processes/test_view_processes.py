"""Views of one process while another replaces, deletes and reclaims what they are of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastmem import SegmentStore
from tests.children import forked
from tests.crash.directories import open_segments
from tests.viewed import SEGMENT, churn

SMALL, LARGE = 40_000, 300_000


def elsewhere(path: Path, work: Any) -> None:
    """Do something with the store in another process, which opens it by itself."""

    def run() -> str:
        with open_segments(path) as store:
            work(store)
        return "done"

    assert forked(run, 60) == "done"


def cleared(store: SegmentStore) -> None:
    store.clear()
    store.flush()
    churn(store)


def replace(store: SegmentStore, values: dict[int, bytes]) -> None:
    churn(store)
    store.update(values)


@pytest.mark.parametrize("read_only", [False, True], ids=["", "read only"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_another_process_takes_it_away(private_tmp: Path, size: int, read_only: bool) -> None:
    value = os.urandom(size)
    with open_segments(private_tmp) as store:
        store.put("k", value)
        store.put("array", np.frombuffer(value, np.uint8))
        reader = open_segments(private_tmp, read_only=True) if read_only else store
        views = [reader.get_view("k"), reader.get("array")]
        elsewhere(private_tmp, cleared)
        assert [bytes(view) == value for view in views] == [True, True]
        assert reader.get_view("k") is None  # and notices
        expected = 2 * LARGE if size == LARGE else SEGMENT
        assert expected <= reader.stats()["pinned_bytes"] < expected + 4 * SEGMENT
        assert [bytes(view) == value for view in views] == [True, True]
        views.clear()
        assert reader.stats()["pinned_bytes"] == 0
        if read_only:
            reader.close()


def test_what_another_process_put_is_seen(private_tmp: Path) -> None:
    values = {size: bytes([size % 251]) * size for size in (100, SMALL, LARGE)}
    with open_segments(private_tmp) as store:
        kept = []
        for number in range(5):
            values = {size: bytes([number]) * size for size in values}
            elsewhere(
                private_tmp, lambda store, values=values: (churn(store), store.update(values))
            )
            for size, value in values.items():
                view = store.get_view(size)
                assert bytes(view) == value
                kept.append((view, value))
        assert all(bytes(view) == value for view, value in kept)


def test_value_files_that_others_unlinked_are_let_go_in_time(private_tmp: Path) -> None:
    """Without a view of them, and without anybody asking for stats."""

    def mapped() -> int:
        maps = Path("/proc/self/maps").read_text()
        return sum(f"{private_tmp}/l2/val." in line for line in maps.splitlines())

    with open_segments(private_tmp) as store:
        for number in range(10):
            store.put(number, bytes(LARGE))
            store.get_view(number)
        elsewhere(private_tmp, lambda store: [store.put(n, bytes(LARGE + n)) for n in range(10)])
        elsewhere(private_tmp, lambda store: store.flush())
        for number in range(10):
            assert len(store.get_view(number)) == LARGE + number
        assert mapped() == 10
