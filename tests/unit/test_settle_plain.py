"""Reclaim without an archive: what moves, what goes, and where the short way stops."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.keys import encode_key
from fastmem._core.layout import HEADER_UNITS, LOCATION_MASK, UNIT_BYTES
from fastmem._core.passing import KeyFilter
from fastmem._core.settling import Credit, settle_plain
from tests.crash.directories import BUDGET, engine_of, open_segments, patch

VALUE = "v" * 1000
MOST_UNITS = 1 << 20
COUNT = 10


def address(store: Any, key: str) -> int:
    return int(engine_of(store).log.seek(encode_key(key))) & LOCATION_MASK


def tail_bytes(store: Any) -> int:
    return int(engine_of(store).files.super.get("tail")) * UNIT_BYTES


def settled(
    store: Any, *, credit_bytes: int = 0, most_units: int = MOST_UNITS
) -> tuple[int, int, list[str], KeyFilter]:
    """Where it stopped, how many went, their keys, and those that were dead, of the first ones."""
    log = engine_of(store).log
    dead = KeyFilter(log)
    dropped: list[bytes] = []
    after, gone = settle_plain(log, HEADER_UNITS, most_units, Credit(credit_bytes), dead, dropped)
    return after, gone, [key.decode()[-2:] for key in dropped], dead


def put_ten(store: Any) -> None:
    for number in range(COUNT):
        store.put(f"k{number}", VALUE)


def test_what_no_credit_covers_goes(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        put_ten(store)
        store.put("k3", 1)
        last = address(store, "k3")
        after, gone, keys, dead = settled(store, most_units=last - HEADER_UNITS)
        assert (after, gone) == (last, COUNT - 1)
        assert keys == [f"k{number}" for number in range(COUNT) if number != 3]
        assert encode_key("k3") in dead
        assert list(store) == ["k3"]
        store.check()


def test_what_the_credit_covers_moves(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        put_ten(store)
        size = address(store, "k1") - address(store, "k0")
        covered = 3 * size * UNIT_BYTES * 4 // 3  # a quarter is for what is read
        after, gone, keys, _ = settled(store, credit_bytes=covered, most_units=4 * size)
        assert (after, gone, keys) == (address(store, "k4"), 1, ["k3"])
        assert address(store, "k2") > address(store, "k1") > address(store, "k9")
        assert store.get_many(f"k{number}" for number in range(3)) == {
            f"k{number}": VALUE for number in range(3)
        }
        store.check()


def test_what_was_read_lately_moves_first(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        put_ten(store)
        store.get("k1")
        size = address(store, "k1") - address(store, "k0")
        _, _, keys, _ = settled(store, credit_bytes=size * UNIT_BYTES, most_units=3 * size)
        assert keys == ["k0", "k2"]
        assert not engine_of(store).log.was_touched(encode_key("k1"))  # once


@pytest.mark.parametrize("kind", ["large", "damaged", "expired"])
def test_it_stops_at_what_is_not_plain(private_tmp: Path, kind: str) -> None:
    with open_segments(private_tmp) as store:
        for number in range(COUNT):
            large, ttl = number == 5 and kind == "large", 0.05 if number == 5 else None
            store.put(f"k{number}", bytes(300_000) if large else VALUE, ttl_seconds=ttl)
        if kind == "damaged":
            store.put("k5", VALUE)
        stops = address(store, "k5")
        if kind == "damaged":
            patch(private_tmp / "l2/seg.0", stops * UNIT_BYTES + 500, b"x")
        while kind == "expired" and store.get("k5") is not None:
            time.sleep(0.01)
        assert settled(store)[0] == stops


def test_new_keys_are_not_moved_about(private_tmp: Path) -> None:
    """Nothing is dead, so what moves would only push out something else."""
    with open_segments(private_tmp) as store:
        for number in range(2 * BUDGET // len(VALUE)):
            store.put(number, VALUE)
        before, put = tail_bytes(store), BUDGET // len(VALUE)
        for number in range(put):
            store.put(("new", number), VALUE)
        assert tail_bytes(store) - before < 1.2 * put * len(VALUE)
        store.check()


def test_values_that_are_replaced_make_room_for_the_others(private_tmp: Path) -> None:
    """Half the budget is alive, and put over at random: nothing goes."""
    draw, count = random.Random(5), BUDGET // 2 // len(VALUE)
    with open_segments(private_tmp) as store:
        for number in range(count):
            store.put(number, VALUE)
        for _ in range(4 * count):
            store.put(draw.randrange(count), VALUE)
        assert len(store) == count
        assert store.stats()["evictions"].get("size", 0) == 0
        store.check()


def test_a_credit() -> None:
    credit = Credit(100)
    assert credit.covers(100, True)
    assert [credit.covers(length, False) for length in (75, 76)] == [True, False]
    credit.spend(60, False)
    credit.earn(20, False)
    assert (credit.left, credit.left_for_unread) == (60, 40)
    assert [credit.covers(length, False) for length in (35, 36)] == [True, False]
    credit.earn(30, True)
    assert (credit.left, credit.left_for_unread) == (90, 100)
    credit.spend(90, True)
    assert (credit.covers(1, True), credit.left_for_unread) == (False, 100)
