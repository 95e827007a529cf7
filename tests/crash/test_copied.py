"""Power loss after a store was copied: what was there is as safe after a sync as what was put."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive
from fastmem._core.mapping import Mapping
from fastmem.storage import files, opening
from tests.crash.directories import Opener, open_archive, open_segments, open_tiers
from tests.crash.test_power_loss import Device
from tests.unit.test_archive_dictionary import put_sessions, session, wait

OPENERS = [open_segments, open_tiers, open_archive]


def after_power_loss(
    device: Device, at: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> dict[Any, Any]:
    """What a store holds when only what was synced is left."""
    device.lose_power(at, None)
    with monkeypatch.context() as patched:
        patched.setattr(opening, "boot_id", lambda: b"after the outage")
        patched.setattr(files, "map_file", lambda fd, size, writable: Mapping(fd, size, writable))
        with opener(at) as store:
            store.check()
            return dict(store.items())


@pytest.mark.parametrize("opener", OPENERS)
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
    shutil.copytree(private_tmp / "a", private_tmp / "b")
    device = Device(private_tmp / "b", monkeypatch)
    if not same_boot:
        monkeypatch.setattr(opening, "boot_id", lambda: b"the new machine.")
    with opener(private_tmp / "b") as store:
        store.flush()
        found = after_power_loss(device, private_tmp / "lost", opener, monkeypatch)
    assert found == {"k": value}


def test_a_sync_covers_the_dictionaries_that_were_copied(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive(private_tmp / "a/l3") as archive:
        put_sessions(archive, 0, 6_000)
        wait(archive)
        archive.put("last", session(7))
        assert archive.stats()["dictionaries"]
    shutil.copytree(private_tmp / "a", private_tmp / "b")
    device = Device(private_tmp / "b", monkeypatch)
    with Archive(private_tmp / "b/l3") as archive:
        archive.flush()
        found = after_power_loss(device, private_tmp / "lost", open_archive, monkeypatch)
    assert found["last"] == session(7)
