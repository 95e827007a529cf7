"""What a power loss tore was passed over once: it stays so, whatever counts as synced since."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.layout import TIER_BIT
from fastmem.storage import opening
from tests.crash.directories import (
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
)
from tests.demotion import reclaim

OPENERS = [open_segments, open_tiers, open_archive]
SMALL, LARGE = 40_000, 900_000  # in the log, and in a file of its own


@pytest.fixture
def restart(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Restarts the machine, as far as a store can tell."""
    boots = iter(range(1_000))

    def begin() -> None:
        boot = b"boot%012d" % next(boots)
        monkeypatch.setattr(opening, "boot_id", lambda: boot)

    begin()
    return begin


def tear(at: Path, content: bytes) -> None:
    """Zero a page of the only file under `at` that holds `content`."""
    (file,) = (file for file in at.glob("*/*") if content[:32] in file.read_bytes())
    start = file.read_bytes().find(content[:32])
    patch(file, (start // 4096 + 3) * 4096, bytes(4096))


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("durability", ["process", "disk"])
def test_what_was_synced_before_a_torn_put_is_there_after_every_restart(
    private_tmp: Path, restart: Any, opener: Any, size: int, durability: str
) -> None:
    torn = os.urandom(size)
    with opener(private_tmp / "a", durability=durability) as store:
        store.put("k", "synced")
        store.flush()
        synced = {field: engine_of(store).files.super.get(field) for field in BOUNDS}
        store.put("k", torn)
        for field, value in synced.items():  # "disk": the put was cut before its sync was done
            engine_of(store).files.super.set(field, value)
        at = copy(private_tmp / "a", private_tmp / "b")
    tear(at, torn)
    for _ in range(3):
        restart()
        with opener(at, durability=durability) as store:
            assert store.get("k") == "synced"
            store.check()
            store.verify()
            assert store.get("k") == "synced"


BOUNDS = ("synced", "cold_synced")


def on_its_way_down(path: Path, value: bytes) -> tuple[Path, Path]:
    """A memory that dies when reclaim has copied the synced value "k" to the archive, and synced
    nothing since. Return its directory, and the file that the archive has of it.
    """
    with open_tiers(path / "a") as memory:
        memory.put("k", value)
        memory.put("filler", os.urandom(1 << 18))
        memory.flush()
        for i in range(20):
            memory.put(i, os.urandom(1 << 17))
        reclaim(engine_of(memory), 1, forward=False)
        assert engine_of(memory).log.get(b"sk").word & TIER_BIT
        at = copy(path / "a", path / "b")
    (file,) = (at / "l3").glob("val.*")
    return at, file


@pytest.mark.parametrize("missing", [True, False])
def test_a_synced_large_value_on_its_way_down(
    private_tmp: Path, restart: Any, missing: bool
) -> None:
    """Its new file in the archive is lost or torn; the old record and file are there."""
    value = os.urandom(300_000)
    at, file = on_its_way_down(private_tmp, value)
    if missing:
        file.unlink()
    else:
        file.write_bytes(bytes(file.stat().st_size))
    for _ in range(2):
        restart()
        with open_tiers(at) as memory:
            assert memory.get("k") == value
            assert memory.stats()["l3"]["errors"]["dropped"] == 0
            memory.check()
