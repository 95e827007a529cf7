"""What the store looks up for itself is no reading: reclaim moves on what callers have read."""

from __future__ import annotations

import os
from pathlib import Path

from fastmem._core.keys import encode_key
from tests.crash.directories import copy, engine_of, open_segments, open_tiers

LARGE = 300_000
KEY = encode_key("k")


def test_a_put_over_a_large_value_reads_none(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for _ in range(2):
            store.put("k", os.urandom(LARGE))
        engine = engine_of(store)
        assert not engine.log.was_touched(KEY)
        store.get("k")
        assert engine.log.was_touched(KEY)


def test_opening_after_a_crash_or_a_rebuild_reads_none(private_tmp: Path) -> None:
    with open_tiers(private_tmp / "at") as memory:
        memory.put("k", os.urandom(LARGE))
        crashed = copy(private_tmp / "at", private_tmp / "crashed")
        rebuilt = copy(private_tmp / "at", private_tmp / "rebuilt")
    (rebuilt / "l2" / "index").unlink()
    for at in (crashed, rebuilt):
        with open_tiers(at) as memory:
            assert not engine_of(memory).log.was_touched(KEY)
            assert memory.get("k") is not None


def test_only_a_live_pointer_is_told(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        log = engine_of(store).log
        store.put("k", b"small")
        assert log.pointer(KEY) is None
        store.put("k", os.urandom(LARGE))
        assert log.pointer(KEY) == log.get(KEY).body
        store.delete("k")
        assert log.pointer(KEY) is None
