"""Reclaim goes past records that need nothing, and stops at those that need something."""

from pathlib import Path
from typing import Any

import pytest

from fastmem import SegmentStore
from fastmem._core.keys import encode_key
from fastmem._core.layout import HEADER_UNITS, LOCATION_MASK, UNIT_BYTES
from fastmem._core.passing import KeyFilter, pass_dead
from tests.crash.directories import engine_of, open_segments, open_tiers, patch
from tests.demotion import archive_warm

MOST_UNITS = 1 << 20


def address(store: Any, key: str) -> int:
    return int(engine_of(store).log.seek(encode_key(key))) & LOCATION_MASK


def passed(store: Any, at: int, most_units: int = MOST_UNITS) -> tuple[int, KeyFilter]:
    log = engine_of(store).log
    dead = KeyFilter(log)
    return pass_dead(log, at, most_units, dead), dead


def replaced(store: SegmentStore) -> None:
    """Ten keys, the first five of them put once more."""
    store.put_many({f"k{number}": number for number in range(10)})
    store.put_many({f"k{number}": -number for number in range(5)})


def test_it_stops_at_what_is_live(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        replaced(store)
        end, dead = passed(store, HEADER_UNITS)
        assert end == address(store, "k5")
        assert [key for key in "0123456789" if encode_key(f"k{key}") in dead] == list("01234")
        assert passed(store, end)[0] == end
        assert passed(store, HEADER_UNITS, 1)[0] < end  # a record, as it is not cut


def test_it_goes_over_tombstones_that_shadow_nothing(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        replaced(store)
        store.delete("k5")
        last = address(store, "k4")
        store.put("after", 1)
        assert passed(store, HEADER_UNITS)[0] == address(store, "k6")
        after = address(store, "after")
        for number in range(10):
            store.delete(f"k{number}")
        assert passed(store, last)[0] == after


@pytest.mark.parametrize("gone", [True, False])
def test_it_stops_at_what_keeps_an_archived_value_dead(private_tmp: Path, gone: bool) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", "archived")
        archive_warm(memory)
        memory.put("k", "newer")
        newer = address(memory, "k")
        if gone:
            memory.delete("k")
        else:
            memory.put("k", "newest")
        memory.put("after", 1)
        assert passed(memory, newer)[0] == (newer if gone else address(memory, "k"))


def test_it_stops_at_damage(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        replaced(store)
        first, damaged = address(store, "k0"), address(store, "k3")
        segment = next((private_tmp / "l2").glob("seg.*"))
    with open_segments(private_tmp) as store:
        for number in range(5):
            store.put(f"k{number}", 7)
        patch(segment, damaged * UNIT_BYTES, b"\xff" * 8)
        assert passed(store, first)[0] == damaged
        assert passed(store, damaged)[0] == damaged


def test_a_filter_forgets(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        dead = KeyFilter(engine_of(store).log)
        assert b"k" not in dead
        dead.add(b"k")
        assert b"k" in dead
        dead.clear()
        assert b"k" not in dead
