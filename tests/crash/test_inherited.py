"""What an earlier process of the same boot left unsynced is synced by the next one's sync."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from fastmem.storage import opening
from tests.crash.device import Device
from tests.crash.directories import engine_of, open_archive, open_segments, open_tiers

SMALL, LARGE = os.urandom(900), os.urandom(300_000)  # in the log, and in a file of its own


@pytest.mark.parametrize("kill", [True, False])
@pytest.mark.parametrize("durability", ["process", "disk"])
@pytest.mark.parametrize("value", [SMALL, LARGE])
@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_a_sync_is_for_all_that_was_put(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    opener: Any,
    value: bytes,
    durability: Any,
    kill: bool,
) -> None:
    at = private_tmp / "a"
    at.mkdir(mode=0o700)
    device = Device(at, random.Random(1))
    with device.watched():
        store = opener(at)
        store.put("k", value)
        if kill:
            engine_of(store).files.close(clean=False)
        else:
            store.close()
        with opener(at, durability=durability) as store:
            if durability == "disk":
                store.put("another", 1)
            else:
                store.flush()
            device.chances = (0.0,)  # the device has nothing but what was synced
            device.lose_power(private_tmp / "b")
    monkeypatch.setattr(opening, "boot_id", lambda: b"after the outage")
    with opener(private_tmp / "b") as store:
        assert store.get("k") == value
