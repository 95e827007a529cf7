"""A read of the archive that copies its value up promises nothing, and waits for no device."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.keys import encode_key
from fastmem._core.layout import LOCATION_MASK, TIER_BIT
from fastmem._core.log import COLD
from fastmem.storage.syncing import Syncer
from tests.crash.directories import engine_of, open_tiers
from tests.demotion import archive_warm, empty_l1


def promote(memory: Any, key: str) -> None:
    """Read twice what only the archive holds: the second time it is copied to the warm tier."""
    assert engine_of(memory).log.get(encode_key(key)).word & TIER_BIT
    for _ in range(2):
        empty_l1(memory)
        assert memory.get(key) == key * 100
    assert not engine_of(memory).log.get(encode_key(key)).word & TIER_BIT


def test_a_promotion_does_not_sync(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_tiers(private_tmp, durability="disk") as memory:
        for key in "abc":
            memory.put(key, key * 100)
        archive_warm(memory)
        memory.flush()
        with monkeypatch.context() as patch:

            def fail(*_: object) -> None:
                raise OSError(errno.EIO, "Input/output error")

            patch.setattr(Syncer, "_sync_range", fail)
            for key in "abc":
                promote(memory, key)
            assert not any(memory.stats()["l3"]["errors"].values())
        memory.put("later", 1)
        assert memory.stats()["l2"]["unsynced_bytes"] == 0
        memory.check()


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_a_synced_value_stays_until_its_copy_is_synced(private_tmp: Path, durability: str) -> None:
    with open_tiers(private_tmp, durability=durability) as memory:
        engine = engine_of(memory)
        memory.put("k", "k" * 100)
        archive_warm(memory)
        memory.flush()
        promote(memory, "k")
        address = engine.log.get(encode_key("k")).word & LOCATION_MASK
        assert engine.files.super.get("synced") <= address
        engine.provided(engine.log.roll, COLD)
        with engine.lock:
            engine.cold_reclaimer.drop_dead()
        assert 0 not in engine.files.cold.numbers
        assert engine.files.super.get("synced") > address


def test_one_look_at_everything_moves_nothing_up(private_tmp: Path) -> None:
    """Not even what L1 let go of after it had been moved down: it was not read in the archive."""
    with open_tiers(private_tmp) as memory:
        for key in range(40):
            memory.put(key, bytes(10_000))
        archive_warm(memory)
        empty_l1(memory)
        before = memory.stats()["l3"]["entries"]
        assert before == 40
        for key in range(40):
            assert memory.get(key) == bytes(10_000)
        assert memory.stats()["l3"]["entries"] == before
        empty_l1(memory)
        for key in range(40):
            assert memory.get(key) == bytes(10_000)
        assert memory.stats()["l3"]["entries"] == 0
