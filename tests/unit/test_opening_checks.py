"""What an opening looks at: sums after a clean close, all of the index after a death."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastmem._core import recovery
from fastmem._core.layout import LOCATION_MASK, SEAL_UNITS
from tests.crash.directories import (
    CLEAN_AT,
    HEAD_AT,
    SEGMENT,
    TAIL_AT,
    UNIT,
    contents,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    set_word,
    word,
)

VALUES = {f"key-{i}": f"value {i}" for i in range(300)}
TOMBSTONE_UNITS = 4  # header, and a key of 6 to 8 bytes
INDEX_PAGE, BUCKET = 4096, 64


def refuse(_log: object) -> None:
    raise AssertionError("the index was walked")


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_after_a_clean_close_sums_are_enough(
    private_tmp: Path, opener: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opener(private_tmp) as store:
        store.update(VALUES)
    monkeypatch.setattr(recovery, "sound", refuse)
    for read_only in (False, True, False):
        with opener(private_tmp, read_only=read_only) as store:
            assert contents(store) == VALUES


def test_after_a_death_or_with_another_head_they_are_not(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_segments(private_tmp) as store:
        store.update(VALUES)
    page = private_tmp / "l2" / "super"
    monkeypatch.setattr(recovery, "sound", refuse)
    for at, value in ((CLEAN_AT, 0), (HEAD_AT, word(page, TAIL_AT))):
        kept = word(page, at)
        set_word(page, at, value)
        with pytest.raises(AssertionError, match="walked"):
            open_segments(private_tmp)
        set_word(page, at, kept)
    monkeypatch.undo()
    set_word(page, HEAD_AT, word(page, TAIL_AT))
    with open_segments(private_tmp) as store:
        assert contents(store) == VALUES
        assert engine_of(store).files.super.get("head") <= SEGMENT // UNIT
        assert not store.stats()["rebuilt"]


@pytest.mark.parametrize("kept", [0, 1, 100])
@pytest.mark.parametrize("cut", [1, 3, TOMBSTONE_UNITS + 1, 50 * TOMBSTONE_UNITS - 1])
def test_a_tail_inside_a_tombstone_is_not_believed_after_a_death(
    private_tmp: Path, kept: int, cut: int
) -> None:
    """Whether or not a slot leads into its segment, where the look at the headers begins."""
    with open_segments(private_tmp) as store:
        store.update(VALUES)
        for key in list(VALUES)[kept:]:
            store.delete(key)
    page = private_tmp / "l2" / "super"
    set_word(page, TAIL_AT, word(page, TAIL_AT) - cut)
    set_word(page, CLEAN_AT, 0)
    left = dict(list(VALUES.items())[:kept])
    with open_segments(private_tmp) as store:
        assert store.stats()["rebuilt"]
        assert contents(store) == left
        store.put("later", 1)
    (private_tmp / "l2" / "index").unlink()
    with open_segments(private_tmp) as store:
        assert contents(store) == left | {"later": 1}


def test_a_tail_moved_back_by_a_whole_tombstone_is_not_believed_after_a_close(
    private_tmp: Path,
) -> None:
    with open_segments(private_tmp) as store:
        store.update(VALUES)
        store.delete("key-299")
    page = private_tmp / "l2" / "super"
    set_word(page, TAIL_AT, word(page, TAIL_AT) - TOMBSTONE_UNITS)
    with open_segments(private_tmp) as store:
        store.put("later", 1)
    (private_tmp / "l2" / "index").unlink()
    with open_segments(private_tmp) as store:
        assert "key-299" not in store
        assert store.get("later") == 1


@pytest.mark.parametrize("clean", [0, 1])
def test_a_segment_lost_from_the_middle_is_noticed_whatever_lies_ready_behind(
    private_tmp: Path, clean: int
) -> None:
    """As many segments as the log has, but not the same: the spare one stands in for none."""
    values = {f"key-{i}": f"{i:2} " * 1000 for i in range(900)}
    with open_segments(private_tmp) as store:
        store.update(values)
        numbers = engine_of(store).files.warm.numbers[:]
        tail = engine_of(store).files.tail_segment(0)
        if tail == numbers[-1]:
            engine_of(store).room.add_segment(0)
    assert tail > numbers[0] + 1
    (private_tmp / "l2" / f"seg.{tail - 1}").unlink()
    set_word(private_tmp / "l2" / "super", CLEAN_AT, clean)
    with open_segments(private_tmp) as store:
        found = contents(store)
        assert found.items() < values.items()
        assert len(store) == len(found)
        store.check()


@pytest.mark.parametrize("units", [1, SEAL_UNITS - 1, SEAL_UNITS])
def test_a_slot_that_leads_where_no_record_can_begin(private_tmp: Path, units: int) -> None:
    values = {f"key-{i}": f"{i:2} " * 1000 for i in range(900)}
    with open_segments(private_tmp) as store:
        store.update(values)
    index = private_tmp / "l2" / "index"
    data = index.read_bytes()
    at = next(
        at
        for at in range(INDEX_PAGE + 8, len(data), 8)
        if at % BUCKET and 0 < word(index, at) & LOCATION_MASK < SEGMENT // UNIT
    )
    end = SEGMENT // UNIT - units
    set_word(index, at, word(index, at) & ~LOCATION_MASK | end)
    set_word(private_tmp / "l2" / "super", CLEAN_AT, 0)
    with open_segments(private_tmp) as store:
        assert store.stats()["rebuilt"] == (units < SEAL_UNITS)
        assert len(contents(store)) == len(values) - (units == SEAL_UNITS)
