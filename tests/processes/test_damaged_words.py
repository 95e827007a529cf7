"""Words of the shared pages that are damaged while two have the store open: neither of them goes
beyond a file, nor over what was put.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import StoreError
from fastmem._core.layout import offset
from tests.children import forked
from tests.crash.directories import (
    COLD_TAIL_AT,
    LOCK_AT,
    TAIL_AT,
    contents,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
    set_word,
    word,
)

DIRECTORY_AT = offset("index", "directory")
ENTRIES_AT = 128, 136  # warm and cold, in the index
NO_SENSE = "makes no sense; close the store in all processes, and open it again"
HUGE = (1 << 64) - 1
DEAD = 9 << 48 | 7  # a slot that nobody has
VALUES = {f"k{i}": os.urandom(300) for i in range(50)}


def in_two(at: Path, opener: Any, use: Callable[[Any, Any], None]) -> None:
    """Use a store that two have open, in a child: what ends it is no answer."""

    def child() -> str:
        one, two = opener(at), opener(at)
        for key, value in VALUES.items():
            one.put(key, b"older")
            one.put(key, value)
        assert contents(two) == VALUES
        use(one, two)
        two.close()
        one.close()
        return "well"

    assert forked(child) == "well"


@pytest.mark.parametrize("opener", [open_segments, open_archive])
@pytest.mark.parametrize("damaged", [HUGE, 63 << 56, 26 << 56, 60 << 56 | 5], ids="{:#x}".format)
def test_a_directory_that_leads_beyond_the_index(
    private_tmp: Path, opener: Any, damaged: int
) -> None:
    folder = private_tmp / ("l2" if opener is open_segments else "l3")

    def use(one: Any, two: Any) -> None:
        set_word(folder / "index", DIRECTORY_AT, damaged)
        for store in (one, two):
            found = {key: store.get(key) for key in VALUES}
            assert {key: value for key, value in found.items() if value} == store.get_many(VALUES)
            assert all(value in (None, VALUES[key]) for key, value in found.items())
            if opener is open_segments:
                assert store.get_view("k1") in (None, VALUES["k1"])
            assert len(engine_of(store).log.corrupt_places) > 0
            for call in (
                lambda store=store: [store.put(key, b"new") for key in VALUES],
                lambda store=store: [store.delete(key) for key in VALUES],
                lambda store=store: list(store),
                lambda store=store: store.put_many(dict.fromkeys(VALUES, 1)),
            ):
                with pytest.raises(StoreError, match=NO_SENSE):
                    call()
        assert os.path.getsize(folder / "index") < 4 << 20

    in_two(private_tmp, opener, use)
    with opener(private_tmp) as store:
        assert store.stats()["rebuilt"]
        found = contents(store)
        assert found.keys() == VALUES.keys()
        assert all(found[key] in (VALUES[key], b"new") for key in VALUES)


def test_counts_beyond_all_reason(private_tmp: Path) -> None:
    def use(one: Any, two: Any) -> None:
        for at in ENTRIES_AT:
            set_word(private_tmp / "l2" / "index", at, HUGE)
        assert len(two) < 1 << 30
        assert contents(two) == VALUES
        one.put("k1", b"new")
        assert two.get("k1") == b"new"

    in_two(private_tmp, open_segments, use)
    with open_segments(private_tmp) as store:
        assert contents(store) == {**VALUES, "k1": b"new"}
        store.check()


@pytest.mark.parametrize("field", ["overflow_next", "overflow_room", "bucket_room"])
def test_bounds_of_the_index_make_no_file_grow(private_tmp: Path, field: str) -> None:
    def use(one: Any, two: Any) -> None:
        set_word(private_tmp / "l2" / "index", offset("index", field), 1 << 40)
        set_word(private_tmp / "l2" / "super", offset("super", "changes"), 1 << 20)
        many = {f"new{i}": b"new" for i in range(20_000)}
        for store in (one, two):
            with contextlib.suppress(StoreError):
                store.put_many(many)
            assert all(store.get(key) in (None, value) for key, value in VALUES.items())
            assert all(value == b"new" for value in store.get_many(many).values())
        for name in ("index", "overflow"):
            assert os.path.getsize(private_tmp / "l2" / name) < 8 << 20

    in_two(private_tmp, open_segments, use)
    with open_segments(private_tmp) as store:
        assert {key: store.get(key) for key in VALUES} == VALUES
        store.check()


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
@pytest.mark.parametrize(
    ("by", "killed"),
    [
        (-300, False),
        (300, False),
        (1 << 18, False),
        (1 << 44, False),
        (-300, True),
        (1 << 44, True),
    ],
)
def test_a_tail_that_somebody_moved(private_tmp: Path, opener: Any, by: int, killed: bool) -> None:
    """What was put lies behind the tail: going on from another place would overwrite it, and an
    older value, at a higher address, would be the newest at the next rebuild.
    """
    page = private_tmp / ("l3" if opener is open_archive else "l2") / "super"
    at = COLD_TAIL_AT if opener is open_archive else TAIL_AT

    def use(one: Any, two: Any) -> None:
        set_word(page, at, word(page, at) + by)
        if killed:
            set_word(page, LOCK_AT, DEAD)
        for store in (one, two):
            with pytest.raises(StoreError, match="open it again"):
                store.put("k1", b"newer")
            with pytest.raises(StoreError, match="open it again"):
                store.delete("k2")
            assert {key: store.get(key) for key in VALUES} == VALUES

    in_two(private_tmp, opener, use)
    files = sorted(path.name for path in private_tmp.glob("l?/*.*"))
    assert len([name for name in files if not name.startswith("val.")]) <= 2, files
    with opener(private_tmp) as store:
        assert contents(store) == VALUES
        store.put("k1", b"newer")
        store.check()
    with opener(private_tmp) as store:
        assert contents(store) == {**VALUES, "k1": b"newer"}


def test_a_line_of_tails_that_was_wiped(private_tmp: Path) -> None:
    page = private_tmp / "l2" / "super"

    def use(one: Any, two: Any) -> None:
        patch(page, TAIL_AT, bytes(64))
        set_word(page, LOCK_AT, DEAD)
        for store in (one, two):
            with pytest.raises(StoreError, match="open it again"):
                store.put("k1", b"newer")

    in_two(private_tmp, open_segments, use)
    with open_segments(private_tmp) as store:
        assert contents(store) == VALUES
        store.check()


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_a_tail_that_somebody_moved_before_all_were_killed(private_tmp: Path, opener: Any) -> None:
    """An archive's versions go on from there: lower ones would lose to older values."""
    page = private_tmp / ("l3" if opener is open_archive else "l2") / "super"

    def child() -> str:
        store = opener(private_tmp)
        for key in VALUES:
            store.put(key, b"older")
        set_word(page, TAIL_AT, word(page, TAIL_AT) - 20)
        os._exit(0)

    assert forked(child) == ""
    with opener(private_tmp) as store:
        assert stats_of(store)["rebuilt"]
        store.update(VALUES)
        index = engine_of(store).files.paths[0] / "index"
    index.unlink()
    with opener(private_tmp) as store:
        assert contents(store) == VALUES
        store.check()


def stats_of(store: Any) -> dict[str, Any]:
    stats = store.stats()
    found: dict[str, Any] = stats.get("l2", stats)
    return found
