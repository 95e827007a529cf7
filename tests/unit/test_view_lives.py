"""Views outlive what happens to the entry, the segment, the file and the store."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastmem import SegmentStore
from fastmem._core.mapping import Mapping
from fastmem._core.windows import window_of
from fastmem.storage import value_maps
from tests.crash.directories import open_segments
from tests.viewed import SEGMENT, anonymous_bytes, churn

SMALL, LARGE = 40_000, 300_000
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE])

ENDS: dict[str, Callable[[SegmentStore], object]] = {
    "replaced": lambda store: store.put("k", b"other"),
    "deleted, reclaimed": lambda store: (store.clear(), churn(store)),
    "deleted": lambda store: store.delete("k"),
    "popped": lambda store: store.pop("k"),
    "cleared": SegmentStore.clear,
    "reclaimed": churn,
    "closed": SegmentStore.close,
    "reclaimed and closed": lambda store: (churn(store), store.close()),
}


def views_of(store: SegmentStore, value: bytes) -> list[Any]:
    """Views of "k" and "array", of every kind; both hold `value`."""
    store.put("k", value)
    store.put("array", np.frombuffer(value, np.uint8))
    view = store.get_view("k")
    released = store.get_view("k")
    kept = np.frombuffer(released, np.uint8)
    return [view, view[:], kept[:], store.get("array"), store.get("array")[::1]]


@SIZES
@pytest.mark.parametrize("end", ENDS)
def test_the_bytes_never_change(private_tmp: Path, size: int, end: str) -> None:
    value = os.urandom(size)
    with open_segments(private_tmp) as store:
        views = views_of(store, value)
        ENDS[end](store)
        gc.collect()
        assert [bytes(view) for view in views] == [value] * len(views)
    assert [bytes(view) for view in views] == [value] * len(views)


def test_under_many_reclaims_every_view_keeps_its_bytes(private_tmp: Path) -> None:
    kept: list[tuple[Any, bytes]] = []
    with open_segments(private_tmp) as store:
        for number in range(60):
            value = os.urandom(SMALL if number % 3 else LARGE)
            store.put(number, value)
            kept.append((store.get_view(number), value))
            churn(store, 1)
        assert all(bytes(view) == value for view, value in kept)
        assert store.stats()["pinned_bytes"] > 20 * SEGMENT
        del kept[:50]
        assert all(bytes(view) == value for view, value in kept)
        kept.clear()
        assert store.stats()["pinned_bytes"] == 0
        store.check()


@SIZES
def test_pinned_bytes_are_those_of_unlinked_files(private_tmp: Path, size: int) -> None:
    unit = SEGMENT if size == SMALL else size
    with open_segments(private_tmp) as store:
        store.put("k", os.urandom(size))
        view = store.get_view("k")
        part = view[10:20]
        assert store.stats()["pinned_bytes"] == 0  # it is linked still
        store.delete("k")
        churn(store)
        assert unit <= store.stats()["pinned_bytes"] < unit + 4096
        view.release()
        assert unit <= store.stats()["pinned_bytes"] < unit + 4096
        part.release()
        assert store.stats()["pinned_bytes"] == 0


@SIZES
def test_nothing_is_mapped_after_the_last_view(private_tmp: Path, size: int) -> None:
    def maps() -> str:
        return Path("/proc/self/maps").read_text()

    with open_segments(private_tmp) as store:
        view = views_of(store, os.urandom(size))[0]
    assert str(private_tmp) in maps()
    view.release()
    assert str(private_tmp) not in maps()


def test_an_array_keeps_its_segment_when_all_else_is_gone(private_tmp: Path) -> None:
    """numpy releases at once the buffer that it builds an array on."""
    with open_segments(private_tmp) as store:
        store.put("k", np.arange(SMALL))
        array = store.get("k")[5:9]
        gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None
    assert array.tolist() == [5, 6, 7, 8]


def test_a_window_onto_a_closed_mapping_can_be_divided(private_tmp: Path) -> None:
    with (private_tmp / "file").open("wb+") as file:
        file.write(bytes(range(100)))
        file.flush()
        mapping = Mapping(file.fileno(), 100, False)
    window = window_of(mapping, 10, 50)
    mapping.close()
    with pytest.raises(ValueError, match="closed"):
        window_of(mapping, 10, 50)
    part = window.part(10, 5)
    del window
    assert mapping.mapped
    assert bytes(part) == bytes(range(20, 25))
    for offset, size in ((6, 0), (5, 1), (0, 6), (1 << 63, 1 << 63)):
        with pytest.raises(ValueError, match="outside"):
            part.part(offset, size)
    del part
    assert not mapping.mapped


def test_memory_does_not_grow_by_what_is_viewed(private_tmp: Path) -> None:
    """1 GiB of views, read to the last byte."""
    with SegmentStore(private_tmp / "l2", budget_bytes=64 << 20) as store:
        for number in range(8):
            store.put(number, os.urandom(1 << 20))
            store.put(("small", number), os.urandom(1 << 17))
        sums = [int(np.frombuffer(store.get_view(n), "u8").sum()) for n in range(8)]
        before = anonymous_bytes()
        for _ in range(114):
            for number in range(8):
                assert int(np.frombuffer(store.get_view(number), "u8").sum()) == sums[number]
                store.get_view(("small", number)).tobytes()
        assert anonymous_bytes() - before < 4 << 20


def test_value_files_mapped_are_bounded_but_for_views(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(value_maps, "MOST_FILES", 4)

    def mapped() -> int:
        maps = Path("/proc/self/maps").read_text()
        return sum(f"{private_tmp}/l2/val." in line for line in maps.splitlines())

    with SegmentStore(private_tmp / "l2", budget_bytes=64 << 20) as store:
        for number in range(30):
            store.put(number, bytes([number]) * LARGE)
        for number in range(30):
            store.get_view(number)
        assert mapped() == 4
        views = [store.get_view(number) for number in range(30)]
        assert mapped() == 30
        for number in range(30):  # the files of views that live on are known, and counted
            store.delete(number)
        store.flush()
        assert store.stats()["pinned_bytes"] >= 30 * LARGE
        assert all(view[-1] == number for number, view in enumerate(views))
        views.clear()
        assert mapped() == 0
        assert store.stats()["pinned_bytes"] == 0


def test_a_file_that_another_process_unlinked_is_let_go(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", bytes(LARGE))
        view = store.get_view("k")
        (path,) = (private_tmp / "l2").glob("val.*")
        assert store.stats()["pinned_bytes"] == 0
        path.unlink()
        assert store.stats()["pinned_bytes"] >= LARGE
        view.release()
        assert store.stats()["pinned_bytes"] == 0
