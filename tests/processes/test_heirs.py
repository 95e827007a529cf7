"""Who takes the write lock from a dead process knows of the files what that one knew."""

from __future__ import annotations

from pathlib import Path

from tests.crash.directories import LOCK_AT, engine_of, open_segments, set_word

DEAD = 9 << 48 | 7  # a slot that nobody has


def test_an_index_that_grew_meanwhile_is_no_damaged_one(private_tmp: Path) -> None:
    with open_segments(private_tmp) as busy, open_segments(private_tmp) as idle:
        engine = engine_of(idle)
        room = engine.log.buckets[1]
        count = 0
        while engine_of(busy).log.buckets[0] <= room:
            count += 1
            busy.put(count, count)
        set_word(private_tmp / "l2" / "super", LOCK_AT, DEAD)
        idle.put("late", "kept")
        assert engine.log.steals == 1
        assert busy.get("late") == "kept"
        assert len(busy) == count + 1
        busy.check()
