"""A rebuild dies in the middle: the next one knows as much as it did, and finds the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.keys import encode_key
from fastmem._core.layout import LOCATION_MASK, TIER_BIT
from fastmem.storage import opening
from fastmem.storage.indexing import IndexFiles
from fastmem.storage.rebuilding import Rebuild
from fastmem.storage.superblock import Superblock
from tests.crash.directories import copy, engine_of, open_segments, open_tiers, patch
from tests.crash.test_lost_first_page import LARGE, without_first_page
from tests.crash.test_torn_twice import on_its_way_down
from tests.demotion import archive_warm, reclaim


class KilledError(BaseException):
    """The process is gone."""


def cut_at(place: object, name: str, nth: int = 0) -> Callable[[pytest.MonkeyPatch], None]:
    """Die when `name` is called, after `nth` calls that went well."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        real, calls = getattr(place, name), []

        def die(*args: Any) -> Any:
            calls.append(args)
            if len(calls) > nth:
                raise KilledError
            return real(*args)

        monkeypatch.setattr(place, name, die)

    return plant


CUTS = {
    "before the second pass": cut_at(Rebuild, "_absorb_settled"),
    "before the skips": cut_at(Rebuild, "_mend"),
    "after the skips": cut_at(IndexFiles, "set_bounds"),
    "between the bounds": cut_at(Superblock, "set", 2),
    "before the tail": cut_at(Rebuild, "_place_tail"),
}
cuts = pytest.mark.parametrize("cut", [None, *CUTS])
# Where only the first page is lost there is nothing torn, and so no second pass.
cuts_of_one_pass = pytest.mark.parametrize("cut", [None, *list(CUTS)[1:]])


def restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "boot_id", lambda: b"another boot id!")


def die_opening(monkeypatch: pytest.MonkeyPatch, cut: str | None, opener: Any, at: Path) -> None:
    """Open a store and die at a cut."""
    if cut is None:
        return
    with monkeypatch.context() as planted:
        CUTS[cut](planted)
        with pytest.raises(KilledError):
            opener(at)


@cuts
def test_a_synced_large_value_on_its_way_down(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, cut: str | None
) -> None:
    value = os.urandom(300_000)
    at, file = on_its_way_down(private_tmp, value)
    file.write_bytes(bytes(file.stat().st_size))
    restart(monkeypatch)
    die_opening(monkeypatch, cut, open_tiers, at)
    with open_tiers(at) as memory:
        assert memory.get("k") == value


@cuts
def test_a_synced_value_whose_copy_at_the_tail_is_torn(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, cut: str | None
) -> None:
    value = os.urandom(30_000)
    with open_segments(private_tmp / "a") as store:
        engine = engine_of(store)
        store.put("k", value)
        for i in range(100):
            store.put(i, os.urandom(20_000))
        store.flush()
        store.get("k")
        reclaim(engine, 1)
        moved = engine.log.seek(encode_key("k")) & LOCATION_MASK
        assert moved >= engine.files.super.get("synced")
        segment, unit = divmod(moved, engine.files.warm.segment_units)
        at = copy(private_tmp / "a", private_tmp / "b")
    patch(at / f"l2/seg.{segment}", (unit * 16 // 4096 + 3) * 4096, bytes(4096))
    restart(monkeypatch)
    die_opening(monkeypatch, cut, open_segments, at)
    with open_segments(at) as store:
        assert store.get("k") == value


@cuts
def test_what_the_archive_had_got_of_it_is_lost(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, cut: str | None
) -> None:
    value = os.urandom(30_000)
    with open_tiers(private_tmp / "a") as memory:
        memory.put("first", 1)
        memory.put("k", value)
        for i in range(20):
            memory.put(i, os.urandom(1 << 17))
        memory.flush()
        reclaim(engine_of(memory), 20_000, forward=False)
        assert engine_of(memory).log.get(b"sk").word & TIER_BIT
        at = copy(private_tmp / "a", private_tmp / "b")
    segment = at / "l3/cold.0"
    segment.write_bytes(segment.read_bytes()[:64].ljust(segment.stat().st_size, b"\0"))
    restart(monkeypatch)
    die_opening(monkeypatch, cut, open_tiers, at)
    with open_tiers(at) as memory:
        assert memory.get("k") == value


@cuts_of_one_pass
def test_a_lost_first_page_is_not_forgotten(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, cut: str | None
) -> None:
    def open_small(at: Path) -> Any:
        return open_tiers(at, l3_size_mb=20)

    with open_small(private_tmp / "a") as memory:
        memory.put("k", "old")
        archive_warm(memory)
        memory.put("k", LARGE)
        archive_warm(memory)
        i = 0
        while "k" in memory:
            memory.put(("large", i), LARGE)
            i += 1
        at = without_first_page(private_tmp / "a", private_tmp / "b")
    die_opening(monkeypatch, cut, open_small, at)
    with open_small(at) as memory:
        assert memory.get("k") is None


@cuts_of_one_pass
def test_a_damaged_newest_value_after_a_lost_first_page(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, cut: str | None
) -> None:
    with open_segments(private_tmp / "a") as store:
        store.put("k", "old")
        store.put("k", b"N" * 5_000)
        at = without_first_page(private_tmp / "a", private_tmp / "b")
    segment = at / "l2/seg.0"
    patch(segment, segment.read_bytes().find(b"N" * 100) + 1_000, b"x")
    die_opening(monkeypatch, cut, open_segments, at)
    for _ in range(2):
        with open_segments(at) as store:
            assert store.get("k") is None
        restart(monkeypatch)
