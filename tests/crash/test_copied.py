"""Power loss after a store was copied: what was there is as safe after a sync as what was put."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive
from fastmem.storage import opening
from tests.crash.device import Device
from tests.crash.directories import Opener, open_archive, open_segments, open_tiers
from tests.unit.test_archive_dictionary import put_sessions, session, wait


def found_after_a_flush(
    source: Path, at: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> dict[Any, Any]:
    """Copy a store, flush it there, and return what it holds when only what was synced is left."""
    at.mkdir(mode=0o700)
    device = Device(at, random.Random(1))
    device.chances = (0.0,)
    for folder in source.iterdir():
        shutil.copytree(folder, at / folder.name)
    with device.watched(), opener(at) as store:
        store.flush()
        device.lose_power(at / "lost")
    monkeypatch.setattr(opening, "boot_id", lambda: b"after the outage")
    with opener(at / "lost") as store:
        store.check()
        return dict(store.items())


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
@pytest.mark.parametrize("size", [1_000, 400_000])
@pytest.mark.parametrize("same_boot", [True, False])
def test_a_sync_covers_what_was_copied(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    opener: Any,
    size: int,
    same_boot: bool,
) -> None:
    value = os.urandom(size)
    with opener(private_tmp / "a") as store:
        store.put("k", value)
        store.flush()
    if not same_boot:
        monkeypatch.setattr(opening, "boot_id", lambda: b"the new machine.")
    found = found_after_a_flush(private_tmp / "a", private_tmp / "b", opener, monkeypatch)
    assert found == {"k": value}


def test_a_sync_covers_the_dictionaries_that_were_copied(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive(private_tmp / "a/l3") as archive:
        put_sessions(archive, 0, 6_000)
        wait(archive)
        archive.put("last", session(7))
        assert archive.stats()["dictionaries"]
    found = found_after_a_flush(private_tmp / "a", private_tmp / "b", open_archive, monkeypatch)
    assert found["last"] == session(7)
