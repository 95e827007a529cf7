"""Two processes with one store, whose files are cut under both: each misses, or has an error."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from fastmem import SegmentStore, StoreError
from tests.faulting import BUDGET

KEPT = {f"k{i}": bytes((i % 251,)) * 1000 for i in range(3000)}
LARGE = bytes(20_000)


def _put(store: SegmentStore) -> Any:
    for i in range(500):
        store.put(f"own{i}", bytes(1000))


def _reclaim(store: SegmentStore) -> Any:
    for i in range(400):  # more than the budget: the oldest segments are read, and go
        store.put(f"more{i}", bytes(50_000))


def _check_reads(store: SegmentStore) -> Any:
    got = {key: store.get(key) for key in KEPT}
    many = store.get_many(list(KEPT))
    assert all(value in (None, KEPT[key]) for key, value in got.items())
    assert all(value == KEPT[key] for key, value in many.items())
    there = {key for key in KEPT if key in store}
    assert {key for key, value in got.items() if value is not None} <= there
    for key in list(KEPT)[::50]:
        view = store.get_view(key)
        assert view is None or view == KEPT[key]
    view = store.get_view("view")
    return sum(value is None for value in got.values()), view is None or view == LARGE


STEPS = {"read": _check_reads, "put": _put, "reclaim": _reclaim}


def _serve(place: str, asked: Connection) -> None:
    store = SegmentStore(place, budget_bytes=BUDGET)
    asked.send("open")
    while (name := asked.recv()) != "close":
        try:
            asked.send(STEPS[name](store))
        except StoreError as error:
            asked.send(f"{type(error).__name__}: {error}")
    store.close()
    asked.send("closed")


@pytest.mark.parametrize(
    ("name", "length"),
    [("seg.0", 8192), ("index", 8192), ("super", 0), ("procs", 0)],
)
def test_both_live_on(private_tmp: Path, name: str, length: int) -> None:
    context = multiprocessing.get_context("spawn")
    store = SegmentStore(private_tmp, budget_bytes=BUDGET)
    for key, value in KEPT.items():
        store.put(key, value)
    store.put("view", LARGE)
    assert _check_reads(store) == (0, True)
    ours, theirs = context.Pipe()
    other = context.Process(target=_serve, args=(str(private_tmp), theirs))
    other.start()
    try:
        theirs.close()
        assert ours.recv() == "open"
        ours.send("read")
        assert ours.recv() == (0, True)
        os.truncate(private_tmp / name, length)
        for step in ("read", "put", "read", "reclaim", "read"):
            try:
                told = STEPS[step](store)
            except StoreError as error:
                told = f"{type(error).__name__}: {error}"
            assert told is None or told[1] or isinstance(told, str)
            ours.send(step)
            told = ours.recv()
            assert told is None or told[1] or isinstance(told, str)
        if name == "seg.0":  # until it was reclaimed
            assert store.stats()["faults"]
        store.close()
        ours.send("close")
        assert ours.recv() == "closed"
        other.join(60)
        assert other.exitcode == 0
    finally:
        other.kill()
        other.join()
