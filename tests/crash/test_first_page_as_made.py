"""A first page that a power loss found as it was made: it tells nothing of what was synced."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from fastmem.storage import opening
from tests.crash.device import Device
from tests.crash.directories import engine_of, open_archive, open_segments, open_tiers


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_what_was_synced_is_kept_until_what_replaces_it_is(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any
) -> None:
    """The first power loss leaves a value, a death what replaces it; the next one of the two."""
    values = [os.urandom(400_000), os.urandom(400_000)]
    first, second, third = (private_tmp / name for name in "abc")
    first.mkdir(mode=0o700)
    device = Device(first, random.Random(1))
    device.chances = (0.0,)
    with device.watched(), opener(first) as store:
        store.put("k", values[0])
        store.flush()
        device.lose_power(second)
    monkeypatch.setattr(opening, "boot_id", lambda: b"the second boot.")
    device = Device(second, random.Random(1))
    device.chances = (0.0,)
    with device.watched():
        store = opener(second)
        assert store.get("k") == values[0]
        store.put("k", values[1])
        engine_of(store).abandon()  # the process dies
        with opener(second) as store:
            assert store.get("k") == values[1]
            for directory in engine_of(store).files.directories:
                directory.sync()  # as the file system may do by itself
            device.lose_power(third)
    monkeypatch.setattr(opening, "boot_id", lambda: b"after the outage")
    with opener(third) as store:
        store.check()
        assert store.get("k") in values
